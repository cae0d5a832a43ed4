"""A run as one long table: a row for each number, with what it is compared with.

The corrected p-value of a primary metric is the one of `harness matrix --step`: corrected over
all primary cells of that step. Another metric's is over all cells of that metric and step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, islice
from typing import NamedTuple, get_type_hints

from harness.analysis.effects import Estimated
from harness.analysis.improvements import improvements
from harness.analysis.matrix_builder import Column, Matrix, Row, matrix_of
from harness.forks import forked_map
from harness.garbage import uncollected
from harness.metrics import Direction, Metric
from harness.storage.cells import Identity, is_control
from harness.storage.reader import RunReader
from harness.storage.records import RunIndex
from harness.storage.store import Store

Cell = str | int | float | bool | None

MANY = 2_000
"""Records from which on it pays to start further processes."""


class TidyRow(NamedTuple):
    """One number. Fields that do not apply (the base has no change) are None."""

    run: str
    identity: Identity
    """The axes of the cell, each a column."""
    control: bool
    """Whether methods are compared with it."""
    control_kind: str | None
    step: int
    evaluator: str
    protocol: str
    target: str
    metric: str
    direction: str | None
    value: float | None
    base_value: float | None
    change: float | None
    improvement: float | None
    n: int | None
    numerator: float | None
    p: float | None
    p_corrected: float | None
    ci_low: float | None
    """Bounds of the 95 % interval of `change`."""
    ci_high: float | None
    improvement_low: float | None
    """Bounds of the 95 % interval of `improvement`."""
    improvement_high: float | None
    detectable: float | None
    """The smallest change that these items would likely show."""
    status: str
    failed_reason: str | None
    unit: str | None
    """Of `change`, `improvement` and `detectable`; None for none."""
    stopped_at_step: int | None
    """Where a fit with ``stop_at`` ended; `step` is what its results are stored under."""
    stopped_at_kl: float | None
    """The divergence from the base there, in nats a token."""

    @property
    def number(self) -> tuple[object, ...]:
        """What the row is about: two rows with the same are of one number."""
        return (
            self.identity, self.step, self.evaluator, self.protocol, self.target, self.metric
        )  # fmt: skip

    def cells(self) -> tuple[Cell, ...]:
        """The row's values in the order of `COLUMNS`."""
        return (self.run, *self.identity, *self[2:])

    def values(self) -> dict[str, Cell]:
        """The row by column, in the order of `COLUMNS`."""
        return dict(zip(COLUMNS, self.cells(), strict=True))


COLUMNS: Mapping[str, object] = {
    "run": str,
    **get_type_hints(Identity),
    **dict(list(get_type_hints(TidyRow).items())[2:]),
}
"""Names of the columns, each with its type."""


def tidy_rows(store: Store, *, processes: int = 1) -> list[TidyRow]:
    """Return every number of a run, of all metrics and steps: the base first, then by cell.

    Args:
        store: the run.
        processes: how many may work on a large run.

    Raises:
        StoreError: the run has no record.
    """
    with uncollected():
        reader = RunReader(store)
        steps = _steps(reader.index)
        asked = [
            (metric, step)
            for metric, measured_at in _metrics(reader).items()
            for step in steps
            if metric is None or step is None or measured_at & {0, step}
        ]
        if _records(reader.index) < MANY:
            processes = 1
        tables = forked_map(lambda pair: _matrix_rows(reader, *pair), asked, processes)
        first: dict[tuple[object, ...], TidyRow] = {}
        for row in chain.from_iterable(tables):
            first.setdefault(row.number, row)
        return list(first.values())


def _steps(index: RunIndex) -> list[int | None]:
    """The steps of the debiased models, last first; a cell with a single step is read at each."""
    steps = {s for cell in index.cells for s in cell.steps if s > 0 and not cell.is_base}
    return [*sorted(steps, reverse=True)] or [None]


def _records(index: RunIndex) -> int:
    return len({ref.key for cell in index.cells for ref in cell.measures})


Metrics = dict[str | None, set[int]]
"""Each metric with the steps at which it was measured; None: the primary ones, at any."""


