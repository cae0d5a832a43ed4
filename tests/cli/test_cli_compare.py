"""harness compare: paired where items are the same, side by side where not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import invoke, rows, text_of
from made_runs import make_run

from harness.analysis.run_comparison import compare
from harness.errors import StoreError
from harness.metrics import Metric
from harness.storage.records import RunIndex


def test_runs_with_the_same_items_are_paired(tmp_path: Path) -> None:
    one = make_run(tmp_path, name="one")
    two = make_run(tmp_path, name="two", steps=[10, 60])
    found = compare(one, two, step=10)
    assert not found.only_first
    cell = next(c for c in found.cells if "mlm" in c.title and "gender" in c.title)
    assert (cell.first_step, cell.second_step) == ("step 10", "step 10")
    entry = cell.entries[0]
    assert entry.shared == 40
    assert entry.test is not None
    assert entry.adjusted_p is not None
    assert entry.change == pytest.approx(100 * (entry.test.gained - entry.test.lost) / 40)
    base = found.cells[0]
    assert all(e.change == 0.0 and e.evidence == "exact" for e in base.entries)
    for width in (80, 100):
        text = text_of("compare", one.folder, two.folder, width=width)
        assert max(map(len, text.splitlines())) <= width


def test_runs_without_shared_items_stand_side_by_side(tmp_path: Path) -> None:
    one = make_run(tmp_path, name="one")
    two = make_run(tmp_path, name="two")
    for key in two.record_keys():
        record = two.record(key)
        assert record is not None
        others = [
            m.model_copy(
                update={
                    "items": tuple(
                        item.model_copy(update={"id": f"other-{item.id}"}) for item in m.items
                    )
                }
            )
            for m in record.measurements
        ]
        two.write_record(record.model_copy(update={"measurements": tuple(others)}))
    entries = [e for cell in compare(one, two).cells for e in cell.entries]
    assert entries
    assert all(e.shared == 0 and e.p is None and e.interval is None for e in entries)
    assert "none shared" in text_of("compare", one.folder, two.folder)


def test_differences_are_of_the_items_that_both_runs_have(tmp_path: Path) -> None:
    """A run on fewer items of the same suite does not differ from the whole one by the others."""
    one = make_run(tmp_path, name="one")
    two = make_run(tmp_path, name="two")
    for key in two.record_keys():
        record = two.record(key)
        assert record is not None
        if record.inputs["evaluator"] == "pairs":
            few = []
            for m in record.measurements:
                items = m.items[:15]
                metrics = tuple(
                    Metric.of_items(
                        metric.name, items, estimator=metric.estimator, of=metric.of,
                        direction=metric.direction, stratum=metric.stratum, primary=metric.primary,
                    )
                    for metric in m.metrics
                )  # fmt: skip
                few.append(m.model_copy(update={"items": items, "metrics": metrics}))
            two.write_record(record.model_copy(update={"measurements": tuple(few)}))
    entries = [e for cell in compare(one, two).cells for e in cell.entries if e.shared == 15]
    assert len(entries) > 10
    assert any(e.base and e.base.value != e.value for e in entries)
    assert {e.changes[0].value for e in entries} == {0.0}
    assert {e.evidence for e in entries} == {"exact"}
    text = rows(text_of("compare", one.folder, two.folder))
    assert "over each run's own items" in text


def test_models_of_one_run_alone_are_listed(tmp_path: Path) -> None:
    one = make_run(tmp_path, name="one", sources=["gender", "race"])
    two = make_run(tmp_path, name="two", sources=["gender"])
    text = rows(text_of("compare", one.folder, two.folder))
    assert "only in one: tiny_1 / mlm-unlearning / dghs / wordlist / race" in text


def test_compare_with_published_numbers_tests_nothing(tmp_path: Path) -> None:
    store = make_run(tmp_path, name="one", steps=[10, 50])
    index = store.index()
    renamed = json.loads(index.model_dump_json().replace('"pairs"', '"crows-pairs"'))
    store.write_index(RunIndex.model_validate(renamed))
    text = rows(text_of("compare", store.folder, "--reported", "paper"))
    assert "side by side, not tested" in text
    assert "58.40" in text
    result = invoke("compare", store.folder)
    assert result.exit_code == 2
    assert "--reported" in result.output
    bare = make_run(tmp_path, name="bare", evaluators=["corpus-perplexity"])
    result = invoke("compare", bare.folder, "--reported", "paper")
    assert isinstance(result.exception, StoreError)
    assert "bare has none of these but corpus-perplexity by 'unlearned'" in str(result.exception)
