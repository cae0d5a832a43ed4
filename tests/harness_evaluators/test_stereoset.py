"""StereoSet: published figures, the intersentence task, damaged files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from evaluating import request
from harness_evaluators import stereoset
from harness_evaluators.stereoset import StereoSet, StereoSetConfig
from harness_evaluators.triples import (
    Triple,
    triple_item,
)

from harness.data.pins import check
from harness.data.places import DataStore
from harness.errors import DataError, ModelError
from harness.lm.handle import LanguageModel
from harness.metrics import Item

OFFICIAL = {
    "intrasentence": {
        "gender": (62.668, 93.278, 69.645),
        "profession": (63.975, 92.289, 66.495),
        "race": (60.350, 89.757, 71.177),
        "religion": (58.023, 88.460, 74.266),
        "overall": (61.931, 91.115, 69.372),
    },
    "intersentence": {
        "gender": (53.380, 85.952, 80.141),
        "profession": (52.388, 72.791, 69.315),
        "race": (51.494, 76.505, 74.219),
        "religion": (56.925, 75.828, 65.325),
        "overall": (52.279, 76.265, 72.789),
    },
}
"""SS, LM and ICAT of GPT-2 on the dev set, macro averages, from code/predictions.txt of github
moinnadeem/StereoSet. The intersentence scores behind them are those of the authors' next-sentence
head."""


@pytest.mark.parametrize("task", OFFICIAL)
def test_stereoset_aggregation_gives_the_official_figures(
    task: stereoset.Task, shared_data: Path
) -> None:
    folder = shared_data / "stereoset"
    predictions = json.loads((folder / "predictions_gpt2_ModelNSP_GPT2LM.json").read_text())
    by_id = {entry["id"]: entry["score"] for entry in predictions[task]}
    items: dict[str, list[Item]] = {"overall": []}
    for example in json.loads((folder / "dev.json").read_text())["data"][task]:
        scores = {s["gold_label"]: by_id[s["id"]] for s in example["sentences"]}
        triple = Triple(example["id"], example["bias_type"], example["target"], "", "", "", "")
        item = triple_item(
            triple,
            {
                "stereotype": scores["stereotype"],
                "antistereotype": scores["anti-stereotype"],
                "unrelated": scores["unrelated"],
            },
        )
        items.setdefault(triple.domain, []).append(item)
        items["overall"].append(item)
    protocol = "bb_geo" if task == "intrasentence" else "clm_conditional"
    for domain, (ss, lm, icat) in OFFICIAL[task].items():
        evaluator = StereoSet(StereoSetConfig(task=task))
        measured = evaluator.measurement(domain, protocol, items[domain])
        found = {m.name: m.value for m in measured.metrics}
        got = (found["ss_score_macro"], found["lm_score_macro"], found["icat_macro"])
        assert tuple(round(v or 0.0, 3) for v in got) == (ss, lm, icat), domain


def test_intersentence_scores_a_sentence_after_its_context(
    smollm2: LanguageModel, data_store: DataStore
) -> None:
    config = StereoSetConfig(task="intersentence", overall=False)
    evaluator = StereoSet(config)
    asked = request(smollm2, data_store, "religion", limit=5)
    (measured,) = evaluator.evaluate(asked)
    assert measured.protocol == "clm_conditional"
    texts = {item.id: item.texts for item in evaluator.items(asked)}
    rows = {row[0]: row for row in stereoset.parse_intersentence(
        data_store.locate(stereoset.PIN_INTERSENTENCE))}  # fmt: skip
    for item in measured.items:
        context = rows[item.id.removeprefix("stereoset/")][3]
        for role, text in texts[item.id].items():
            front = len(smollm2.encode(context))
            ids = smollm2.encode(f"{context} {text}")
            (scores,) = smollm2.window_scores([ids])
            expected = float(np.mean(scores[front:]))
            assert item.values[role] == pytest.approx(expected, abs=1e-4)
    names = {metric.name: metric for metric in measured.metrics}
    assert names["ss_score"].n == 5
    assert 1 <= names["association"].n <= 5


def test_intersentence_is_for_causal_models(
    tiny_masked: LanguageModel, data_store: DataStore
) -> None:
    evaluator = StereoSet(StereoSetConfig(task="intersentence"))
    with pytest.raises(ModelError, match="scored by 'clm_conditional' on causal models"):
        evaluator.evaluate(request(tiny_masked, data_store, "religion", limit=2))
    other = StereoSet(StereoSetConfig(task="intersentence", scorers=("hf_nll",)))
    with pytest.raises(ModelError, match="not by 'hf_nll'"):
        other.resolve("hf_nll", "causal")


def test_both_tasks_are_pinned(data_store: DataStore) -> None:
    for pin in stereoset.PINS.values():
        assert len(check(pin, data_store.locate(pin)).rows) == pin.n_items


def test_truncated_stereoset_is_one_line(
    tiny_causal: LanguageModel, data_store: DataStore, tmp_path: Path
) -> None:
    original = data_store.locate(stereoset.PIN)
    cut = tmp_path / "dev.json"
    cut.write_bytes(original.read_bytes()[:100_000])
    with pytest.raises(DataError, match="truncated or damaged"):
        StereoSet(StereoSetConfig(path=str(cut))).evaluate(
            request(tiny_causal, data_store, "gender", limit=2)
        )
