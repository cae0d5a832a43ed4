"""Methods at matched language ability or dose: each curve over steps read at the same cost.

Methods differ in how far they go, so their last steps compare dose as much as kind. Here the curve
of each fit (squared distance to the ideal over cost) is read where it first crosses one and the
same cost, by linear interpolation between the checkpoints on either side. A curve is read only
where it was measured: it needs at least `FEWEST_STEPS` checkpoints, some below the cost and some
above. Intervals are those of the interpolated distances; the cost is taken as it was measured.

The cost is an increase of the language metric in percent of the base's (perplexity), or its value
where the base's is zero by definition (the KL divergence from the base: the dose).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypeVar

from harness.analysis.changes import Change, ChangeReader, Side
from harness.analysis.costs import Cost
from harness.analysis.effects import Estimated, mean_distance, nearer
from harness.analysis.entry import distance_of
from harness.analysis.gains import Gain
from harness.analysis.matrix import Row, fit_summary
from harness.analysis.stats import FitSummary
from harness.arrays import Floats
from harness.metrics import Metric
from harness.storage.cells import Cell
from harness.storage.reader import Column, RunReader

FEWEST_STEPS = 4
"""Checkpoints that a curve needs to be read at a cost between them."""

PERCENTS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
DOSES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Round costs at which curves are read, in addition to the largest that all of them reach."""
MOST_LEVELS = 4


class Point(NamedTuple):
    """The cost of a fit at a checkpoint."""

    step: int
    cost: float


class Crossing(NamedTuple):
    """Interpolation point: two checkpoints and the fraction of the way from the left one."""

    left: int
    right: int
    share: float


@dataclass(frozen=True)
class Matched:
    """A method read at one cost.

    Attributes:
        cost: in percent of the base's, or the dose.
        gain: improvement over its curves; None unless every one of them was measured around the
            cost, or where improvement is undefined.
        spread: of the improvement over fits; None for one.
        net: the same minus that of the control at the same cost; None unless each of its curves
            was measured around the cost, too.
        net_spread: of that over fits.
        reason: why there is no `gain`.
    """

    cost: float
    gain: Estimated | None
    spread: FitSummary | None = None
    net: Estimated | None = None
    net_spread: FitSummary | None = None
    reason: str = ""


