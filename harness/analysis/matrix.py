"""What a transfer matrix is made of: a row for each debiased model, a column for each score."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.analysis.corrections import DEFAULT
from harness.analysis.entry import Entry
from harness.analysis.stats import (
    FitSummary,
    over_fits,
)
from harness.analysis.units import NO_UNIT, MetricUnit
from harness.metrics import Metric, Role
from harness.once import cached_property
from harness.storage.cells import Cell, MethodNames
from harness.storage.reader import Column, Stop, shown_step


@dataclass(frozen=True)
class Row:
    """One method from one source at one step: a fit, or several that differ in the seed.

    Attributes:
        cell: the cell; where there are several fits, the first one's.
        cells: the cells of all fits; empty for a single fit.
        stops: where each fit ended that stopped at a dose; empty where none did.
    """

    cell: Cell
    step: int
    entries: tuple[Entry, ...]
    cells: tuple[Cell, ...] = ()
    stops: tuple[Stop, ...] = ()

    @property
    def fits(self) -> int:
        """How many fits there are."""
        return max(1, len(self.cells))

    @property
    def shown_step(self) -> str:
        """The step in words: that at which the fits stopped, as a range, where they did."""
        return shown_step(self.step, self.stops)

    def entry(self, column: Column) -> Entry | None:
        """The entry of a column, if the row has it."""
        return next((entry for entry in self.entries if entry.column == column), None)


@dataclass(frozen=True)
class Matrix:
    """Rows of debiased models by columns of metrics, each compared with the base.

    Attributes:
        name: of the run.
        base: metrics of the base models, by model and column.
        rows: a row for each fit, corrected as a family of their own.
        pooled: a row for each method and source, over its fits; what tables show. Models that are
            one computation under several sources or labels are one row.
        notes: of the measurements.
        correction: name of the correction of p-values.
    """

    name: str
    columns: tuple[Column, ...]
    base: dict[tuple[str, Column], Metric]
    rows: tuple[Row, ...]
    pooled: tuple[Row, ...]
    notes: tuple[str, ...]
    correction: str = DEFAULT
    names: MethodNames = field(default_factory=lambda: MethodNames(()), repr=False, compare=False)
    """What the methods of the run are called."""
    units: Mapping[Column, MetricUnit] = field(default_factory=dict, compare=False)
    """The unit of each column."""

    def unit(self, column: Column) -> MetricUnit:
        """In what the metric of a column and its change are counted."""
        return self.units.get(column, NO_UNIT)

    def role(self, column: Column) -> Role:
        """What the metric of a column is for."""
        known = next((m for (_, other), m in self.base.items() if other == column), None)
        if known is not None:
            return known.role or "diagnostic"
        return next(
            (e.role for row in self.rows for e in row.entries if e.column == column), "diagnostic"
        )

    @cached_property
    def endpoints(self) -> tuple[Column, ...]:
        """The bias columns that summaries are made of: the first of each suite and domain.

        A suite may show several scores of one domain (`preference` and the sign score). They say
        the same of the same items, so a mean takes one of them.
        """
        first_of_suite: dict[tuple[str, str, str], Column] = {}
        for column in self.columns:
            if self.role(column) == "bias":
                suite = (column.evaluator, column.protocol, column.domain)
                first_of_suite.setdefault(suite, column)
        return tuple(first_of_suite.values())

    def endpoints_in(self, unit: str) -> tuple[Column, ...]:
        """The endpoints that have a distance to an ideal, in one unit: a mean is over these.

        Args:
            unit: of distances and changes, such as ``points``; see `endpoint_units`.
        """
        return tuple(
            column
            for column in self.endpoints
            if column in self._with_target and self.unit(column).change == unit
        )

    @cached_property
    def endpoint_units(self) -> tuple[str, ...]:
        """The units of the endpoints that have a distance to an ideal, the most frequent first.

        Points and nats have no common mean, so a summary takes the endpoints of one unit.
        """
        known = [self.unit(c).change for c in self.endpoints if c in self._with_target]
        return tuple(unit for unit, _ in Counter(known).most_common())

    @cached_property
    def _with_target(self) -> frozenset[Column]:
        columns = {c for (_, c), metric in self.base.items() if metric.direction.kind == "target"}
        for row in self.rows:
            columns.update(entry.column for entry in row.entries if entry.towards_target)
        return frozenset(columns)

    @cached_property
    def cost(self) -> Column | None:
        """The language column that is the cost: the first of which less is better (perplexity).

        None where the run has no such column.
        """
        for column in self.columns:
            if self.role(column) == "language":
                for (_, other), metric in self.base.items():
                    if other == column and metric.direction.kind == "lower":
                        return column
        return None

    @property
    def several_fits(self) -> bool:
        """Whether some row is over several fits."""
        return any(row.fits > 1 for row in self.pooled)

    @cached_property
    def failures(self) -> tuple[tuple[str, str], ...]:
        """Title and reason of every failed entry, each once."""
        failed = {
            (f"{row.cell.title()} / step {row.step}", entry.reason or "")
            for row in self.rows
            for entry in row.entries
            if entry.status == "failed"
        }
        return tuple(sorted(failed))

    def tested(self, role: Role) -> Iterator[Entry]:
        """The pooled entries of a family of tests, each once."""
        seen: set[int] = set()
        for row in self.pooled:
            for entry in row.entries:
                if entry.adjusted_p is not None and entry.role == role and id(entry) not in seen:
                    seen.add(id(entry))
                    yield entry


def fit_summary(values: Sequence[tuple[Cell, float]]) -> FitSummary | None:
    """Mean of each seed's values, summarised; None for a single seed.

    Also None where all seeds are one computation: they say nothing about the spread.
    """
    by_seed: dict[int | None, list[float]] = {}
    fits: dict[int | None, set[str | None]] = {}
    for cell, value in values:
        by_seed.setdefault(cell.seed, []).append(value)
        fits.setdefault(cell.seed, set()).add(cell.fit_key)
    if len(by_seed) < 2 or len({frozenset(keys) for keys in fits.values()}) < 2:
        return None
    return over_fits(
        [math.fsum(seed_values) / len(seed_values) for seed_values in by_seed.values()]
    )
