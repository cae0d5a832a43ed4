"""Reading a run's index and records for tables: each file once, items only where asked for.

A *derived* metric is one that a measurement defines and does not store, because its value needs the
base model's items (`harness.estimators.Estimator.needs_base`), or because the record is older than
the metric. `RunReader.columns` lists it like any other, and `RunReader.find` computes it, so tables
need not tell the difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from harness.data.domains import NO_DOMAIN
from harness.errors import StoreError, did_you_mean
from harness.metrics import Metric, MetricDefinition, Role
from harness.plugins import Registry
from harness.quantities import Quantities
from harness.storage.cells import Cell, MethodNames
from harness.storage.declarations import Declarations
from harness.storage.item_table import Fields, ItemTable
from harness.storage.origin import RunOrigin
from harness.storage.records import Failure, Record, RunIndex
from harness.storage.store import Store


class Column(NamedTuple):
    """What is compared: one metric of one evaluator, protocol and domain."""

    evaluator: str
    protocol: str
    metric: str
    domain: str

    def name(self) -> str:
        """Return its name in words: ``ss_score, race (stereoset)``; text of no domain has none."""
        where = "" if self.domain == NO_DOMAIN else f", {self.domain}"
        return f"{self.metric}{where} ({self.evaluator})"


class Place(NamedTuple):
    """Where a measurement is: its record and its position in it."""

    key: str
    position: int


class Measured(NamedTuple):
    """A measurement without its items.

    Attributes:
        place: where it is stored.
        metrics: by name; of a measurement that `RunReader.find` returned, also the derived metric
            that was asked for.
        derived: definitions of the metrics that are computed when they are asked for, by name.
        quantities: what each item value is, by its name; empty if that is not known.
    """

    place: Place
    metrics: dict[str, Metric]
    derived: Mapping[str, MetricDefinition] = MappingProxyType({})
    quantities: Quantities = MappingProxyType({})

    @property
    def defined(self) -> dict[str, MetricDefinition]:
        """Definitions of all its metrics by name: derived ones first, then the stored ones."""
        return {**self.derived, **self.metrics}


Measurements = dict[tuple[str, str], Measured]
"""By protocol and domain."""


class Stop(NamedTuple):
    """Where a fit with ``stop_at`` ended.

    Its results are stored under the last step of the spec, for the step at which it will stop is
    not known when the run is planned.

    Attributes:
        step: the step at which it stopped.
        kl: the divergence from the base there, in nats a token.
    """

    step: int
    kl: float


class RunReader:
    """Reads a run's records, each once, and the items of those that are tested.

    Args:
        store: the run.
        registry: plugins, asked about records of older versions; default: the installed ones.
    """

    def __init__(self, store: Store, registry: Registry | None = None) -> None:
        self.store = store
        self.index: RunIndex = store.index()
        self.names = MethodNames(self.index.cells)
        self.notes: list[str] = []
        self._declarations = Declarations(self.index, registry)
        self._labels = {ref.key: ref.evaluator for c in self.index.cells for ref in c.measures}
        self._records: dict[str, Measurements | None] = {}
        self._stops: dict[str, Stop | None] = {}
        self._derived: dict[tuple[Place, Place, str], Metric] = {}
        self._failures: dict[str, Failure | None] = {}
        self._tables: dict[str, tuple[ItemTable, ...]] = {}
        self._fields: dict[Fields, Fields] = {}
        self._keys = {id(cell): _keys_of(cell) for cell in self.index.cells}
        self._defined: dict[tuple[str, str], tuple[tuple[Column, bool], ...]] = {}
        self._hashes: dict[str, str | None] = {}
        self._masks: dict[str, str | None] = {}
        self.origin = RunOrigin()
        """Software, machine and time behind the records that were read so far."""

    def record(self, key: str) -> Measurements | None:
        """Return the measurements of a record; None if the task is not done."""
        if key not in self._records:
            record = self.store.record(key, items=False)
            self._hashes[key] = record.items_sha256 if record else None
            self._masks[key] = record.masks if record else None
            if record is not None:
                self.origin.add(record)
                self._stops[key] = _stop_of(record)
            measurements: Measurements | None = None if record is None else {}
            for position, m in enumerate(record.measurements if record else ()):
                assert measurements is not None
                m = self._declarations.complete(self._labels.get(key, ""), m)
                measurements[m.protocol, m.domain] = Measured(
                    Place(key, position),
                    {metric.name: metric for metric in m.metrics},
                    {definition.name: definition for definition in m.derived},
                    m.quantities,
                )
                if m.note:
                    self.notes.append(m.note)
            self._records[key] = measurements
        return self._records[key]

    def failure(self, key: str) -> Failure | None:
        """Return why a task failed; None if it did not."""
        if key not in self._failures:
            self._failures[key] = self.store.failure(key)
        return self._failures[key]

    def items(self, place: Place) -> ItemTable:
        """Return the items of a measurement.

        Raises:
            StoreError: they cannot be read.
        """
        if place.key not in self._tables:
            tables = self.store.item_tables(place.key, self._hashes.get(place.key))
            for table in tables:
                table.share(self._fields)
            self._tables[place.key] = tables
        tables = self._tables[place.key]
        if place.position >= len(tables):
            raise StoreError(
                f"{self.store.folder}: the items of record {place.key} are not those of its "
                "measurements; run the spec again to measure it again"
            )
        return tables[place.position]

    def keys(self, cell: Cell, step: int, evaluator: str) -> Sequence[str]:
        """Return the keys of a cell's measures by an evaluator at a step."""
        keys = self._keys.get(id(cell))  # a cell of the index lives as long as this reader
        return (_keys_of(cell) if keys is None else keys).get((step, evaluator), ())

    def stop(self, cell: Cell, step: int) -> Stop | None:
        """Return where the fit of a cell ended; None if it went to its last step."""
        for ref in cell.measures:
            if ref.step == step and self.record(ref.key) is not None:
                return self._stops.get(ref.key)
        return None

    def masks(self, cell: Cell) -> str | None:
        """Return the hash of the masks that a cell was fitted with; None if it stored none."""
        for ref in cell.measures:
            if ref.step > 0 and self.record(ref.key) is not None:
                return self._masks[ref.key]
        return None

    def find(self, cell: Cell, step: int, column: Column) -> Measured | None:
        """Return the measurement of a column of a cell; None if it is missing or lacks the metric.

        Raises:
            StoreError: the metric is derived, and the items cannot be read.
        """
        measured = self._measured(cell, step, column)
        if measured is None or column.metric in measured.metrics:
            return measured
        definition = measured.derived.get(column.metric)
        base = measured if step == 0 else self._measured(cell, 0, column)
        if definition is None or base is None:
            return None
        metric = self._derive(definition, measured, base)
        return measured._replace(metrics={**measured.metrics, column.metric: metric})

    def _measured(self, cell: Cell, step: int, column: Column) -> Measured | None:
        for key in self.keys(cell, step, column.evaluator):
            measured = (self.record(key) or {}).get((column.protocol, column.domain))
            if measured is not None:
                return measured
        return None

    def _derive(self, definition: MetricDefinition, measured: Measured, base: Measured) -> Metric:
        """Compute a derived metric, once for each pair of a model and its base."""
        key = (measured.place, base.place, definition.name)
        if key not in self._derived:
            of, stratum = definition.of, definition.stratum
            sample = self.items(measured.place).sample(of, stratum)
            if definition.needs_base:
                before = self.items(base.place).sample(of, stratum)
                reference = (
                    definition.formula().reference(before) if len(before.ids) else (math.nan,)
                )
                sample = (sample if len(before.ids) else before)._replace(reference=reference)
            self._derived[key] = definition.compute_sample(sample)
        return self._derived[key]

    def role(self, column: Column) -> Role | None:
        """What the metric of a column is for; None if no cell has it."""
        for cell in self.index.cells:
            for step in cell.steps:
                measured = self._measured(cell, step, column)
                if measured is not None:
                    definition = measured.defined.get(column.metric)
                    if definition is not None:
                        return definition.role
        return None

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
        shown = [
            (ref.evaluator, ref.key)
            for number, cell in enumerate(self.index.cells)
            for ref in cell.measures
            if ref.step in (0, steps.get(number))
        ]
        primaries: dict[Column, bool] = {}
        for evaluator_, key in dict.fromkeys(shown):
            for column, primary in self._columns_of(evaluator_, key):
                primaries[column] = primary
        if not primaries:
            raise StoreError(f"{self.store.folder}: no measurement yet; `harness run` makes them")
        for what, value, position in (
            ("evaluator", evaluator, 0),
            ("protocol", protocol, 1),
            ("metric", metric, 2),
        ):
            values = {column[position] for column in primaries}
            if value is not None and value not in values:
                raise StoreError(f"this run has no {what} '{value}'{did_you_mean(value, values)}")
        chosen = [
            column
            for column, primary in primaries.items()
            if (primary if metric is None else column.metric == metric)
            and evaluator in (None, column.evaluator)
            and protocol in (None, column.protocol)
        ]
        if not chosen:
            raise StoreError("no measurement of this run is of that evaluator, protocol and metric")
        order = {domain: i for i, domain in enumerate(self.index.targets)}
        chosen.sort(key=lambda c: order.get(c.domain, len(order)))
        return tuple(chosen)

    def _columns_of(self, evaluator: str, key: str) -> tuple[tuple[Column, bool], ...]:
        """The columns of a record, each with whether its metric is primary."""
        if (evaluator, key) not in self._defined:
            self._defined[evaluator, key] = tuple(
                (Column(evaluator, protocol, name, domain), metric.primary)
                for (protocol, domain), measured in (self.record(key) or {}).items()
                for name, metric in measured.defined.items()
            )
        return self._defined[evaluator, key]


