"""The checkpoint of a step is the same whichever other steps were asked for, for every method."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness.data.places import DataStore
from harness.planning.passages import Source
from harness.planning.plan import Fit
from harness.planning.spec import PluginUse, Spec
from harness.plugins import Registry, load_registry
from harness.running.reporting import Reporter
from harness.running.units import Inputs, Unit
from harness.running.worker import Worker
from harness.storage.cells import Identity
from harness.testing import sample_masked, sample_passages, save_tiny_model

REGISTRY = load_registry(strict=True)
STEP = 4
LISTS = ((4,), (2, 4), (1, 2, 3, 4))
LONGER = (3, 4, 6)


class Case(NamedTuple):
    """A method with settings that draw random numbers while it trains."""

    name: str
    kind: str
    config: dict[str, Any]


def cases() -> list[Case]:
    found = []
    for entry in REGISTRY:
        if entry.family != "debiaser":
            continue
        plugin = REGISTRY.get("debiaser", entry.name).plugin
        if not plugin.stepwise:
            continue
        fields = entry.plugin.Config.model_fields
        config: dict[str, Any] = {}
        if "learning_rate" in fields:
            config["learning_rate"] = 1e-2
        if "dropout" in fields:
            config["dropout"] = True
        if "settings" in fields:  # weight-noise: those of the method whose change it measures
            config["settings"] = {"learning_rate": 1e-2, "dropout": True}
        found.append(Case(entry.name, "causal", config))
        if "schedule" in fields and "masked" in plugin.kinds:
            found.append(Case(entry.name, "masked", {**config, "schedule": "constant"}))
    lora = {"rank": 2, "dropout": 0.5}
    found.append(Case("mlm-unlearning", "causal", {"learning_rate": 1e-2, "lora": lora}))
    return found


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {kind: save_tiny_model(folder / kind, kind) for kind in ("causal", "masked")}


def use(registry: Registry, family: Any, name: str, config: dict[str, Any]) -> PluginUse:
    full = registry.create(family, name, config).config.model_dump(mode="json")
    return PluginUse(use=name, label=name, config=full)


def checkpoint(case: Case, folder: Path, steps: tuple[int, ...], cache: Path) -> dict[str, Any]:
    """The hash of the weights at `STEP`, and the log there."""
    model = use(REGISTRY, "model", "hf", {"id": str(folder)})
    debiaser = use(REGISTRY, "debiaser", case.name, case.config)
    evaluator = use(REGISTRY, "evaluator", "embedded-pairs", {})
    spec = Spec(name="x", model=(model,), evaluators=(evaluator,), targets=("gender",), steps=steps)
    corpus = use(REGISTRY, "corpus", "embedded", {})
    fit = Fit(
        key="key",
        identity=Identity("hf", case.name),
        debiaser=debiaser,
        source=Source(corpus, "gender", "hateful"),
        masker=None,
        neutral=None,
        seed=3,
        steps=steps,
        tasks=(),
    )
    inputs = Inputs(
        passages=sample_passages("gender"),
        masked=sample_masked("gender"),
        neutral=sample_passages("gender", "non-hateful") + sample_passages("none", "non-hateful"),
    )
    data = DataStore(cache_dir=cache, offline=True)
    worker = Worker(REGISTRY, data, spec, Reporter())
    point, _ = worker.checkpoint(Unit(model, fit, ()), inputs, STEP)
    digest = hashlib.sha256()
    for name, weight in point.model.module.named_parameters():
        digest.update(name.encode() + weight.detach().numpy().tobytes())
    return {"weights": digest.hexdigest(), "log": json.dumps(dict(point.log), sort_keys=True)}


@pytest.mark.parametrize("case", cases(), ids=lambda c: f"{c.name}-{c.kind}-{len(c.config)}")
def test_the_other_steps_change_nothing(
    case: Case, models: dict[str, Path], tmp_path: Path
) -> None:
    lists = list(LISTS)
    if not REGISTRY.create("debiaser", case.name, case.config).depends_on_last_step():
        lists.append(LONGER)
    first, *others = (checkpoint(case, models[case.kind], steps, tmp_path) for steps in lists)
    assert all(other == first for other in others)


def test_which_methods_depend_on_the_last_step() -> None:
    """Those whose learning rate falls by default or by their settings, and no other built-in."""
    depend = {
        case.name
        for case in cases()
        if REGISTRY.create("debiaser", case.name, case.config).depends_on_last_step()
    }
    assert depend == {"cda", "dropout"}
    falling = {"settings": {"schedule": "cosine"}}
    assert REGISTRY.create("debiaser", "weight-noise", falling).depends_on_last_step()