class Curves:
    """The curves of a run's fits, and the distances along them.

    Args:
        reader: of the run.
        bias: the columns whose improvement is read.
        cost: the column that is the cost; None: there are no curves.
    """

    def __init__(self, reader: RunReader, bias: Sequence[Column], cost: Cost | None) -> None:
        self._reader = reader
        self._bias = tuple(bias)
        self._cost = cost
        self._points: dict[str, list[Point]] = {}
        self._changes: dict[tuple[str, int, Column], Change | None] = {}

    def of(self, cell: Cell) -> list[Point]:
        """The checkpoints of a cell that have the cost and every bias score, by step."""
        title = cell.title()
        if title not in self._points:
            self._points[title] = self._curve(cell)
        return self._points[title]

    def _curve(self, cell: Cell) -> list[Point]:
        if self._cost is None:
            return []
        base = self._value(cell, 0, self._cost.column)
        points = []
        for step in cell.steps:
            value = self._value(cell, step, self._cost.column)
            scores = (self._value(cell, step, column) for column in self._bias)
            if step > 0 and base is not None and value is not None and None not in scores:
                points.append(Point(step, self._cost.of(base, value)))
        return points

    def _value(self, cell: Cell, step: int, column: Column) -> float | None:
        measured = self._reader.find(cell, step, column)
        return measured.metrics[column.metric].value if measured else None

    def prepare(self, rows: Iterable[Row], costs: Sequence[float]) -> None:
        """Compute what `distances` needs for these rows, a column at a time."""
        needed: dict[tuple[str, int], Cell] = {}
        for row in rows:
            for cell in row.cells or (row.cell,):
                for cost in costs:
                    crossing = crossing_at(self.of(cell), cost)
                    if crossing is not None:
                        needed[cell.title(), crossing.left] = cell
                        needed[cell.title(), crossing.right] = cell
        for column in self._bias:
            self._compare(column, needed)

    def _compare(self, column: Column, needed: Mapping[tuple[str, int], Cell]) -> None:
        groups: dict[Metric, list[tuple[str, int]]] = {}
        tables = {}
        for (title, step), cell in needed.items():
            if (title, step, column) in self._changes:
                continue
            base = self._reader.find(cell, 0, column)
            after = self._reader.find(cell, step, column)
            if base is None or after is None:
                continue
            metric = after.metrics[column.metric]
            shape = metric.model_copy(update={"value": None, "n": 0, "numerator": None})
            groups.setdefault(shape, []).append((title, step))
            tables[title, step] = self._reader.items(base.place), self._reader.items(after.place)
        for shape, keys in groups.items():
            changes = ChangeReader(shape).changes([tables[key] for key in keys])
            for (title, step), change in zip(keys, changes, strict=True):
                self._changes[title, step, column] = change

    def gain_at(self, rows: Sequence[Row], cost: float) -> Gain | None:
        """The gain of rows at a cost; None unless every one of their curves is measured there."""
        before, after = [], []
        for row in rows:
            cells = row.cells or (row.cell,)
            crossings = [crossing_at(self.of(cell), cost) for cell in cells]
            if None in crossings:
                return None
            for column in self._bias:
                changes = [
                    self._between(cell, crossing, column)
                    for cell, crossing in zip(cells, crossings, strict=True)
                    if crossing is not None
                ]
                complete = [part for part in changes if part is not None]
                if len(complete) < len(changes):
                    return None
                fits = [cell.fit_key or cell.title() for cell in cells]
                one = complete[0]
                base = distance_of(("",), [one.before], one)
                model = distance_of(fits, [part.after for part in complete], one)
                if base is None or model is None:
                    return None
                before.append(base)
                after.append(model)
        return Gain(mean_distance(before), mean_distance(after)) if before else None

    def _between(self, cell: Cell, crossing: Crossing, column: Column) -> Change | None:
        """The change at an interpolation point."""
        title = cell.title()
        left = self._changes.get((title, crossing.left, column))
        right = self._changes.get((title, crossing.right, column))
        if left is None or right is None or left.units != right.units:
            return None
        share = crossing.share

        def mixed(one: Side, two: Side) -> Side:
            return Side(
                one.value + share * (two.value - one.value),
                _mix(one.influences, two.influences, share),
                _mix(one.square, two.square, share),
                _mix(one.square_influences, two.square_influences, share),
            )

        return Change(
            left.before,
            mixed(left.after, right.after),
            left.direction,
            left.units,
            left.items,
            None,
            left.same and right.same,
        )


Number = TypeVar("Number", float, Floats)


def _mix(one: Number | None, two: Number | None, share: float) -> Number | None:
    """A share of the way from one number or array to another; None where one is missing."""
    return None if one is None or two is None else one + share * (two - one)


def matched(
    rows: Sequence[Row],
    curves: Curves,
    cost: float,
    control: Callable[[Row], Row | None] | None = None,
) -> Matched:
    """Read the curves of a method where they first cross a cost.

    Rows of which nothing is measured (failed, or not run yet) are left out.

    Args:
        rows: of the method, over its sources.
        curves: of the run.
        cost: in percent of the base's, or the dose.
        control: the row that is subtracted from each row; None: nothing is subtracted.
    """
    measured = [row for row in rows if any(curves.of(c) for c in row.cells or (row.cell,))]
    gain = curves.gain_at(measured, cost) if measured else None
    if gain is None:
        return Matched(cost, None, reason=f"not measured at {FEWEST_STEPS} steps around this cost")
    net = net_spread = None
    if control is not None:
        partners = [control(row) for row in measured]
        controls = [row for row in partners if row is not None]
        theirs = curves.gain_at(controls, cost) if len(controls) == len(measured) else None
        if theirs is not None:
            net = nearer(theirs.after, gain.after)
            net_spread = _spread(measured, curves, cost, controls)
    return Matched(
        cost,
        gain.estimated,
        _spread(measured, curves, cost) if gain.defined else None,
        net,
        net_spread,
        ""
        if gain.defined
        else "improvement is undefined: the base is not significantly different from the ideal",
    )


