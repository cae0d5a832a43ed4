"""Methods at matched language ability: each curve over steps read at the same cost.

Methods differ in how far they go, so their last steps compare dose as much as kind. Here the
curve of each debiased model (improvement over cost, from the base at step 0) is read where it
first crosses one and the same cost, by linear interpolation between the steps on either side,
and never beyond the steps that were measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from harness.entries import Row, seed_summary
from harness.reading import Column, RunReader
from harness.records import Cell
from harness.stats import SeedSummary

ONE_SHOT = [1]
ROUND = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Costs, in percent, at which curves are read beside the largest that all of them reach."""
MOST_LEVELS = 4


class Point(NamedTuple):
    """A model at a step: its cost in percent of the base's, and its mean improvement in points."""

    step: int
    cost: float
    improvement: float


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
    """

    cost: float
    value: float | None
    over_seeds: SeedSummary | None = None
    net: float | None = None
    net_over_seeds: SeedSummary | None = None


Curves = Mapping[int, list[Point]]
"""The curve of each row, by the row's `id`."""


def matched(
    rows: Sequence[Row], curves: Curves, partners: Mapping[int, Row | None], cost: float
) -> Matched:
    """Read the curves of a method where they first cross a cost.

    Rows of which nothing is measured (failed, or not run yet) are left out.

    Args:
        rows: of the method.
        curves: of these and of their controls.
        partners: the control of each row, by the row's `id`; empty for a control.
        cost: in percent of the base's.
    """
    values: list[tuple[Row, float]] = []
    nets: list[tuple[Row, float]] = []
    for row in rows:
        if not _measured(curves[id(row)]):
            continue
        value = read_at(curves[id(row)], cost)
        if value is None:
            return Matched(cost, None)
        values.append((row, value))
        partner = partners.get(id(row))
        other = read_at(curves[id(partner)], cost) if partner is not None else None
        if other is not None:
            nets.append((row, value - other))
    whole = len(nets) == len(values)
    return Matched(
        cost,
        _mean(values),
        seed_summary(values),
        _mean(nets) if whole else None,
        seed_summary(nets) if whole else None,
    )


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
    for left, right in pairwise(points):
        low, high = sorted((left.cost, right.cost))
        if low <= cost <= high:
            if high == low:
                return left.improvement
            share = (cost - left.cost) / (right.cost - left.cost)
            return left.improvement + share * (right.improvement - left.improvement)
    if len(points) == 1 and points[0].cost == cost:
        return points[0].improvement
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
    old, new = base.metrics[column.metric].value, after.metrics[column.metric]
    if old is None or new.value is None:
        return None
    return new.direction.improvement(old, new.value)
