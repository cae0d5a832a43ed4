"""A small run with a method of every kind, for the tests of export-model and repro."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, NamedTuple

from harness.data.places import DataStore
from harness.plugins import Registry, load_registry
from harness.replay.rerun import Rerun
from harness.running.experiment import Experiment
from harness.running.reporting import Reporter
from harness.storage.store import Store
from harness.testing import save_tiny_model

PEOPLE = ("the man", "the woman", "his father", "his mother", "the boy", "the girl", "the farm")
THINGS = ("bread", "rope", "salt", "corn", "wool", "coal")

METHODS: list[Any] = [
    {"use": "mlm-unlearning", "as": "weights", "learning_rate": 0.01},
    {"use": "mlm-unlearning", "as": "adapter", "learning_rate": 0.01, "lora": {"rank": 2}},
    {"use": "sentence-debias", "as": "matrix", "min_sentences": 4},
    {"use": "leace", "as": "matrix-and-bias", "min_sentences": 4},
    {"use": "leace", "as": "inner-matrix", "min_sentences": 4, "layer": 1},
    {"use": "self-debias", "prompts": ["On {axis}:"]},
]


def small_spec(folder: Path, **changes: object) -> dict[str, Any]:
    """The raw spec; its model and neutral text are made below a folder, once."""
    model, neutral = folder / "model", folder / "neutral.csv"
    if not model.exists():
        save_tiny_model(model)
        with neutral.open("w", newline="") as stream:
            rows = csv.writer(stream)
            rows.writerow(["text"])
            rows.writerows([f"{who} sold {what} in town."] for who in PEOPLE for what in THINGS)
    return {
        "name": "small",
        "model": {"use": "hf", "id": str(model), "as": "tiny"},
        "corpus": "embedded",
        "neutral": {
            "use": "file",
            "path": str(neutral),
            "label_value": "non-hateful",
            "domain_value": "none",
        },
        "source": "gender",
        "masker": "wordlist",
        "debiaser": METHODS,
        "steps": [2, 4],
        "targets": ["gender", "race"],
        "evaluators": [
            {"use": "embedded-pairs", "scorers": ["hf_nll", "lmeval_sum"]},
            {"use": "embedded-perplexity", "window": 32},
            "corpus-perplexity",
        ],
        "limits": {"items": 12, "passages": 8, "unseen": 4},
        **changes,
    }


def carry_out(raw: dict[str, Any], store: Store, registry: Registry, data: DataStore) -> None:
    """Run a spec; nothing in it may fail."""
    outcome = Experiment.from_mapping(
        raw, registry=registry, data=data, folder=store.folder, source="small"
    ).run()
    assert not outcome.failures, outcome.failures


def again(store: Store, registry: Registry, data: DataStore) -> Rerun:
    """Parts of a run, to be done again."""
    return Rerun(store, registry, data, Reporter())


class MaskedRun(NamedTuple):
    """A run of several maskers, with what made it."""

    raw: dict[str, Any]
    store: Store
    registry: Registry
    data: DataStore


def masked_run(folder: Path, *maskers: object) -> MaskedRun:
    """Unlearn one step on the masks of each masker, and measure one small suite."""
    registry = load_registry(strict=True)
    data = DataStore(cache_dir=folder / "cache", offline=True, domains=registry.domains)
    raw = small_spec(
        folder,
        masker=list(maskers),
        debiaser={"use": "mlm-unlearning", "learning_rate": 0.01},
        evaluators=[{"use": "embedded-pairs", "scorers": ["hf_nll"]}],
        steps=1,
    )
    store = Store(folder / "run")
    carry_out(raw, store, registry, data)
    return MaskedRun(raw, store, registry, data)
