"""What evaluators declare about stored items, and the metrics that follow from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fresh_env import REPO

from harness.analysis.item_changes import NoItemValueError, item_changes
from harness.analysis.matrix_builder import matrix_of
from harness.arrays import Floats
from harness.errors import HarnessError
from harness.estimators import known_estimators
from harness.families import Evaluator
from harness.planning.yaml_lines import parse_yaml
from harness.plugins import load_registry
from harness.quantities import Decision
from harness.render.console.plugins import example_fragment
from harness.replay.verification import verify
from harness.storage.reader import Column, RunReader
from harness.storage.store import Store

STORED = sorted(path.parent for path in (REPO / "results").glob("*/index.json"))
WITHOUT_ITEMS = {
    "icat", "icat_micro", "change_ratio", "seat_mean_absolute_effect_size", "seat_effect_size",
}  # fmt: skip
"""Estimators that have no number for each item."""

CONTINUOUS = {"preference", "preference_rescaled", "scale", "margin"}


@pytest.fixture(scope="module", params=STORED, ids=lambda path: path.name)
def reader(request: pytest.FixtureRequest) -> RunReader:
    return RunReader(Store.open(request.param))


def last_steps(reader: RunReader) -> dict[int, int]:
    return {number: cell.steps[-1] for number, cell in enumerate(reader.index.cells)}


def columns(reader: RunReader, metric: str) -> tuple[Column, ...]:
    return reader.columns(last_steps(reader), metric=metric)


def margins(reader: RunReader, column: Column, number: int, step: int) -> Floats:
    """Margins of a cell, read from its stored items."""
    found = reader.find(reader.index.cells[number], step, column)
    assert found is not None
    table = reader.items(found.place)
    first, second = found.metrics[column.metric].of
    return table.column(first) - table.column(second)


def test_a_run_from_before_the_continuous_scores_gains_them(reader: RunReader) -> None:
    measured = {ref.evaluator for cell in reader.index.cells for ref in cell.measures}
    paired = measured & {"crows-pairs", "stereoset"}
    assert paired
    for name in CONTINUOUS:
        assert {column.evaluator for column in columns(reader, name)} >= paired
    number = next(n for n, cell in enumerate(reader.index.cells) if not cell.is_base)
    cell = reader.index.cells[number]
    for column in columns(reader, "preference"):
        found = reader.find(cell, cell.steps[-1], column)
        assert found is not None
        before, after = (margins(reader, column, number, s) for s in (0, cell.steps[-1]))
        unit = np.median(np.abs(before))
        expected = 100 * np.mean(1 / (1 + np.exp(-after / unit)))
        assert found.metrics["preference"].value == pytest.approx(expected)
        scale = reader.find(cell, cell.steps[-1], column._replace(metric="scale"))
        assert scale is not None
        assert scale.metrics["scale"].value == pytest.approx(after.std() / before.std())


def test_association_and_frequency_are_the_halves_sum_and_half_difference(
    reader: RunReader,
) -> None:
    number = next(n for n, cell in enumerate(reader.index.cells) if not cell.is_base)
    cell = reader.index.cells[number]
    for column in columns(reader, "frequency"):
        if column.evaluator != "crows-pairs":
            continue
        found = reader.find(cell, cell.steps[-1], column)
        assert found is not None
        table = reader.items(found.place)
        values = table.column("more") - table.column("less")
        halves = [values[np.array(table.strata) == half] for half in ("stereo", "antistereo")]
        if not all(map(len, halves)):  # a run on few items may have none of a half
            assert found.metrics["frequency"].value is None
            continue
        stereo, anti = (half.mean() for half in halves)
        assert found.metrics["frequency"].value == pytest.approx((stereo - anti) / 2)
        other = reader.find(cell, cell.steps[-1], column._replace(metric="association"))
        assert other is not None
        assert other.metrics["association"].value == pytest.approx(stereo + anti)


def test_the_base_has_a_preference_of_its_own_and_a_scale_of_one(reader: RunReader) -> None:
    cell = reader.index.cells[0]
    assert cell.is_base
    for column in columns(reader, "scale"):
        found = reader.find(cell, 0, column)
        assert found is not None
        assert found.metrics["scale"].value == pytest.approx(1.0)


def test_derived_metrics_have_intervals_in_a_matrix(reader: RunReader) -> None:
    matrix = matrix_of(reader.store, metric="preference")
    entries = [e for row in matrix.rows for e in row.entries if e.status == "measured"]
    assert entries
    assert all(e.change is not None for e in entries)
    moved = [e for e in entries if e.column.evaluator == "crows-pairs" and e.change]
    assert moved
    assert all(e.interval is not None for e in moved)


def test_changed_items_are_those_of_the_metric_whatever_it_is(reader: RunReader) -> None:
    """A half lists the items of that half only; gains less losses give the change of a share."""
    steps = last_steps(reader)
    number = next(n for n, cell in enumerate(reader.index.cells) if not cell.is_base)
    cell = reader.index.cells[number]
    seen = 0
    for name in sorted({c.metric for m in _all_columns(reader, steps) for c in (m,)}):
        for column in columns(reader, name):
            try:
                found = item_changes(reader, cell, steps[number], column)
            except NoItemValueError:
                # A product or ratio of several means has no number for each item.
                measured = reader.find(cell, steps[number], column)
                assert measured is not None
                assert measured.metrics[name].estimator in WITHOUT_ITEMS
                continue
            if found is None:
                continue
            if found.after.stratum is not None:
                assert {item.stratum for item in found.items} <= {found.after.stratum}
            assert len(found.items) == found.after.n
            if found.decisions and known_estimators()[found.after.estimator].decided:
                seen += 1
                moved = sum(
                    item.decided[1] - item.decided[0] for item in found.changed if item.decided
                )
                if found.after.value is None or found.base.value is None:
                    assert found.after.n == 0
                    continue
                change = found.after.value - found.base.value
                assert 100 * moved / found.after.n == pytest.approx(change)
    assert seen > 5


def _all_columns(reader: RunReader, steps: dict[int, int]) -> list[Column]:
    names: dict[str, None] = {}
    for cell in reader.index.cells:
        for ref in cell.measures:
            for measured in (reader.record(ref.key) or {}).values():
                names.update(dict.fromkeys([*measured.metrics, *measured.derived]))
    return [column for name in names for column in reader.columns(steps, metric=name)]


def test_stored_numbers_and_decisions_are_verified_with_the_declarations(
    reader: RunReader,
) -> None:
    assert verify(reader.store).differences == ()


def test_every_evaluator_declares_its_metrics_consistently() -> None:
    """Decisions compare declared values; halves name a whole; a metric has a role."""
    for entry in load_registry(strict=True):
        if entry.family != "evaluator":
            continue
        ((use,),) = parse_yaml(example_fragment(entry), "example")[0].values()
        written = {} if isinstance(use, str) else use
        config = {name: value for name, value in written.items() if name != "use"}
        evaluator = entry.plugin(entry.plugin.Config.model_validate(config))
        assert isinstance(evaluator, Evaluator)
        for protocol in ("hf_nll", "lmeval_sum", "hf_nll+start", "mlm_filler"):
            try:
                quantities = evaluator.quantities(protocol)
            except HarnessError:  # not a protocol of this evaluator
                continue
            assert quantities, f"{entry.name} declares no quantities"
            for quantity in quantities.values():
                if isinstance(quantity, Decision):
                    assert set(quantity.of) <= set(quantities)
            names = {metric.name for metric in evaluator.metrics(protocol, "gender")}
            for metric in evaluator.metrics(protocol, "gender"):
                assert set(metric.of) <= set(quantities)
                assert metric.whole is None or metric.whole in names
                assert metric.role is not None


def test_a_record_of_an_unknown_evaluator_stays_as_it_is(tmp_path: Path) -> None:
    from made_runs import make_run

    reader = RunReader(make_run(tmp_path))
    assert {c.metric for c in _all_columns(reader, last_steps(reader))} >= {"stereotype_score"}
    assert not {c.metric for c in _all_columns(reader, last_steps(reader))} & CONTINUOUS