def _metrics(reader: RunReader) -> Metrics:
    """The primary metrics, and each that is not primary everywhere."""
    measured_at: dict[str, set[int]] = {}
    primary: dict[str, bool] = {}
    refs = {ref.key: ref for cell in reader.index.cells for ref in cell.measures}
    for ref in refs.values():
        for measurement in (reader.record(ref.key) or {}).values():
            for metric in measurement.defined.values():
                measured_at.setdefault(metric.name, set()).add(ref.step)
                primary[metric.name] = primary.get(metric.name, True) and metric.primary
    metrics: Metrics = {None: set()}
    metrics.update((name, measured_at[name]) for name in sorted(measured_at) if not primary[name])
    return metrics


def _matrix_rows(reader: RunReader, metric: str | None, step: int | None) -> list[TidyRow]:
    """The rows of one metric, or of the primary ones, at a step."""
    return list(_rows(matrix_of(reader, metric=metric, step=step, pooled=False)))


def _rows(matrix: Matrix) -> Iterator[TidyRow]:
    units = [matrix.unit(column).change or None for column in matrix.columns]
    unit_of = dict(zip(matrix.columns, units, strict=True))
    for (model, column), metric in matrix.base.items():
        yield _base(matrix.name, model, column, metric, unit_of[column])
    gains = iter(improvements([entry for row in matrix.rows for entry in row.entries]))
    for row in matrix.rows:
        yield from _entries(matrix.name, row, islice(gains, len(row.entries)), units)


def _base(run: str, model: str, column: Column, metric: Metric, unit: str | None) -> TidyRow:
    return TidyRow(
        run=run,
        identity=Identity(model),
        control=False,
        control_kind=None,
        step=0,
        evaluator=column.evaluator,
        protocol=column.protocol,
        target=column.domain,
        metric=column.metric,
        direction=_direction(metric.direction),
        value=_digits(metric.value),
        base_value=None,
        change=None,
        improvement=None,
        n=metric.n,
        numerator=metric.numerator,
        p=None,
        p_corrected=None,
        ci_low=None,
        ci_high=None,
        improvement_low=None,
        improvement_high=None,
        detectable=None,
        status="measured",
        failed_reason=None,
        unit=unit,
        stopped_at_step=None,
        stopped_at_kl=None,
    )


def _entries(
    run: str, row: Row, gains: Iterable[Estimated | None], units: Sequence[str | None]
) -> Iterator[TidyRow]:
    """A row of the table for each entry of a matrix row.

    Fields are given by position: with names, this takes twice the time for tens of thousands.
    """
    cell = row.cell
    who = (run, cell.identity, is_control(cell), cell.control_kind, row.step)
    (stop,) = row.stops or (None,)
    stopped = (None, None) if stop is None else (stop.step, _digits(stop.kl))
    for entry, improved, unit in zip(row.entries, gains, units, strict=True):
        column, after, base, interval = entry.column, entry.after, entry.base, entry.interval
        known = after or base
        gain = improved.interval if improved is not None else None
        yield TidyRow(
            *who,
            column.evaluator,
            column.protocol,
            column.domain,
            column.metric,
            _direction(known.direction) if known else None,
            _digits(after.value) if after else None,
            _digits(base.value) if base else None,
            _digits(entry.change),
            _digits(improved.value) if improved is not None else None,
            after.n if after else None,
            after.numerator if after else None,
            _digits(entry.p),
            _digits(entry.adjusted_p),
            _digits(interval.low) if interval else None,
            _digits(interval.high) if interval else None,
            _digits(gain.low) if gain else None,
            _digits(gain.high) if gain else None,
            _digits(entry.detectable),
            entry.status,
            entry.reason,
            unit,
            *stopped,
        )


@cache
def _direction(direction: Direction) -> str:
    if direction.kind == "target":
        return f"target {direction.target:g}"
    return direction.kind


def _digits(value: float | None) -> float | None:
    """Twelve significant digits: more than the arithmetic warrants, and the same everywhere."""
    return None if value is None else float(f"{value:.12g}")
