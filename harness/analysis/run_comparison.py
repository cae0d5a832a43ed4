"""Two runs side by side: paired where they share items, else only their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.analysis.corrections import DEFAULT
from harness.analysis.entry import Entry
from harness.analysis.matrix import Row
from harness.analysis.matrix_builder import changes_of, corrected, with_tests
from harness.analysis.units import MetricUnit, column_units
from harness.errors import StoreError
from harness.garbage import uncollected
from harness.storage.cells import Cell, Identity
from harness.storage.reader import Column, Measured, RunReader, stopped_step
from harness.storage.store import Store


@dataclass(frozen=True)
class ComparedCell:
    """One model of both runs: the base, or one that was debiased alike.

    Attributes:
        title: of the cell in the first run.
        first_step, second_step: the steps that are compared, in words.
        entries: the numbers of both; `Entry.base` is of the first run, `Entry.after` of the
            second, and `Entry.changes` is empty where they share no item.
    """

    title: str
    first_step: str
    second_step: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Comparison:
    """Two runs.

    Attributes:
        first, second: names of the runs.
        cells: models that both have.
        only_first, only_second: titles of models that one has.
        correction: of the p-values of each family of tests.
        units: of the columns.
    """

    first: str
    second: str
    cells: tuple[ComparedCell, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    correction: str = DEFAULT
    units: Mapping[Column, MetricUnit] = field(default_factory=dict, compare=False)


def compare(
    first: Store,
    second: Store,
    *,
    metric: str | None = None,
    step: int | None = None,
    correction: str = DEFAULT,
) -> Comparison:
    """Compare the models that two runs share: same labels in the spec, each at its last step.

    The model's own label need not be the same where each run has one model only.

    Args:
        first: a run.
        second: what is compared with it.
        metric: only this one; default: the primary ones.
        step: checkpoint; default: each cell's last.
        correction: of the p-values of each family of tests.

    Raises:
        StoreError: a run has no record, or they share no model.
    """
    one, two = RunReader(first), RunReader(second)
    by_model = len(_models(one)) > 1 or len(_models(two)) > 1
    cells, others = _named(one, by_model), _named(two, by_model)
    shared = [(cell, others[name]) for name, cell in cells.items() if name in others]
    with uncollected():
        rows = _rows(one, two, shared, metric, step)
    if not rows:
        raise StoreError(
            f"{one.index.name} and {two.index.name} share no measured model: cells are matched by "
            "their labels (debiaser, corpus, masker, source, label, seed)"
        )
    tested = corrected([row for row, _, _ in rows], correction)
    return Comparison(
        one.index.name,
        two.index.name,
        tuple(
            ComparedCell(row.cell.title(), here, there, row.entries)
            for row, (_, here, there) in zip(tested, rows, strict=True)
        ),
        tuple(cell.title() for name, cell in cells.items() if name not in others),
        tuple(cell.title() for name, cell in others.items() if name not in cells),
        correction,
        column_units(one, {entry.column for row in tested for entry in row.entries}),
    )


def _models(reader: RunReader) -> set[str]:
    return {cell.model for cell in reader.index.cells}


def _named(reader: RunReader, by_model: bool) -> dict[Identity, Cell]:
    hidden = () if by_model else ("model",)
    return {cell.identity.without(*hidden): cell for cell in reader.index.cells}


def _rows(
    one: RunReader,
    two: RunReader,
    shared: Sequence[tuple[Cell, Cell]],
    metric: str | None,
    step: int | None,
) -> list[tuple[Row, str, str]]:
    """A row for each shared model, with the steps of both; tests a column at a time."""
    steps = [
        (0, 0) if cell.is_base else (cell.measured_step(step), other.measured_step(step))
        for cell, other in shared
    ]
    positions = {id(cell): k for k, cell in enumerate(one.index.cells)}
    shown = {positions[id(cell)]: at for (cell, _), (at, _) in zip(shared, steps, strict=True)}
    known = one.columns(shown, metric) if shared else ()
    columns: dict[Column, list[int]] = {}
    pairs: dict[tuple[int, Column], tuple[Measured, Measured]] = {}
    for number, ((cell, other), (at, there)) in enumerate(zip(shared, steps, strict=True)):
        for column in known:
            left, right = one.find(cell, at, column), two.find(other, there, column)
            if left is not None and right is not None:
                columns.setdefault(column, []).append(number)
                pairs[number, column] = left, right
    by_row: dict[int, list[Entry]] = {}
    for column, numbers in columns.items():
        both = [pairs[number, column] for number in numbers]
        for number, entry in zip(numbers, _entries(one, two, column, both), strict=True):
            by_row.setdefault(number, []).append(entry)
    answer = []
    for number, entries in sorted(by_row.items()):
        (cell, other), (at, there) = shared[number], steps[number]
        row = Row(cell, at, tuple(entries))
        first, second = one.stop(cell, at), two.stop(other, there)
        answer.append((row, stopped_step(at, first), stopped_step(there, second)))
    return answer


def _entries(
    one: RunReader, two: RunReader, column: Column, pairs: Sequence[tuple[Measured, Measured]]
) -> list[Entry]:
    """One column of several models, tested where the runs share items."""
    metrics = [right.metrics[column.metric] for _, right in pairs]
    tables = [(one.items(left.place), two.items(right.place)) for left, right in pairs]
    return with_tests(
        [
            Entry(
                column,
                "measured",
                base=left.metrics[column.metric],
                after=metric,
                value=metric.value,
                fits=(f"{right.place.key}",),
                changes=(change,) if change is not None else (),
            )
            for (left, right), metric, change in zip(
                pairs, metrics, changes_of(metrics, tables), strict=True
            )
        ]
    )
