"""From a run's store to what its figures show over steps and costs; drawn by `harness.render`.

Controls are drawn like methods. Seeds are drawn as their mean with the range between them. More
curves than can be told apart are split by source; where there is but one step to draw, a matrix
says the same better, and they are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from harness.analysis.costs import columns_of, dose, language_cost
from harness.analysis.matrix_builder import Column, Matrix
from harness.data.domains import NO_DOMAIN, OVERALL
from harness.metrics import LOWER, Direction, Metric
from harness.storage.cells import Cell, MethodNames, is_control
from harness.storage.reader import RunReader

MOST_CURVES = 8
"""In one pair of axes."""
MOST_RANGES = 6
"""Curves of a panel whose ranges can still be told apart."""


class Fit(NamedTuple):
    """What a curve stands for: a method from a source, over its seeds."""

    model: str
    method: str
    source: str | None
    control: bool

    @property
    def label(self) -> str:
        """Method and source in words."""
        return f"{self.method} from {self.source}" if self.source else self.method


class Point(NamedTuple):
    """A value at a step, over seeds or with the interval of its change."""

    step: int
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Curve:
    """One line of a panel; ``group`` chooses its colour, ``style`` its dashes and marker."""

    label: str
    group: str
    style: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Panel:
    """Curves with one pair of axes."""

    title: str
    unit: str
    curves: tuple[Curve, ...]
    ideal: float | None = None
    ranges: bool = True
    """Whether to draw the range of each point."""


@dataclass(frozen=True)
class TradeOff:
    """Bias distance against a language metric: trajectories and the Pareto front."""

    metric: str
    direction: Direction
    base: tuple[float, float] | None
    """Language score and mean distance of the base."""
    paths: tuple[tuple[Fit, tuple[tuple[int, float, float], ...]], ...]
    """For each fit: step, language score, mean distance; many fits are averaged over sources."""
    front: tuple[tuple[float, float], ...] = ()
    merged: bool = False
    """Whether paths are means over sources: there are too many fits to tell apart."""


def fit_of(cell: Cell, names: MethodNames) -> Fit:
    """The fit that a cell belongs to, whatever its seed."""
    return Fit(cell.model, names.name(cell), cell.source, is_control(cell))


def fits(reader: RunReader) -> dict[Fit, list[Cell]]:
    """Debiased cells by fit, in the order of the index."""
    found: dict[Fit, list[Cell]] = {}
    for cell in reader.index.cells:
        if not cell.is_base:
            found.setdefault(fit_of(cell, reader.names), []).append(cell)
    return found


def _value(reader: RunReader, cell: Cell, step: int, column: Column) -> Metric | None:
    measured = reader.find(cell, step, column)
    metric = measured.metrics[column.metric] if measured else None
    return metric if metric is not None and metric.value is not None else None


def _points(reader: RunReader, cells: Sequence[Cell], column: Column) -> tuple[Point, ...]:
    by_step: dict[int, list[float]] = {}
    for cell in cells:
        for step in cell.steps:
            metric = _value(reader, cell, step, column)
            if metric is not None and metric.value is not None:
                by_step.setdefault(step, []).append(metric.value)
    found = []
    for step, values in sorted(by_step.items()):
        several = len(values) > 1 and step > 0
        found.append(
            Point(
                step,
                sum(values) / len(values),
                min(values) if several else None,
                max(values) if several else None,
            )
        )
    return tuple(found)


def _stepwise(cells: Sequence[Cell]) -> bool:
    """Whether there is a way from step 0 to draw; a control that is fitted at once has none."""
    return max(cells[0].steps) > 1


# -- curves over steps -----------------------------------------------------------------------


def bias_panels(reader: RunReader, matrix: Matrix) -> dict[str, list[Panel]]:
    """For each target domain a panel for each bias score: scores over unlearning steps.

    With one seed the last point carries the 95 % interval of its change over items.
    """
    found: dict[str, list[Panel]] = {}
    for column in columns_of(matrix, "bias"):
        curves = []
        ideal = None
        for fit, cells in fits(reader).items():
            points = _points(reader, cells, column)
            if not _stepwise(cells) or len(points) < 2:
                continue
            if len(cells) == 1:
                points = _with_interval(points, matrix, cells[0], column)
            curves.append(Curve(fit.label, fit.source or "", fit.method, points))
            metric = _value(reader, cells[0], points[0].step, column)
            ideal = metric.direction.target if metric else ideal
        title = f"{column.metric}, {column.evaluator} ({column.protocol})"
        panels = _told_apart(Panel(title, column.metric, tuple(curves), ideal))
        if panels:
            found.setdefault(column.domain, []).extend(panels)
    return found


def _told_apart(panel: Panel) -> list[Panel]:
    """A panel, or one for each source if it has too many curves; none if it would say nothing."""
    if not panel.curves:
        return []
    if len(panel.curves) <= MOST_CURVES:
        return [_without_ranges(panel)]
    if all(len(curve.points) <= 2 for curve in panel.curves):
        return []
    groups = dict.fromkeys(curve.group for curve in panel.curves)
    return [
        _without_ranges(
            replace(
                panel,
                title=f"{panel.title}, from {group}" if group else panel.title,
                curves=tuple(curve for curve in panel.curves if curve.group == group),
            )
        )
        for group in groups
    ]


def _without_ranges(panel: Panel) -> Panel:
    """Bars of many curves hide each other; the table of a figure has their numbers."""
    if len(panel.curves) <= MOST_RANGES:
        return panel
    return replace(panel, ranges=False)


def _with_interval(
    points: tuple[Point, ...], matrix: Matrix, cell: Cell, column: Column
) -> tuple[Point, ...]:
    last = points[-1]
    for row in matrix.rows:
        entry = row.entry(column) if row.cell == cell and row.step == last.step else None
        if entry and entry.interval and entry.base and entry.base.value is not None:
            start = entry.base.value
            ends = (start + entry.interval.low, start + entry.interval.high)
            return (*points[:-1], Point(last.step, last.value, *ends))
    return points


def perplexity_panels(reader: RunReader) -> list[Panel]:
    """Figure 1 of Lu et al. 2024: perplexities over steps relative to the base, a panel a fit.

    Where a run has the perplexity of one text only, all fits share a panel.
    """
    columns = _perplexity_columns(reader)
    panels = []
    for fit, cells in fits(reader).items():
        if not _stepwise(cells):
            continue
        curves = []
        for column in columns:
            points = _points(reader, cells, column)
            if len(points) < 2 or points[0].step != 0 or points[0].value <= 0:
                continue
            first = points[0].value
            scaled = tuple(
                Point(p.step, *(None if v is None else v / first for v in p[1:]))  # type: ignore[arg-type]
                for p in points
            )
            label = _text_label(column)
            curves.append(Curve(f"{label} (base {first:.1f})", label, label, scaled))
        if curves:
            panels.append((fit, Panel(fit.label, "perplexity / base", tuple(curves), 1.0)))
    texts = {curve.group for _, panel in panels for curve in panel.curves}
    if len(texts) != 1 or len(panels) < 2:
        return [panel for _, panel in panels]
    shared = [
        replace(panel.curves[0], label=fit.label, group=fit.source or "", style=fit.method)
        for fit, panel in panels
    ]
    return _told_apart(replace(panels[0][1], title=f"{texts.pop()} text", curves=tuple(shared)))


def _text_label(column: Column) -> str:
    if column.domain in (NO_DOMAIN, OVERALL):
        return column.evaluator.replace("-perplexity", "")
    return f"{column.domain} texts, {column.protocol}"


def _perplexity_columns(reader: RunReader) -> list[Column]:
    """The first perplexity of each measurement (a second one is the same by another formula)."""
    found: dict[Column, None] = {}
    for cell in reader.index.cells:
        for ref in cell.measures:
            for (protocol, domain), measured in (reader.record(ref.key) or {}).items():
                for name, metric in measured.metrics.items():
                    if metric.estimator == "exp_rate":
                        found[Column(ref.evaluator, protocol, name, domain)] = None
                        break
    return sorted(found, key=lambda c: (c.domain != NO_DOMAIN, c.protocol != "unlearned", c.domain))


# -- bias against language ability -----------------------------------------------------------


def trade_off(reader: RunReader, matrix: Matrix, *, dosed: bool = False) -> TradeOff | None:
    """Mean distance of the bias scores to their ideals against the cost.

    Args:
        reader: of the run.
        matrix: of the run.
        dosed: against the dose (divergence from the base) instead of the language cost.

    Returns:
        None where the run measured no bias score, or not that cost.
    """
    bias = columns_of(matrix, "bias")
    language = columns_of(matrix, "language")
    cost = dose(matrix) if dosed else language_cost(matrix)
    ability = cost.column if cost is not None else None
    if ability is None and language and not dosed:
        ability = language[0]
    if not bias or ability is None:
        return None
    paths = []
    base: tuple[float, float] | None = None
    direction: Direction | None = None
    for fit, cells in fits(reader).items():
        by_step: dict[int, list[tuple[float, float]]] = {}
        for cell in cells:
            for step in cell.steps:
                score = _value(reader, cell, step, ability)
                distance = _distance(reader, cell, step, bias)
                if score is None or score.value is None or distance is None:
                    continue
                direction = LOWER if dosed else score.direction
                if step == 0:
                    base = (score.value, distance)
                else:
                    by_step.setdefault(step, []).append((score.value, distance))
        way = tuple(
            (step, sum(x for x, _ in own) / len(own), sum(y for _, y in own) / len(own))
            for step, own in sorted(by_step.items())
        )
        if way:
            paths.append((fit, way))
    if direction is None:
        return None
    merged = len({(fit.method, way) for fit, way in paths}) > MOST_CURVES  # `identity` is one
    if merged:
        paths = _by_method(paths)
    reached = [(x, y) for _, way in paths for _, x, y in way] + ([base] if base else [])
    name = f"{ability.metric} ({ability.evaluator}, {ability.protocol})"
    return TradeOff(name, direction, base, tuple(paths), pareto_front(reached, direction), merged)


Way = tuple[tuple[int, float, float], ...]
"""For each step: language score, mean distance."""


def _by_method(paths: Sequence[tuple[Fit, Way]]) -> list[tuple[Fit, Way]]:
    """One path a method: the mean over its sources, at the steps that all of them reached."""
    groups: dict[tuple[str, str, bool], list[Way]] = {}
    for fit, way in paths:
        groups.setdefault((fit.model, fit.method, fit.control), []).append(way)
    found = []
    for (model, method, control), ways in groups.items():
        at = [{step: (x, y) for step, x, y in way} for way in ways]
        steps = sorted(set.intersection(*(set(own) for own in at)))
        mean = tuple(
            (step, *(sum(own[step][k] for own in at) / len(at) for k in (0, 1))) for step in steps
        )
        if mean:
            found.append((Fit(model, method, None, control), mean))
    return found  # type: ignore[return-value]


def _distance(reader: RunReader, cell: Cell, step: int, columns: Sequence[Column]) -> float | None:
    """Mean distance in points; None unless every score of the base was measured here too."""
    found = []
    for column in columns:
        metric = _value(reader, cell, step, column)
        if metric is None or metric.value is None:
            if _value(reader, cell, 0, column) is not None:
                return None
            continue
        found.append(metric.direction.distance(metric.value))
    return sum(found) / len(found) if found else None


def pareto_front(
    points: Sequence[tuple[float, float]], direction: Direction
) -> tuple[tuple[float, float], ...]:
    """Points that no other beats in both language score and distance, best language first."""
    cost = direction.distance
    front: list[tuple[float, float]] = []
    for point in sorted(set(points), key=lambda p: (cost(p[0]), p[1])):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    return tuple(front)
