"""Methods at matched language ability: each curve over steps read at the same cost.

Methods differ in how far they go, so their last steps compare dose as much as kind. Here the
curve of each debiased model (improvement over cost, from the base at step 0) is read where it
first crosses one and the same cost, by linear interpolation between the steps on either side,
and never beyond the steps that were measured.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from harness.reading import Column, RunReader
from harness.records import Cell

ONE_SHOT = [1]


class Point(NamedTuple):
    """A model at a step: its cost in percent of the base's, and its mean improvement in points."""

    step: int
    cost: float
    improvement: float


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
    reached = [max(p.cost for p in points) for points in curves if len(points) > 1]
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
