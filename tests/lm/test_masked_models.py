"""A masked model through a whole run: every method, scored as published for such models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from harness_debiasers.hooks import harness_debiasers
from neutral_text import neutral_csv

from harness.cli.main import cli
from harness.storage.records import Record
from harness.storage.store import Store
from harness.testing.tiny_models import build_tiny

SETTINGS: dict[str, dict[str, Any]] = {
    "inlp": {"min_sentences": 4},
    "leace": {"min_sentences": 4},
    "sentence-debias": {"min_sentences": 4},
    "self-debias": {"prompts": ["Of {axis}:"]},
    "identity": {},
    "weight-noise": {"settings": {"learning_rate": 1e-2}},
}
"""What a method is given; the others are given a learning rate."""

METHODS = [method.name for method in harness_debiasers() if "masked" in method.kinds]


def save_bert(folder: Path, crows: Path) -> Path:
    """A tiny BERT whose tokenizer knows the words of CrowS-Pairs: its sentences are short."""
    from transformers import BertForMaskedLM

    module, tokenizer = build_tiny("masked")
    tokenizer = tokenizer.train_new_from_iterator([crows.read_text("utf-8")], vocab_size=3000)
    module.config.vocab_size = len(tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertForMaskedLM(module.config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Store:
    folder = tmp_path_factory.mktemp("masked")
    neutral = neutral_csv(folder)
    crows = shared_data / "crows_pairs" / "crows_pairs_anonymized.csv"
    bert = save_bert(folder / "bert", crows)
    spec = {
        "name": "masked",
        "model": {"use": "hf", "as": "bert", "id": str(bert)},
        "corpus": "embedded",
        "source": "gender",
        "masker": "wordlist",
        "neutral": {
            "use": "file",
            "path": str(neutral),
            "label_value": "non-hateful",
            "domain_value": "none",
        },
        "debiaser": [
            {"use": name, **SETTINGS.get(name, {"learning_rate": 1e-2})} for name in METHODS
        ],
        "steps": [2],
        "evaluators": [
            {"use": "crows-pairs", "scorers": ["mlm_pll_shared", "mlm_avg_diff"]},
            {"use": "stereoset", "overall": False},
        ],
        "targets": ["gender"],
        "limits": {"items": 2, "passages": 8},
    }
    (folder / "masked.yaml").write_text(json.dumps(spec), "utf-8")
    words = ["--offline", "--data-dir", shared_data, "run", folder / "masked.yaml"]
    words += ["--results", folder / "runs"]
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return Store(folder / "runs" / "masked")


def records(store: Store, method: str | None) -> list[Record]:
    """What was measured after a method; None: of the base."""
    (cell,) = (cell for cell in store.index().cells if cell.debiaser == method)
    found = [store.record(ref.key) for ref in cell.measures if method is None or ref.step]
    assert found
    return [record for record in found if record is not None]


def values(found: list[Record]) -> dict[tuple[str, str, str], dict[str, float]]:
    return {
        (m.protocol, m.domain, item.id): item.values
        for record in found
        for m in record.measurements
        for item in m.items
    }


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_and_is_scored_as_published(store: Store, method: str) -> None:
    found, base = records(store, method), records(store, None)
    measured = {(m.protocol, m.domain) for record in found for m in record.measurements}
    protocols = ("mlm_pll_shared", "mlm_avg_diff", "mlm_filler")
    assert measured == {(p, "gender") for p in protocols}
    after, before = values(found), values(base)
    assert after.keys() == before.keys()
    assert (after == before) == (method == "identity")


def test_mlm_unlearning_masks_with_real_mask_tokens(store: Store) -> None:
    """Its words are hidden from a masked model: nothing is lost at a text's start or end."""
    (first, *_) = records(store, "mlm-unlearning")
    assert first.fit_log["passages"] == 8
    assert first.fit_log["words_lost"] == 0
