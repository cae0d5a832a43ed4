"""What a transfer matrix is made of: entries, rows, summaries over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from harness.analysis.bootstrap import Draws
from harness.analysis.corrections import ALPHA, DEFAULT
from harness.analysis.interval import Interval
from harness.analysis.stats import McNemar, SeedSummary, over_seeds
from harness.metrics import Metric
from harness.storage.cells import Cell, MethodNames
from harness.storage.reader import Column

Status = Literal["measured", "failed", "missing"]


@dataclass(frozen=True)
class Half:
    """A part of a score before and after: a stratum, or the balanced mean of the strata."""

    name: str
    base: Metric | None
    after: Metric
    draws: Draws | None = field(default=None, repr=False, compare=False)
    """Bootstrap values; only the balanced mean has them."""

    @property
    def interval(self) -> Interval | None:
        """95 % interval of the change; only the balanced mean has one."""
        return self.draws.interval if self.draws else None

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
    p: float | None = None
    """One-sample t test of the improvements over seeds."""
    adjusted_p: float | None = None
    """Corrected over all such cells."""


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
    """The smallest change, in the metric's unit, that a test of these items would likely see."""
    p: float | None = None
    """Uncorrected p-value: exact McNemar where there is a `test`, else of the paired bootstrap."""
    shared: int = 0
    """Items that base and debiased model share: what the test and the intervals are of."""
    halves: tuple[Half, ...] = ()
    """The strata of a paired suite (stereo, antistereo), before and after; empty where none."""
    balanced: Half | None = None
    """The unweighted mean of the halves, before and after, with the interval of its change."""
    draws: Draws | None = field(default=None, repr=False, compare=False)
    """The bootstrap values behind the intervals; what is derived (transfer, net effects) uses
    the same, so that all of it is paired."""

    @property
    def interval(self) -> Interval | None:
        """95 % interval of `change` over items (paired bootstrap; whole clusters where known)."""
        return self.draws.interval if self.draws else None

    @property
    def improvement_interval(self) -> Interval | None:
        """The same of `improvement`."""
        return self.draws.improvement_interval if self.draws else None

    @cached_property
    def warning(self) -> str | None:
        """One line where the score moved and the balanced mean of its halves did not."""
        half, draws = self.balanced, self.draws
        if half is None or draws is None or self.change is None or half.change is None:
            return None
        if not draws.moved or half.draws is None or half.draws.moved or half.interval is None:
            return None
        low, high = half.interval
        return (
            f"the score moved by {self.change:+.2f} but the balanced mean of its halves by "
            f"{half.change:+.2f} [{low:+.2f}, {high:+.2f}]: group words may only have become rarer"
        )

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
        return self.after.improvement_on(self.base)

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


def seed_summary(values: Sequence[tuple[Row, float]]) -> SeedSummary | None:
    """Mean of each seed's values, summarised; None for a single seed.

    Also None where all seeds are one and the same computation: they say nothing of its spread.
    """
    by_seed: dict[int | None, list[float]] = {}
    fits: dict[int | None, set[str | None]] = {}
    for row, value in values:
        by_seed.setdefault(row.cell.seed, []).append(value)
        fits.setdefault(row.cell.seed, set()).add(row.cell.fit_key)
    if len(by_seed) < 2 or len({frozenset(own) for own in fits.values()}) < 2:
        return None
    return over_seeds([sum(own) / len(own) for own in by_seed.values()])


@dataclass(frozen=True)
class Matrix:
    """Rows of debiased models by columns of metrics, each compared with the base."""

    name: str
    columns: tuple[Column, ...]
    base: dict[tuple[str, Column], Metric]
    """Value of the base model, by model and column."""
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    correction: str = DEFAULT
    """How the p-values of all cells were corrected together."""
    seeds: tuple[SeedRow, ...] = ()
    """Empty unless a method was fitted with several seeds."""
    names: MethodNames = field(default_factory=lambda: MethodNames(()), repr=False, compare=False)
    """What the methods of the run are called."""

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
