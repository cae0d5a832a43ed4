"""Methods at matched language ability: each curve over steps read at the same cost.

Methods differ in how far they go, so their last steps compare dose as much as kind. Here the
curve of each debiased model (improvement over cost, from the base at step 0) is read where it
first crosses one and the same cost, by linear interpolation between the steps on either side,
and never beyond the steps that were measured. Intervals are over items, from the bootstrap values
of both steps; the cost is taken as it was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from harness.analysis.bootstrap import Resampler
from harness.analysis.interval import Interval
from harness.analysis.matrix import Row, seed_summary
from harness.analysis.stats import SeedSummary, percentile_interval
from harness.arrays import Floats
from harness.storage.cells import Cell
from harness.storage.reader import Column, RunReader

ONE_SHOT = [1]
ROUND = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Costs, in percent, at which curves are read beside the largest that all of them reach."""
MOST_LEVELS = 4


class Point(NamedTuple):
    """A model at a step: its cost in percent of the base's, and its mean improvement in points."""

    step: int
    cost: float
    improvement: float


class Crossing(NamedTuple):
    """Where a curve has a cost: between two steps, so far from the left one to the right one."""

    left: Point
    right: Point
    share: float

    def between(self, left: Floats, right: Floats) -> Floats:
        """What lies there, of what is known at both steps."""
        return left + self.share * (right - left)


@dataclass(frozen=True)
class Matched:
    """A method read at one cost.

    Attributes:
        cost: in percent of the base's.
        value: mean improvement over its curves; None unless every one of them reaches the cost.
        over_seeds: the same over seeds; None for one.
        net: the value minus that of the control most like each curve, at the same cost; None
            unless each of these reaches it, too.
        net_over_seeds: the same over seeds; None for one.
        interval, net_interval: 95 % over items, of the value and of the net one.
    """

    cost: float
    value: float | None
    over_seeds: SeedSummary | None = None
    net: float | None = None
    net_over_seeds: SeedSummary | None = None
    interval: Interval | None = None
    net_interval: Interval | None = None


class Curves:
    """The curves of a run's rows, and the bootstrap values along them.

    Args:
        reader: of the run.
        rows: of its matrix.
        bias: the columns whose mean improvement is read.
        language: the column that is the cost; None: there are no curves.
        resampler: the matrix's own, so that all is of the same resampled items.
    """

    def __init__(
        self,
        reader: RunReader,
        rows: Sequence[Row],
        bias: list[Column],
        language: Column | None,
        resampler: Resampler,
    ) -> None:
        self._reader = reader
        self._bias = bias
        self._resampler = resampler
        self._points = {
            id(row): curve(reader, row.cell, bias, language) if language else [] for row in rows
        }
        self._drawn: dict[tuple[int, int], Floats | None] = {}

    def of(self, row: Row) -> list[Point]:
        """The curve of a row."""
        return self._points[id(row)]

    def draws_at(self, row: Row, cost: float) -> Floats | None:
        """Bootstrap values of `read_at`, shape ``(draws,)``; None where a score has none."""
        crossing = crossing_at(self.of(row), cost)
        if crossing is None:
            return None
        left, right = (self._draws(row, point.step) for point in crossing[:2])
        return None if left is None or right is None else crossing.between(left, right)

    def _draws(self, row: Row, step: int) -> Floats | None:
        """Of the mean improvement at a step; those of the step in the matrix are known."""
        key = id(row), step
        if key not in self._drawn:
            found = [self._improvement(row, step, column) for column in self._bias]
            known = [own for own in found if own is not None]
            whole = len(known) == len(found) > 0
            self._drawn[key] = np.mean(known, axis=0) if whole else None
        return self._drawn[key]

    def _improvement(self, row: Row, step: int, column: Column) -> Floats | None:
        if step == 0:
            return np.zeros(1)
        if step == row.step:
            entry = row.entry(column)
            return entry.draws.improvement if entry is not None and entry.draws else None
        base = self._reader.find(row.cell, 0, column)
        after = self._reader.find(row.cell, step, column)
        if base is None or after is None:
            return None
        tables = self._reader.items(base.place), self._reader.items(after.place)
        (draws,) = self._resampler.paired(after.metrics[column.metric], [tables])
        return draws.improvement if draws else None


