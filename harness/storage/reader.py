"""Reading a run's index and records for tables: each file once, items only where asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from harness.errors import StoreError, did_you_mean
from harness.metrics import Metric
from harness.storage.cells import Cell, MethodNames
from harness.storage.item_table import ItemTable
from harness.storage.records import Failure, RunIndex
from harness.storage.store import Store


class Column(NamedTuple):
    """What is compared: one metric of one evaluator, protocol and domain."""

    evaluator: str
    protocol: str
    metric: str
    domain: str


class Place(NamedTuple):
    """Where a measurement lies: its record and its position in it."""

    key: str
    position: int


class Measured(NamedTuple):
    """A measurement without its items: where it lies, and its metrics by name."""

    place: Place
    metrics: dict[str, Metric]


Measurements = dict[tuple[str, str], Measured]
"""By protocol and domain."""


class RunReader:
    """Reads a run's records, each once, and the items of those that are tested."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.index: RunIndex = store.index()
        self.names = MethodNames(self.index.cells)
        self.notes: list[str] = []
        self._records: dict[str, Measurements | None] = {}
        self._failures: dict[str, Failure | None] = {}
        self._tables: dict[str, tuple[ItemTable, ...]] = {}

    def record(self, key: str) -> Measurements | None:
        """Measurements of a record; None if the task is not done."""
        if key not in self._records:
            record = self.store.record(key, items=False)
            found: Measurements | None = None if record is None else {}
            for position, m in enumerate(record.measurements if record else ()):
                assert found is not None
                metrics = {metric.name: metric for metric in m.metrics}
                found[m.protocol, m.domain] = Measured(Place(key, position), metrics)
                if m.note:
                    self.notes.append(m.note)
            self._records[key] = found
        return self._records[key]

    def failure(self, key: str) -> Failure | None:
        """Why a task failed; None if it did not."""
        if key not in self._failures:
            self._failures[key] = self.store.failure(key)
        return self._failures[key]

    def items(self, place: Place) -> ItemTable:
        """Items of a measurement.

        Raises:
            StoreError: they cannot be read.
        """
        if place.key not in self._tables:
            self._tables[place.key] = self.store.item_tables(place.key)
        tables = self._tables[place.key]
        if place.position >= len(tables):
            raise StoreError(
                f"{self.store.folder}: the items of record {place.key} are not those of its "
                "measurements; delete the record and run the spec again"
            )
        return tables[place.position]

    def keys(self, cell: Cell, step: int, evaluator: str) -> Iterator[str]:
        """Keys of a cell's measures by an evaluator at a step."""
        for ref in cell.measures:
            if ref.step == step and ref.evaluator == evaluator:
                yield ref.key

    def find(self, cell: Cell, step: int, column: Column) -> Measured | None:
        """The measurement behind a column of a cell, if it is there and has the metric."""
        for key in self.keys(cell, step, column.evaluator):
            found = (self.record(key) or {}).get((column.protocol, column.domain))
            if found is not None and column.metric in found.metrics:
                return found
        return None

    def has_target(self, column: Column) -> bool:
        """Whether a column's metric has a target value, as bias scores do."""
        for cell in self.index.cells:
            for step in cell.steps:
                found = self.find(cell, step, column)
                if found is not None:
                    return found.metrics[column.metric].direction.kind == "target"
        return False

    def columns(
        self,
        steps: dict[int, int],
        metric: str | None = None,
        evaluator: str | None = None,
        protocol: str | None = None,
    ) -> tuple[Column, ...]:
        """Columns that the run has, in the order of its targets.

        Args:
            steps: the step that is read, by position of the cell in the index.
            metric: only this one; default: the primary ones.
            evaluator: only this one.
            protocol: only this one.

        Raises:
            StoreError: nothing is measured, or not what was asked for; says what is.
        """
        found: dict[Column, bool] = {}
        for number, cell in enumerate(self.index.cells):
            for ref in cell.measures:
                if ref.step not in (0, steps.get(number)):
                    continue
                for (protocol_, domain), measured in (self.record(ref.key) or {}).items():
                    for name, own in measured.metrics.items():
                        found[Column(ref.evaluator, protocol_, name, domain)] = own.primary
        if not found:
            raise StoreError(f"{self.store.folder}: no measurement yet; `harness run` makes them")
        for what, value, position in (
            ("evaluator", evaluator, 0),
            ("protocol", protocol, 1),
            ("metric", metric, 2),
        ):
            known = {column[position] for column in found}
            if value is not None and value not in known:
                raise StoreError(f"this run has no {what} '{value}'{did_you_mean(value, known)}")
        chosen = [
            column
            for column, primary in found.items()
            if (primary if metric is None else column.metric == metric)
            and evaluator in (None, column.evaluator)
            and protocol in (None, column.protocol)
        ]
        if not chosen:
            raise StoreError("no measurement of this run is of that evaluator, protocol and metric")
        order = {domain: i for i, domain in enumerate(self.index.targets)}
        chosen.sort(key=lambda c: order.get(c.domain, len(order)))
        return tuple(chosen)