def shown_step(step: int, stops: Iterable[Stop | None]) -> str:
    """Return the step of one fit or several in words: where they stopped, as a range, or ``step``.

    Args:
        step: under which the results are stored.
        stops: where each fit ended; None: it went on to ``step``.
    """
    ends = [stop.step if stop is not None else step for stop in stops] or [step]
    low, high = min(ends), max(ends)
    return str(low) if low == high else f"{low}–{high}"


def stopped_step(step: int, stop: Stop | None) -> str:
    """Return the step of one fit in words, with the dose where it stopped at one."""
    if stop is None:
        return f"step {step}"
    return f"step {stop.step} (stopped at {stop.kl:.3g} nats a token)"


def _stop_of(record: Record) -> Stop | None:
    """Read where a fit stopped from the log of its checkpoint."""
    step, kl = (record.fit_log.get(name) for name in ("stopped_at_step", "stopped_at_kl"))
    if not isinstance(step, int) or not isinstance(kl, int | float):
        return None
    return Stop(step, float(kl))


def _keys_of(cell: Cell) -> dict[tuple[int, str], list[str]]:
    """The keys of a cell's measures, by step and evaluator."""
    by_evaluator: dict[tuple[int, str], list[str]] = {}
    for ref in cell.measures:
        by_evaluator.setdefault((ref.step, ref.evaluator), []).append(ref.key)
    return by_evaluator