def matched(
    rows: Sequence[Row], curves: Curves, partners: Mapping[int, Row | None], cost: float
) -> Matched:
    """Read the curves of a method where they first cross a cost.

    Rows of which nothing is measured (failed, or not run yet) are left out.

    Args:
        rows: of the method.
        curves: of the run.
        partners: the control of each row, by the row's `id`; empty for a control.
        cost: in percent of the base's.
    """
    values: list[tuple[Row, float]] = []
    nets: list[tuple[Row, float]] = []
    drawn: list[Floats | None] = []
    net_drawn: list[Floats | None] = []
    for row in rows:
        if not _measured(curves.of(row)):
            continue
        value = read_at(curves.of(row), cost)
        if value is None:
            return Matched(cost, None)
        own = curves.draws_at(row, cost)
        values.append((row, value))
        drawn.append(own)
        partner = partners.get(id(row))
        other = read_at(curves.of(partner), cost) if partner is not None else None
        if partner is not None and other is not None:
            nets.append((row, value - other))
            theirs = curves.draws_at(partner, cost)
            net_drawn.append(None if own is None or theirs is None else own - theirs)
    whole = len(nets) == len(values)
    return Matched(
        cost,
        _mean(values),
        seed_summary(values),
        _mean(nets) if whole else None,
        seed_summary(nets) if whole else None,
        _interval(drawn),
        _interval(net_drawn) if whole else None,
    )


def _interval(drawn: Sequence[Floats | None]) -> Interval | None:
    """Of the mean over rows; None unless each of them has bootstrap values."""
    known = [own for own in drawn if own is not None]
    if not known or len(known) < len(drawn) or any(len(own) < 2 for own in known):
        return None
    return percentile_interval(np.mean(known, axis=0))


def levels(methods: Sequence[Sequence[list[Point]]], least: float | None) -> tuple[float, ...]:
    """Costs at which to compare: the least, then round ones that two methods or more reach.

    Args:
        methods: the curves of each method.
        least: the first level; None for the round ones alone.
    """

    def reach(own: Sequence[list[Point]]) -> float:
        known = [points for points in own if _measured(points)]
        if any(len(points) < 2 for points in known):
            return 0.0
        return min((max(p.cost for p in points) for points in known), default=0.0)

    reached = sorted((reach(own) for own in methods), reverse=True)
    second = reached[1] if len(reached) > 1 else 0.0
    first = least or 0.0
    more = [cost for cost in ROUND if 1.1 * first < cost <= second]
    return (*([least] if least is not None else []), *more[: MOST_LEVELS - 1])


def _measured(points: Sequence[Point]) -> bool:
    return any(point.step > 0 for point in points)


def _mean(values: Sequence[tuple[Row, float]]) -> float | None:
    return sum(value for _, value in values) / len(values) if values else None


def curve(reader: RunReader, cell: Cell, bias: list[Column], language: Column) -> list[Point]:
    """The points of a cell that have the cost and every bias score, by step; step 0 is the base.

    A method that is fitted at once has no steps between the base and its model, so its curve is
    the one point.
    """
    base = _value(reader, cell, 0, language)
    if not base:
        return []
    steps = [s for s in cell.steps if s > 0]
    found = [] if steps == ONE_SHOT else [Point(0, 0.0, 0.0)]
    for step in steps:
        cost = _value(reader, cell, step, language)
        gains = [_improvement(reader, cell, step, column) for column in bias]
        known = [gain for gain in gains if gain is not None]
        if cost is not None and known and len(known) == len(gains):
            found.append(Point(step, 100.0 * (cost / base - 1.0), sum(known) / len(known)))
    return found


def read_at(points: list[Point], cost: float) -> float | None:
    """Improvement where the curve first crosses a cost; None where it never does."""
    found = crossing_at(points, cost)
    if found is None:
        return None
    left, right = found.left.improvement, found.right.improvement
    return left + found.share * (right - left)


def crossing_at(points: list[Point], cost: float) -> Crossing | None:
    """Where the curve first crosses a cost; None where it never does."""
    for left, right in pairwise(points):
        low, high = sorted((left.cost, right.cost))
        if low <= cost <= high:
            share = (cost - left.cost) / (right.cost - left.cost) if high > low else 0.0
            return Crossing(left, right, share)
    if len(points) == 1 and points[0].cost == cost:
        return Crossing(points[0], points[0], 0.0)
    return None


def common_cost(curves: list[list[Point]]) -> float | None:
    """The largest cost that every curve of two or more points reaches; None if that is none."""
    several = [points for points in curves if len(points) > 1]
    reached = [max(p.cost for p in points) for points in several]
    most = min(reached, default=0.0)
    return most if most > 0 else None


def _value(reader: RunReader, cell: Cell, step: int, column: Column) -> float | None:
    measured = reader.find(cell, step, column)
    return measured.metrics[column.metric].value if measured else None


def _improvement(reader: RunReader, cell: Cell, step: int, column: Column) -> float | None:
    base, after = reader.find(cell, 0, column), reader.find(cell, step, column)
    if base is None or after is None:
        return None
    return after.metrics[column.metric].improvement_on(base.metrics[column.metric])
