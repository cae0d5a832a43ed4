"""The specs of the published runs on words after the mask and on mask rules."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from openai_server import Handler, asked_text, say, serving

from harness.data.places import DataStore
from harness.planning.spec_reader import find_spec
from harness.plugins import load_registry
from harness.running.experiment import Experiment
from harness.testing import save_tiny_model

FITS = {"after-mask": 120, "mask-rules": 72}


@pytest.mark.parametrize("name", FITS)
def test_they_plan_on_the_real_model(name: str, data_store: DataStore) -> None:
    """Nothing is missing, and every fit has passages of its own."""
    planned = Experiment.from_spec(name, registry=load_registry(), data=data_store).plan()
    (model,) = planned.models
    assert model.problem is None
    assert [task.problem for task in planned.tasks().values() if task.problem] == []
    assert len(model.fits) == FITS[name]
    assert all(fit.stop_at is not None and fit.stop_at.kl == 0.05 for fit in model.fits)
    draws = {(fit.source.domain, fit.source.draw) for fit in model.fits if fit.source}
    assert len(draws) == 3 * 4
    gaps = {t.key for t in model.base if t.evaluator.label == "association-gap"}
    assert len(gaps) == 1  # the base model is measured once


def first_word(handler: Handler, body: dict[str, Any]) -> None:
    """Answer with the first word of the passage."""
    match = re.search(r"\w+", asked_text(body))
    assert match is not None
    say(match.group())(handler, body)


@pytest.mark.parametrize("name", FITS)
def test_they_run_on_a_tiny_model(
    name: str, data_store: DataStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec: dict[str, Any] = yaml.safe_load(find_spec(name).read_text("utf-8"))
    model = save_tiny_model(tmp_path / "model", context=256)  # some items are long
    spec["model"] = {"use": "hf", "id": str(model), "as": "tiny"}
    spec |= {"source": ["gender"], "seed": [0], "targets": ["gender"], "steps": [1, 2]}
    spec["stop_at"] = {"kl": 1e-9}
    spec["limits"] = {"passages": 8, "items": 3, "unseen": 40}
    smaller = {
        "wikitext2-perplexity": {"window": 64, "max_windows": 1},
        "association-gap": {"count": 4},
    }
    evaluators = [use if isinstance(use, dict) else {"use": use} for use in spec["evaluators"]]
    spec["evaluators"] = [use | smaller.get(use["use"], {}) for use in evaluators]
    monkeypatch.setenv("OPENAI_API_KEY", "any-word")
    with serving() as server:
        server.default = [first_word]
        for use in spec["masker"]:
            if isinstance(use, dict) and use["use"] == "openai":
                use["base_url"] = server.base_url
        data = dataclasses.replace(data_store, offline=False)  # the masker asks the server
        done = Experiment.from_mapping(
            spec, registry=load_registry(), data=data, folder=tmp_path / "run"
        )
        assert done.run().failures == []
    for cell in done.store.index().cells:
        assert {ref.evaluator for ref in cell.measures} == {use["use"] for use in evaluators}
