"""From a run's store to its transfer matrix.

Everything here is read from the index and the records. A metric's direction says what is an
improvement; nothing knows a metric by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

from harness.errors import StoreError, did_you_mean
from harness.metrics import Item, Metric
from harness.records import Cell, Failure, Record, RunIndex
from harness.stats import (
    Correction,
    Interval,
    McNemar,
    SeedSummary,
    benjamini_hochberg,
    mcnemar,
    minimal_detectable_change,
)
from harness.store import Store

Status = Literal["measured", "failed", "missing"]

ALPHA = 0.05


class Column(NamedTuple):
    """What is compared: one metric of one evaluator, protocol and domain."""

    evaluator: str
    protocol: str
    metric: str
    domain: str


@dataclass(frozen=True)
class Half:
    """A part of a score before and after: a stratum, or the balanced mean of the strata."""

    name: str
    base: Metric | None
    after: Metric
    interval: Interval | None = None
    """95 % interval of the change; only the balanced mean has one."""

    @property
    def change(self) -> float | None:
        """After minus before."""
        if self.base is None or self.base.value is None or self.after.value is None:
            return None
        return self.after.value - self.base.value


@dataclass(frozen=True)
class OverSeeds:
    """One column of one method and source over several seeds: the spread between fits.

    Kept apart from the item-level interval, which is about the items of one fit.
    """

    column: Column
    seeds: tuple[int, ...]
    value: SeedSummary
    """Of the debiased values."""
    change: SeedSummary
    improvement: SeedSummary
    adjusted_p: float | None = None
    """One-sample t test of the improvements over seeds, corrected over all such cells."""


@dataclass(frozen=True)
class SeedRow:
    """Rows that differ in nothing but the seed."""

    cell: Cell
    """The first seed's cell; its ``seed`` says nothing about the others."""
    step: int
    entries: tuple[OverSeeds, ...]


@dataclass(frozen=True)
class Entry:
    """One comparison with the base: a value, its change, and whether it can be chance."""

    column: Column
    status: Status
    reason: str | None = None
    base: Metric | None = None
    after: Metric | None = None
    test: McNemar | None = None
    adjusted_p: float | None = None
    detectable: float | None = None
    p: float | None = None
    """Uncorrected p-value: exact McNemar where there is a `test`, else of the paired bootstrap."""
    interval: Interval | None = None
    """95 % interval of `change` over items (paired bootstrap; whole clusters where there are)."""
    improvement_interval: Interval | None = None
    """The same of `improvement`."""
    shared: int = 0
    """Items that base and debiased model share: what the test and the intervals are of."""
    halves: tuple[Half, ...] = ()
    """The strata of a paired suite (stereo, antistereo), before and after; empty where none."""
    balanced: Half | None = None
    """The unweighted mean of the halves, before and after, with the interval of its change."""
    warning: str | None = None
    """One line where the score moved and the balanced mean of its halves did not."""

    @property
    def significant(self) -> bool:
        """Whether the corrected p-value is below 0.05."""
        return self.adjusted_p is not None and self.adjusted_p < ALPHA

    @property
    def change(self) -> float | None:
        """After minus before."""
        if self.base is None or self.after is None:
            return None
        if self.base.value is None or self.after.value is None:
            return None
        return self.after.value - self.base.value

    @property
    def improvement(self) -> float | None:
        """How much nearer to the ideal; negative is harm."""
        if self.base is None or self.after is None:
            return None
        if self.base.value is None or self.after.value is None:
            return None
        return self.after.direction.improvement(self.base.value, self.after.value)

    @property
    def towards_target(self) -> bool:
        """Whether the metric has a target, as bias scores do."""
        known = self.after or self.base
        return known is not None and known.direction.kind == "target"


@dataclass(frozen=True)
class Row:
    """One debiased model at one step."""

    cell: Cell
    step: int
    entries: tuple[Entry, ...]

    def entry(self, column: Column) -> Entry | None:
        """The entry of a column, if the row has it."""
        return next((entry for entry in self.entries if entry.column == column), None)


@dataclass(frozen=True)
class Matrix:
    """Rows of debiased models by columns of metrics, each compared with the base."""

    name: str
    columns: tuple[Column, ...]
    base: dict[tuple[str, Column], Metric]
    """Value of the base model, by model and column."""
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    correction: Correction = "bh"
    """How the p-values of all cells were corrected together."""
    seeds: tuple[SeedRow, ...] = ()
    """Empty unless a method was fitted with several seeds."""

    @cached_property
    def failures(self) -> tuple[tuple[str, str], ...]:
        """Title and reason of every failed entry, each once."""
        found = {
            (f"{row.cell.title()} / step {row.step}", entry.reason or "")
            for row in self.rows
            for entry in row.entries
            if entry.status == "failed"
        }
        return tuple(sorted(found))


def build_matrix(
    store: Store,
    *,
    metric: str | None = None,
    evaluator: str | None = None,
    protocol: str | None = None,
    step: int | None = None,
) -> Matrix:
    """Compare every debiased model of a run with its base.

    Args:
        store: the run.
        metric: only this metric; default: the primary ones.
        evaluator: only this evaluator.
        protocol: only this protocol (scorer).
        step: the checkpoint; default: each cell's last.

    Raises:
        StoreError: the run has no record, or none that was asked for.
    """
    reader = _Reader(store)
    columns = reader.columns(metric, evaluator, protocol)
    rows = []
    for cell in reader.index.cells:
        if cell.is_base:
            continue
        steps = [s for s in cell.steps if s > 0]
        chosen = step if step in steps else (steps[-1] if step is None or len(steps) == 1 else None)
        if chosen is not None:
            rows.append(reader.row(cell, chosen, columns))
    return Matrix(
        name=reader.index.name,
        columns=columns,
        base=reader.base(columns),
        rows=tuple(_adjusted(rows)),
        notes=tuple(dict.fromkeys(reader.notes)),
    )


