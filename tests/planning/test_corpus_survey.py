"""The survey of a corpus: counts, placing against codes, and near-duplicates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import invoke, text_of
from harness_corpora.domains import BUILT_IN
from statsmodels.stats.proportion import proportion_confint

from harness.data.places import DataStore
from harness.errors import DataError, NoPassageError, SpecError
from harness.planning.corpus_survey import Placement, placement, survey_corpus, wilson
from harness.planning.spec import PluginUse
from harness.plugins import load_registry
from harness.types import Placing

AUDIT = {"gender": (0.54, 0.76), "race": (0.92, 0.57), "religion": (0.90, 0.72)}
"""Precision and recall of the term lists by an independent audit of DGHS's 2,411 coded rows."""


@pytest.fixture(scope="module")
def found(shared_data: Path) -> dict[str, object]:
    """The survey of three domains, as plain data."""
    data = DataStore(data_dir=shared_data, offline=True, domains=BUILT_IN)
    use = PluginUse(use="dghs", label="dghs", config={})
    return survey_corpus(load_registry(strict=True), data, use, tuple(AUDIT)).as_json()


@pytest.mark.parametrize("domain", AUDIT)
def test_placing_is_that_of_the_audit(
    domain: str, found: dict[str, list[dict[str, object]]]
) -> None:
    (row,) = [one for one in found["placements"] if one["domain"] == domain]
    assert row["coded"] == 2411
    assert (round(row["precision"], 2), round(row["recall"], 2)) == AUDIT[domain]  # type: ignore[call-overload]


def test_what_the_passages_are(found: dict[str, list[dict[str, object]]]) -> None:
    def selection(label: str, split: str) -> dict[str, object]:
        (row,) = [
            one
            for one in found["selections"]
            if (one["domain"], one["label"], one["split"]) == ("gender", label, split)
        ]
        return row

    train = selection("hateful", "train")
    assert train["passages"] == 4335
    assert train["placed_by"] == {"term": 4335}
    assert round(train["groups"]["term:men"] / 4335, 2) == 0.35  # type: ignore[index]
    assert round(train["mentions"]["race"], 2) == 0.22  # type: ignore[index]
    test = selection("hateful", "test")
    assert test["passages"] + test["left_out"] == 397  # type: ignore[operator]
    assert set(test["placed_by"]) == {"code", "term"}  # type: ignore[call-overload]
    assert 0.44 < selection("non-hateful", "train")["repeats_hateful"] < 0.46  # type: ignore[operator]


def test_counts_of_a_rule() -> None:
    gender, race = frozenset({"gender"}), frozenset({"race"})
    rows = [
        Placing(gender, True),
        Placing(race, True),
        Placing(gender, False),
        Placing(race, False),
    ]
    counts = placement("gender", [*rows, Placing(gender | race, True)])
    assert (counts.coded, counts.of_domain, counts.placed, counts.hits) == (5, 3, 3, 2)
    assert (counts.precision, counts.recall) == (2 / 3, 2 / 3)
    empty = Placement(domain="gender", coded=0, of_domain=0, placed=0, hits=0)
    assert (empty.precision, empty.recall, empty.recall_interval()) == (None, None, None)


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 20), (3, 20), (20, 20), (700, 2411)])
def test_intervals_are_those_of_statsmodels(hits: int, n: int) -> None:
    expected = proportion_confint(hits, n, method="wilson")
    assert wilson(hits, n) == pytest.approx(expected, abs=1e-12)


# -- the command -----------------------------------------------------------------------------


def test_no_passage_is_shown_unless_asked_for(shared_data: Path) -> None:
    plain = invoke("--data-dir", shared_data, "corpus", "embedded", "-d", "gender")
    assert plain.exit_code == 0, plain.output
    assert "Women" not in plain.output
    shown = text_of("corpus", "embedded", "-d", "gender", "--show", 2)
    assert shown.count("\n  ") >= 8
    as_json = json.loads(text_of("corpus", "embedded", "-d", "gender", "--json"))
    assert as_json["samples"] == []
    assert {one["passages"] for one in as_json["selections"]} == {70, 140}


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    rows = "\n".join(f"women number {i} work,1" for i in range(40))
    path.write_text(f"text,label\n{rows}\n", encoding="utf-8")
    words = ("--set", f"path={path}", "--set", "label=label", "--set", "domain_value=gender")
    as_json = json.loads(text_of("corpus", "file", *words, "--json"))
    assert {one["domain"] for one in as_json["selections"]} == {"gender"}
    assert sum(one["passages"] + one["left_out"] for one in as_json["selections"]) == 40


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (("embeded",), DataError, "did you mean 'embedded'"),
        (("embedded", "-d", "gendre"), SpecError, "did you mean 'gender'"),
        (("embedded", "-d", "age"), NoPassageError, "has no passage of age"),
        (("embedded", "--set", "x=1"), SpecError, "unknown key 'x'"),
        (("file",), SpecError, "path"),
    ],
)
def test_mistakes_are_one_line(words: tuple[str, ...], error: type, message: str) -> None:
    result = invoke("corpus", *words)
    assert result.exception is not None
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
