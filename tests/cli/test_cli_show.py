"""harness show: items that flipped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import invoke, rows, text_of
from harness_evaluators.embedded import EmbeddedPairs, embedded_pairs
from harness_evaluators.pairs import PairConfig
from made_runs import NOW, made_key, write_measurement

from harness.errors import HarnessError
from harness.metrics import Item
from harness.storage.cells import Cell, MeasureRef
from harness.storage.records import RunIndex
from harness.storage.store import Store


def suite(folder: Path) -> Store:
    """A run on embedded pairs: scores made up so that three items flip, by known amounts."""
    store = Store(folder / "suite")
    store.prepare()
    pairs = embedded_pairs("gender")

    def record(key: str, moved: dict[int, float]) -> None:
        items = tuple(
            Item(
                id=pair.id,
                cluster=pair.cluster,
                stratum=pair.stratum,
                values={
                    "more": -3.0 + moved.get(i, 0.0),
                    "less": -3.1,
                    "prefers_stereotype": float(-3.0 + moved.get(i, 0.0) > -3.1),
                    "tie": 0.0,
                },
            )
            for i, pair in enumerate(pairs)
        )
        measurement = EmbeddedPairs(PairConfig()).measurement("gender", "hf_nll", items)
        write_measurement(store, made_key(key), measurement)

    record("base", {})
    record("after", {3: -0.2, 70: -0.9, 100: -0.5, 5: 0.4})
    refs = [
        MeasureRef(step=s, evaluator="mine", key=made_key(k))
        for s, k in ((0, "base"), (10, "after"))
    ]
    cells = [Cell(model="m", measures=tuple(refs[:1]))]
    for source in ("gender", "race"):
        cells.append(
            Cell(
                model="m",
                debiaser="d",
                source=source,
                seed=0,
                fit_key=made_key(source),
                measures=tuple(refs),
            )
        )
    config = PairConfig().model_dump(mode="json")
    spec = {
        "evaluators": [{"use": "embedded-pairs", "label": "mine", "config": config}],
        "limits": {"items": None, "seed": 0},
    }
    store.write_index(
        RunIndex(name="suite", created_at=NOW, spec=spec, targets=("gender",), cells=tuple(cells))
    )
    return store


def test_flipped_items_are_shown_biggest_first_with_their_sentences(tmp_path: Path) -> None:
    store = suite(tmp_path)
    text = text_of("show", store.folder, "d/gender")
    assert "3 of 144 items flipped: 0 from 0 to 1, 3 from 1 to 0" in rows(text)
    pairs = embedded_pairs("gender")
    places = [text.index(f"{pairs[i].id} ") for i in (70, 100, 3)]
    assert places == sorted(places)
    assert f"{pairs[5].id} " not in text  # moved, but did not flip
    flat = rows(text)
    for i in (70, 100, 3):
        assert pairs[i].more in flat
        assert pairs[i].less in flat
    assert "margin (nats a token) 0.100 −0.800 −0.900" in flat
    bare = text_of("show", store.folder, "d/gender", "--no-text", "--limit", 1)
    assert pairs[70].more not in bare
    assert "2 more" in bare


def test_without_the_data_ids_and_scores_are_shown(tmp_path: Path) -> None:
    store = suite(tmp_path)
    index = json.loads(store.index().model_dump_json())
    index["spec"]["evaluators"][0].update(use="crows-pairs", config={})
    store.write_index(RunIndex.model_validate(index))
    text = rows(text_of("show", store.folder, "d/gender"))
    assert "sentences not shown: data set 'crows-pairs' is not on this machine" in text
    assert embedded_pairs("gender")[70].id in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["d"], "several cells are 'd'"),
        (["nobody"], "no cell is 'nobody': name parts of one"),
        (["d/gender", "--step", "7"], r"has no step 7 \(known: 10\)"),
        (["d/gender", "--target", "rac"], "no target 'rac' here"),
        (["d/gender", "--metric", "stereotype_scor"], "did you mean 'stereotype_score'"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_line(
    tmp_path: Path, words: list[str], message: str
) -> None:
    result = invoke("show", suite(tmp_path).folder, *words)
    assert isinstance(result.exception, HarnessError)
    with pytest.raises(HarnessError, match=message):
        raise result.exception
    assert "\n" not in str(result.exception)
