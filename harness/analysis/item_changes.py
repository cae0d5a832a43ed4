"""How the items behind a run's scores moved, and the halves of paired suites."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from harness.analysis.matrix_builder import Column, Matrix
from harness.analysis.step_curves import Fit, fit_of
from harness.storage.cells import Cell
from harness.storage.item_table import ItemTable, aligned
from harness.storage.reader import RunReader


@dataclass(frozen=True)
class Spread:
    """How the items of one comparison moved."""

    fit: Fit
    seed: int | None
    changes: tuple[float, ...] = field(repr=False)
    gained: int | None = None
    lost: int | None = None

    def quantiles(self) -> tuple[float, float, float, float, float]:
        """5th, 25th, 50th, 75th and 95th percentile."""
        found = np.percentile(np.array(self.changes), [5, 25, 50, 75, 95])
        return tuple(float(v) for v in found)  # type: ignore[return-value]


@dataclass(frozen=True)
class SpreadPanel:
    """Item changes of one column, a row a fit."""

    column: Column
    unit: str
    spreads: tuple[Spread, ...]


def spread_panels(reader: RunReader, matrix: Matrix) -> list[SpreadPanel]:
    """How much each item moved, at the steps of the matrix; the first seed of each fit.

    A decision between two scores moves by their margin, a perplexity by nats a token.
    """
    panels = []
    for column in matrix.columns:
        spreads = []
        unit = ""
        seen: set[Fit] = set()
        for row in matrix.rows:
            fit = fit_of(row.cell, matrix.names)
            entry = row.entry(column)
            if fit in seen or fit.control or entry is None or entry.after is None:
                continue
            found = item_changes(reader, row.cell, row.step, column)
            if found is None:
                continue
            seen.add(fit)
            unit, _, changes = found
            flips = (entry.test.gained, entry.test.lost) if entry.test else (None, None)
            spreads.append(Spread(fit, row.cell.seed, tuple(c.change for c in changes), *flips))
        if spreads:
            panels.append(SpreadPanel(column, unit, tuple(spreads)))
    return panels


class ItemChange(NamedTuple):
    """One item before and after: its margin (or rate), and whether its decision flipped."""

    id: str
    before: float
    after: float
    flipped: bool

    @property
    def change(self) -> float:
        """After minus before."""
        return self.after - self.before


def item_changes(
    reader: RunReader, cell: Cell, step: int, column: Column
) -> tuple[str, Column, list[ItemChange]] | None:
    """Unit and changes of the items of a column; None where items have no one number."""
    old, new = reader.find(cell, 0, column), reader.find(cell, step, column)
    if old is None or new is None:
        return None
    metric = new.metrics[column.metric]
    before, after = reader.items(old.place), reader.items(new.place)
    at, to = aligned(before, after)
    kept = [
        (i, j) for i, j in zip(at, to, strict=True) if metric.stratum in (None, after.strata[j])
    ]
    if metric.estimator == "exp_rate":
        unit, first, second = "nats a token", *(_rates(t, metric.of) for t in (before, after))
        flipped = np.zeros(len(after.ids), bool)
    else:
        margin = _margin(before, after, metric.of)
        if margin is None:
            return None
        unit, first, second = "margin", *margin
        decided = [t.column(metric.of[0]) for t in (before, after)]
        flipped = np.zeros(len(after.ids), bool)
        for i, j in kept:
            flipped[j] = decided[0][i] != decided[1][j]
    changes = [
        ItemChange(after.ids[j], float(first[i]), float(second[j]), bool(flipped[j]))
        for i, j in kept
        if np.isfinite(first[i]) and np.isfinite(second[j])
    ]
    return (unit, column, changes) if changes else None


def _rates(table: ItemTable, of: Sequence[str]) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(table.column(of[0]) / table.column(of[1]))


def _margin(
    before: ItemTable, after: ItemTable, of: Sequence[str]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Difference of the two scores that a decision compares.

    Items do not say which scores those are, but only their comparison gives the decision of
    every item, before and after.
    """
    if len(of) != 1:
        return None
    for first, second in _pairs_of_values(after, of[0]):
        margins = [t.column(first) - t.column(second) for t in (before, after)]
        decisions = [t.column(of[0]) for t in (before, after)]
        if all(np.array_equal(m > 0, d == 1.0) for m, d in zip(margins, decisions, strict=True)):
            return margins[0], margins[1]
    return None


def _pairs_of_values(table: ItemTable, decision: str) -> Iterator[tuple[str, str]]:
    names = [name for name in table.names() if name != decision]
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            yield first, second


# -- halves ----------------------------------------------------------------------------------
