"""Reported numbers: the paper's tables to the digit, counts that give their percentages."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from harness_corpora.domains import BUILT_IN

from harness.analysis.reported import find_publication, load_publications
from harness.data.domains import NO_DOMAIN, OVERALL
from harness.errors import DataError

COLUMNS = {
    "perplexity_wikitext2": "perplexity_published",
    "stereoset_lm_score": ("lm_score", "lm_score_macro"),
    "crows_pairs": "stereotype_score",
    "stereoset": ("ss_score", "ss_score_macro"),
}


def test_the_papers_tables_are_there_to_the_digit_and_nothing_else(shared_data: Path) -> None:
    printed = []
    for table in (1, 2):
        path = shared_data.parent / "reference" / f"paper_table{table}.csv"
        with path.open(newline="") as stream:
            for row in csv.DictReader(stream):
                method, _, step = row["model"].partition("@")
                ours = row["group"] == "ours"
                for column, metrics in COLUMNS.items():
                    if column in row:
                        metric = metrics if isinstance(metrics, str) else metrics[not ours]
                        domain = row.get("domain") or (
                            "none" if "perplexity" in metric else "overall"
                        )
                        at = int(step or 0) if ours else None
                        name = None if method == "gpt2" else method
                        printed.append((ours, name, at, metric, domain, float(row[column])))
    stored = [
        (publication == "lu2024", n.method, n.step, n.metric, n.domain, n.value)
        for publication in ("lu2024", "meade2022")
        for n in find_publication(publication).numbers
    ]
    assert len(stored) == 88
    assert sorted(stored, key=str) == sorted(printed, key=str)


def test_every_bias_score_of_the_paper_has_its_count() -> None:
    paper = find_publication("paper")
    assert paper.id == "lu2024"
    counted = [n for n in paper.numbers if n.numerator is not None]
    assert len(counted) == 36 + 6
    assert {n.n for n in counted if n.metric == "stereotype_score"} == {262, 516, 105}
    assert {n.source for n in paper.numbers if n.method} == {"gender"}


def test_names_are_canonical_and_ids_unique() -> None:
    publications = load_publications()
    names = [name for p in publications for name in (p.id, *p.aliases)]
    assert len(names) == len(set(names))
    for publication in publications:
        assert publication.numbers
        for number in publication.numbers:
            assert number.domain in {*BUILT_IN, NO_DOMAIN, OVERALL}
            assert number.source in {None, *BUILT_IN}


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="did you mean 'paper'"):
        find_publication("papr")
    good = find_publication("paper").model_dump(mode="json")
    wrong = {**good, "numbers": [{**good["numbers"][1], "numerator": 3842}]}
    (tmp_path / "bad.json").write_text(json.dumps(wrong))
    with pytest.raises(DataError, match=r"bad\.json: .*numbers\.0: .*3842 of 2106") as caught:
        load_publications(tmp_path)
    assert "\n" not in str(caught.value)
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DataError, match="no file of reported numbers"):
        load_publications(tmp_path)