class _Reader:
    """Reads a run's records, each once."""

    def __init__(self, store: Store) -> None:
        self.index: RunIndex = store.index()
        self.notes: list[str] = []
        self._store = store
        self._records: dict[str, Record | None] = {}
        self._failures: dict[str, Failure | None] = {}

    def record(self, key: str) -> Record | None:
        if key not in self._records:
            record = self._store.record(key)
            self._records[key] = record
            for measurement in record.measurements if record else ():
                if measurement.note:
                    self.notes.append(measurement.note)
        return self._records[key]

    def failure(self, key: str) -> Failure | None:
        if key not in self._failures:
            self._failures[key] = self._store.failure(key)
        return self._failures[key]

    def columns(
        self, metric: str | None, evaluator: str | None, protocol: str | None
    ) -> tuple[Column, ...]:
        found: dict[Column, bool] = {}
        for cell in self.index.cells:
            for ref in cell.measures:
                record = self.record(ref.key)
                for m in record.measurements if record else ():
                    for own in m.metrics:
                        column = Column(ref.evaluator, m.protocol, own.name, m.domain)
                        found[column] = own.primary
        if not found:
            raise StoreError(f"{self._store.folder}: no measurement yet; `harness run` makes them")
        for name, value, position in (
            ("evaluator", evaluator, 0),
            ("protocol", protocol, 1),
            ("metric", metric, 2),
        ):
            known = {column[position] for column in found}
            if value is not None and value not in known:
                raise StoreError(f"this run has no {name} '{value}'{did_you_mean(value, known)}")
        chosen = [
            column
            for column, primary in found.items()
            if (primary if metric is None else column.metric == metric)
            and evaluator in (None, column.evaluator)
            and protocol in (None, column.protocol)
        ]
        order = {domain: i for i, domain in enumerate(self.index.targets)}
        chosen.sort(key=lambda c: order.get(c.domain, len(order)))
        return tuple(chosen)

    def base(self, columns: Sequence[Column]) -> dict[tuple[str, Column], Metric]:
        found: dict[tuple[str, Column], Metric] = {}
        for cell in self.index.cells:
            for column in columns:
                metric, _ = self._find(cell, 0, column)
                if metric is not None:
                    found.setdefault((cell.model, column), metric)
        return found

    def row(self, cell: Cell, step: int, columns: Sequence[Column]) -> Row:
        return Row(cell, step, tuple(self._entry(cell, step, column) for column in columns))

    def _entry(self, cell: Cell, step: int, column: Column) -> Entry:
        refs = [r for r in cell.measures if r.step == step and r.evaluator == column.evaluator]
        base, base_items = self._find(cell, 0, column)
        for ref in refs:
            if self.record(ref.key) is None:
                failure = self.failure(ref.key)
                status: Status = "failed" if failure else "missing"
                return Entry(column, status, failure.reason if failure else None, base=base)
        after, items = self._find(cell, step, column)
        if after is None:
            return Entry(column, "missing", base=base)
        return Entry(
            column,
            "measured",
            base=base,
            after=after,
            test=_test(after, base_items, items),
            detectable=_detectable(after),
        )

    def _find(
        self, cell: Cell, step: int, column: Column
    ) -> tuple[Metric | None, tuple[Item, ...]]:
        for ref in cell.measures:
            if ref.step != step or ref.evaluator != column.evaluator:
                continue
            record = self.record(ref.key)
            for m in record.measurements if record else ():
                if (m.protocol, m.domain) == (column.protocol, column.domain):
                    for metric in m.metrics:
                        if metric.name == column.metric:
                            return metric, m.items
        return None, ()


def _test(metric: Metric, before: Iterable[Item], after: Iterable[Item]) -> McNemar | None:
    """Exact McNemar on the items' decisions, for a percentage of one 0/1 value."""
    if metric.estimator != "percent" or len(metric.of) != 1:
        return None
    (name,) = metric.of
    old = {i.id: i.values[name] for i in before if name in i.values}
    pairs = [
        (old[i.id], i.values[name])
        for i in after
        if i.id in old and name in i.values and metric.stratum in (None, i.stratum)
    ]
    return mcnemar([b for b, _ in pairs], [a for _, a in pairs]) if pairs else None


def _detectable(metric: Metric) -> float | None:
    if metric.estimator != "percent" or metric.direction.kind != "target":
        return None
    return minimal_detectable_change(metric.n)


def _adjusted(rows: Sequence[Row]) -> list[Row]:
    """Correct all tests of the matrix together (Benjamini-Hochberg)."""
    tests = [e.test.p for row in rows for e in row.entries if e.test is not None]
    adjusted = iter(benjamini_hochberg(tests))
    return [
        replace(
            row,
            entries=tuple(
                replace(e, adjusted_p=next(adjusted)) if e.test is not None else e
                for e in row.entries
            ),
        )
        for row in rows
    ]
