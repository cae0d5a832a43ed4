"""pairs and triples: a user's own items, in any domain, from three kinds of file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness_evaluators.own_items import OwnPairs, OwnTriples, PairsConfig, TriplesConfig
from pydantic import ValidationError

from harness.data.places import DataStore
from harness.errors import DataError, HarnessError, ModelError
from harness.lm.handle import LanguageModel
from harness.testing import check_evaluator
from harness.types import EvaluationRequest, ItemsRequest, no_progress


def _pair(more: str, less: str, about: str, side: str, number: int) -> dict[str, Any]:
    return {"more": more, "less": less, "about": about, "side": side, "n": number}


PAIRS = [
    _pair("Tall men lead.", "Short men lead.", "height", "d", 1),
    _pair("Short men shout.", "Tall men shout.", "height", "a", 2),
    _pair("Short men sulk, NA.", "Tall men sulk.", "height", "d", 3),
    _pair("Old cooks forget.", "Young cooks forget.", "age", "d", 4),
]
CONFIG = {
    "domain": "about",
    "half": "side",
    "halves": {"d": "stereo", "a": "antistereo"},
    "id": "n",
}


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    if path.suffix == ".csv":
        names = list(rows[0])
        lines = [",".join(names)]
        lines += [",".join(f'"{row[name]}"' for name in names) for row in rows]
        path.write_text("\n".join(lines) + "\n", "utf-8")
    elif path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def asked(*domains: str, limit: int | None = None) -> ItemsRequest:
    return ItemsRequest(domains=domains, limit=limit, data=DataStore(offline=True))


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_the_same_pairs_come_from_every_format(
    tmp_path: Path, ending: str, tiny_causal: LanguageModel
) -> None:
    path = write(tmp_path / f"mine.{ending}", PAIRS)
    evaluator = OwnPairs(PairsConfig(path=str(path), **CONFIG))
    listed = evaluator.items(asked("height"))
    assert [item.id for item in listed] == ["pairs/1", "pairs/2", "pairs/3"]
    assert [item.stratum for item in listed] == ["stereo", "antistereo", "stereo"]
    assert listed[2].texts == {"more": "Short men sulk, NA.", "less": "Tall men sulk."}
    assert {m.domain for m in check_evaluator(
        OwnPairs, {"path": str(path), **CONFIG}, model=tiny_causal, domains=("height", "age")
    )} == {"height", "age"}  # fmt: skip
    twin = write(tmp_path / "twin.csv", PAIRS)
    data = DataStore(offline=True)
    assert evaluator.fingerprint(data) == OwnPairs(
        PairsConfig(path=str(twin), **CONFIG)
    ).fingerprint(data)
    other = write(tmp_path / "other.csv", PAIRS[1:])
    changed = OwnPairs(PairsConfig(path=str(other), **CONFIG))
    assert evaluator.fingerprint(data) != changed.fingerprint(data)


def test_a_domain_that_the_file_lacks_is_left_out_unless_it_has_none(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.csv", PAIRS)
    evaluator = OwnPairs(PairsConfig(path=str(path), **CONFIG))
    assert set(evaluator.pairs(asked("age", "race"))) == {"age"}
    with pytest.raises(DataError, match=r"no item of race \(it has: age, height\)"):
        evaluator.pairs(asked("race"))
    renamed = PairsConfig(path=str(path), domain="about", domain_names={"height": "stature"})
    assert set(OwnPairs(renamed).pairs(asked("stature"))) == {"stature"}


def test_without_halves_there_is_no_association(tmp_path: Path, tiny_causal: LanguageModel) -> None:
    path = write(tmp_path / "mine.csv", PAIRS[:3])
    evaluator = OwnPairs(PairsConfig(path=str(path), domain_value="height"))
    request = EvaluationRequest(**dict(asked("height")), model=tiny_causal, progress=no_progress)
    (measured,) = evaluator.evaluate(request)
    values = {metric.name: metric.value for metric in measured.metrics}
    assert values["association"] is None
    assert values["frequency"] is None
    assert values["margin"] is not None


def test_limits_are_nested_and_clusters_are_kept(tmp_path: Path) -> None:
    rows = [
        {"more": f"They are {i}.", "less": f"We are {i}.", "term": f"t{i % 5}"} for i in range(40)
    ]
    path = write(tmp_path / "mine.jsonl", rows)
    evaluator = OwnPairs(PairsConfig(path=str(path), domain_value="height", cluster="term"))
    few, many = (
        {pair.id for pair in evaluator.pairs(asked("height", limit=n))["height"]} for n in (5, 20)
    )
    assert len(few) == 5
    assert few < many
    assert {pair.cluster for pair in evaluator.pairs(asked("height"))["height"]} == {
        f"t{i}" for i in range(5)
    }


TRIPLES = [
    {
        "context": "Tall people are BLANK.", "stereotype": "Tall people are proud.",
        "antistereotype": "Tall people are shy.", "unrelated": "Tall people are seven.",
        "word": "tall people",
    },
    {
        "context": "A tall man was BLANK.", "stereotype": "A tall man was strong.",
        "antistereotype": "A tall man was weak.", "unrelated": "A tall man was Tuesday.",
        "word": "tall man",
    },
]  # fmt: skip


def test_triples_of_ones_own_are_measured_like_stereoset(
    tmp_path: Path, tiny_causal: LanguageModel, tiny_masked: LanguageModel
) -> None:
    path = write(tmp_path / "mine.csv", TRIPLES)
    config = {"path": str(path), "domain_value": "height", "context": "context", "target": "word"}
    for model in (tiny_causal, tiny_masked):
        (measured,) = check_evaluator(OwnTriples, config, model=model, domains=("height",))
        values = {metric.name: metric for metric in measured.metrics}
        assert values["ss_score"].n == 2
        assert values["association"].n == 2
        assert {item.cluster for item in measured.items} == {"tall people", "tall man"}
    bare = OwnTriples(TriplesConfig(path=str(path), domain_value="height"))
    request = EvaluationRequest(**dict(asked("height")), model=tiny_masked, progress=no_progress)
    with pytest.raises(ModelError, match="needs a context with BLANK"):
        bare.evaluate(request)


BAD: dict[str, tuple[Any, Any, str]] = {
    "an empty text": ({"less": " "}, {}, "line 3: 'less' is not a"),
    "an unknown half": ({"side": "x"}, {}, "line 3: 'side' is 'x'"),
    "an id twice": ({"n": 1}, {}, "line 3: the id '1' is that of line 2"),
    "a column that is not there": ({}, {"half": "sides"}, "no column 'sides'"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_one_line_with_its_place(tmp_path: Path, case: str) -> None:
    change, config, words = BAD[case]
    path = write(tmp_path / "mine.csv", [PAIRS[0], {**PAIRS[1], **change}])
    with pytest.raises(HarnessError, match=words) as caught:
        OwnPairs(PairsConfig(path=str(path), **{**CONFIG, **config})).pairs(asked("height"))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_config_that_cannot_be_is_refused() -> None:
    for config in (
        {"path": "a.csv"},
        {"path": "a.txt", "domain_value": "age"},
        {"path": "a.csv", "domain": "a", "domain_value": "age"},
        {"path": "a.csv", "domain_value": "age", "halves": {"x": "left"}},
    ):
        with pytest.raises(ValidationError):
            PairsConfig.model_validate(config)
    missing = OwnPairs(PairsConfig(path="/nowhere/mine.csv", domain_value="age"))
    with pytest.raises(DataError, match=r"/nowhere/mine\.csv"):
        missing.pairs(asked("age"))


def test_a_context_without_a_blank_names_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.csv", [TRIPLES[0], {**TRIPLES[1], "context": "No gap."}])
    config = TriplesConfig(path=str(path), domain_value="height", context="context")
    with pytest.raises(DataError, match="line 3: 'context' has no BLANK"):
        OwnTriples(config).triples(asked("height"))


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_file_without_rows_is_refused_when_the_run_is_planned(
    tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"pairs.{ending}"
    path.write_text("more,less\n" if ending == "csv" else "", "utf-8")
    plugin = OwnPairs(PairsConfig(path=str(path), domain_value="age"))
    with pytest.raises(DataError, match="the file has no row; check 'path'"):
        plugin.fingerprint(DataStore(offline=True))