def _spread(
    rows: Sequence[Row], curves: Curves, cost: float, controls: Sequence[Row] = ()
) -> FitSummary | None:
    """The gain of each seed by itself, summarised."""
    values: list[tuple[Cell, float]] = []
    for number in range(max(row.fits for row in rows)):
        mine = [_one_fit(row, number) for row in rows]
        if any(row is None for row in mine):
            return None
        kept = [row for row in mine if row is not None]
        gain = curves.gain_at(kept, cost)
        if gain is None:
            return None
        value = gain.before.value - gain.after.value
        if controls:
            theirs = [_one_fit(row, number) for row in controls]
            other = curves.gain_at([row for row in theirs if row is not None], cost)
            if other is None or None in theirs:
                return None
            value = other.after.value - gain.after.value
        values.append((kept[0].cell, value))
    return fit_summary(values)


def _one_fit(row: Row, number: int) -> Row | None:
    """The row of one fit; a model with a single fit is the same for all."""
    if not row.cells:
        return row
    return Row(row.cells[number], row.step, ()) if number < len(row.cells) else None


def levels(
    methods: Sequence[Sequence[Sequence[Point]]], first: float | None, *, relative: bool = True
) -> tuple[float, ...]:
    """Costs at which to compare: the first, then round ones that two methods or more reach.

    Args:
        methods: the curves of each method.
        first: the first level; None for the round ones alone.
        relative: whether costs are percentages.
    """
    ranges = [bounds for curves in methods if (bounds := _range(curves)) is not None]
    rounds = [
        cost
        for cost in (PERCENTS if relative else DOSES)
        if sum(low <= cost <= high for low, high in ranges) > 1
        and (first is None or cost > 1.1 * first)
    ]
    return (*([first] if first is not None else []), *rounds[: MOST_LEVELS - 1])


def common_cost(methods: Sequence[Sequence[Sequence[Point]]]) -> float | None:
    """The largest cost around which every readable curve was measured; None if there is none."""
    ranges = [bounds for curves in methods if (bounds := _range(curves)) is not None]
    if not ranges:
        return None
    low, high = max(low for low, _ in ranges), min(high for _, high in ranges)
    return high if high > 0 and low <= high else None


def _range(curves: Sequence[Sequence[Point]]) -> tuple[float, float] | None:
    """The costs around which every curve of a method was measured."""
    measured = [points for points in curves if points]
    if not measured or any(len(points) < FEWEST_STEPS for points in measured):
        return None
    low = max(min(point.cost for point in points) for points in measured)
    high = min(max(point.cost for point in points) for points in measured)
    return (low, high) if low <= high else None


def crossing_at(points: Sequence[Point], cost: float) -> Crossing | None:
    """Where a curve first crosses a cost; None where it was not measured around it."""
    if len(points) < FEWEST_STEPS:
        return None
    for left, right in pairwise(points):
        low, high = sorted((left.cost, right.cost))
        if low - 1e-12 <= cost <= high + 1e-12:
            span = right.cost - left.cost
            share = (cost - left.cost) / span if not math.isclose(span, 0.0) else 0.0
            return Crossing(left.step, right.step, min(1.0, max(0.0, share)))
    return None


__all__ = [
    "Curves",
    "Matched",
    "Point",
    "common_cost",
    "crossing_at",
    "levels",
    "matched",
]
