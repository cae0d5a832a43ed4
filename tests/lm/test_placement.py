"""Models spread over devices: the same scores, LoRA in place of weights that cannot be changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from harness_debiasers.mlm_unlearning import MlmUnlearning
from harness_models.huggingface import HuggingFace, HuggingFaceConfig
from run_toys import TINY_SPEC

from harness.data.places import DataStore
from harness.errors import DebiasError, ModelError
from harness.lm.handle import LanguageModel, ModelKind
from harness.lm.loading.loading import load_transformers
from harness.lm.loading.placement import devices, place, single
from harness.planning.keys import PluginInputs
from harness.planning.spec import PluginUse
from harness.plugins import load_registry
from harness.running.experiment import Experiment
from harness.testing import sample_masked, save_tiny_model
from harness.testing.tiny_models import build_tiny
from harness.types import DebiasRequest, LoadRequest, no_progress

TEXTS = [
    "Women and men wait near the station.",
    "Women and men wait near the old window.",
    "They come back in early spring.",
]

ROOM = {"causal": "160KB", "masked": "140KB"}
"""Memory for weights: the embeddings and one of two layers have room, the rest is left on disk."""


def spread(folder: Path, kind: ModelKind) -> Any:
    return load_transformers(folder, device="auto", max_memory={"cpu": ROOM[kind]})


def offloaded(module: torch.nn.Module) -> bool:
    return any(parameter.is_meta for parameter in module.parameters())


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = tmp_path_factory.mktemp("tiny")
    kinds: tuple[ModelKind, ...] = ("causal", "masked")
    return {kind: save_tiny_model(made / kind, kind) for kind in kinds}


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_a_spread_model_scores_as_the_same_model_in_one_place(
    folders: dict[str, Path], kind: ModelKind
) -> None:
    whole = load_transformers(folders[kind])
    model = spread(folders[kind], kind)
    assert offloaded(model.module)
    assert not model.module.get_input_embeddings().weight.is_meta
    assert devices(model.module) == "cpu, disk"
    assert model.device.type == "cpu"
    compare(model, whole)
    compare(model.copy(), whole)
    matrix = np.eye(32) * 0.5
    model.project(matrix)
    whole.project(matrix)
    compare(model, whole)


def compare(one: LanguageModel, other: LanguageModel) -> None:
    for start in (False, True):
        found = one.token_scores(TEXTS, start=start)
        for own, expected in zip(found, other.token_scores(TEXTS, start=start), strict=True):
            np.testing.assert_allclose(own.logprobs, expected.logprobs, atol=1e-5)
    for own, expected in zip(one.hidden_states(TEXTS), other.hidden_states(TEXTS), strict=True):
        np.testing.assert_allclose(own, expected, atol=1e-5)


def test_what_fits_one_device_is_loaded_there_plainly(folders: dict[str, Path]) -> None:
    model = load_transformers(folders["causal"], device="auto")
    assert not offloaded(model.module)
    assert "forward" not in model.module.__dict__, "it is run through hooks"


def test_the_map_covers_every_weight_once() -> None:
    module, _ = build_tiny("causal")
    module.to("meta")
    found = place(module, torch.float32, {"cpu": ROOM["causal"]})
    for name, _ in module.named_parameters():
        covering = [key for key in found if name == key or name.startswith(f"{key}.")]
        assert len(covering) == 1, name
    assert set(found.values()) == {"cpu", "disk"}
    assert single(found) is None
    on_cpu = sum(
        parameter.numel() * 4
        for name, parameter in module.named_parameters()
        if any(name.startswith(f"{key}.") for key, where in found.items() if where == "cpu")
    )
    assert on_cpu <= 160_000


def test_room_that_is_too_small_or_unreadable_is_one_line(folders: dict[str, Path]) -> None:
    for room, said in (("1KB", "does not fit on device 'cpu'"), ("much", "max_memory")):
        with pytest.raises(ModelError, match=said):
            load_transformers(folders["causal"], device="auto", max_memory={"cpu": room})


def request(model: LanguageModel) -> DebiasRequest:
    return DebiasRequest(
        model=model,
        domain="gender",
        masked=sample_masked(),
        steps=(3,),
        seed=0,
        data=DataStore(offline=True),
        progress=no_progress,
    )


LORA = {"learning_rate": 0.01, "lora": {"rank": 2}}


@pytest.mark.parametrize("more", [{}, {"gradient_checkpointing": True, "accumulation": 2}], ids=str)
def test_lora_unlearns_a_spread_model_as_the_same_in_one_place(
    folders: dict[str, Path], more: dict[str, Any]
) -> None:
    debiaser = MlmUnlearning(MlmUnlearning.Config.model_validate({**LORA, **more}))
    whole, model = load_transformers(folders["causal"]), spread(folders["causal"], "causal")
    before = model.token_scores(TEXTS)
    (expected,) = debiaser.debias(request(whole))
    (found,) = debiaser.debias(request(model))
    assert found.log.keys() == expected.log.keys()
    found.model.forget_scores()
    compare(found.model, expected.model)
    moved = np.nanmax(np.abs(found.model.token_scores(TEXTS)[0].logprobs - before[0].logprobs))
    assert moved > 1e-3, "nothing was unlearned"


def test_weights_off_their_device_are_not_trained_in_vain(folders: dict[str, Path]) -> None:
    debiaser = MlmUnlearning(MlmUnlearning.Config(learning_rate=0.01))
    with pytest.raises(DebiasError, match="train an adapter"):
        list(debiaser.debias(request(spread(folders["causal"], "causal"))))


def test_where_a_model_lies_is_not_in_its_key(folders: dict[str, Path], tmp_path: Path) -> None:
    registry, data = load_registry(strict=True), DataStore(cache_dir=tmp_path, offline=True)
    parts = []
    for label, limits in (("one", None), ("two", {"0": "20GiB"})):
        config = HuggingFaceConfig(id=str(folders["causal"]), max_memory=limits)
        use = PluginUse(use="hf", label=label, config=config.model_dump(mode="json"))
        parts.append(PluginInputs(registry, data).of("model", use))
    assert parts[0] == parts[1]
    assert "max_memory" not in parts[0]["config"]  # type: ignore[operator]


def test_the_plugin_passes_the_room_on(folders: dict[str, Path], tmp_path: Path) -> None:
    config = HuggingFaceConfig(id=str(folders["causal"]), max_memory={"cpu": ROOM["causal"]})
    model = HuggingFace(config).load(LoadRequest(device="auto", cache_dir=tmp_path))
    assert offloaded(model.module)


def test_a_record_says_where_the_model_lay(folders: dict[str, Path], tmp_path: Path) -> None:
    model = {"use": "hf", "id": str(folders["causal"]), "max_memory": {"cpu": ROOM["causal"]}}
    raw = {**TINY_SPEC, "model": model, "device": "auto", "debiaser": "identity", "steps": [1]}
    registry, data = load_registry(strict=True), DataStore(cache_dir=tmp_path, offline=True)
    experiment = Experiment.from_mapping(
        {**raw, "keep_checkpoints": False}, registry=registry, data=data, results=tmp_path
    )
    outcome, store = experiment.run(), experiment.store
    assert outcome.measured
    assert not outcome.failures
    record = store.record(next(iter(store.record_keys())), items=False)
    assert record is not None
    assert record.provenance.device == "auto: cpu, disk"
