"""What the figures of a run show over steps and costs; `harness.render.figures` draws it.

Controls are drawn like methods. Several seeds are drawn as their mean, with the range between them.
Where a panel has too many curves to tell apart, it is split by source; where even that is too
many, it shows how the curves are spread: their median and the middle 80 % of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from harness.analysis.costs import dose
from harness.analysis.matrix_builder import Column, Matrix
from harness.data.domains import NO_DOMAIN, OVERALL
from harness.metrics import Direction, Metric
from harness.quantities import Nats
from harness.storage.cells import Cell, MethodNames, is_control
from harness.storage.reader import RunReader

MOST_CURVES = 8
"""Curves that can be told apart in one pair of axes."""
MOST_PANELS = 6
"""Panels into which one is split by source; more are summarised."""
MOST_RANGES = 6
"""Curves of a panel whose ranges can still be told apart."""
MOST_FITS_ALONE = 8
"""Fits that have a panel of perplexities of their own; more are summarised."""


class Fit(NamedTuple):
    """What a curve is of: a method from a source, over its seeds."""

    model: str
    method: str
    source: str | None
    control: bool

    @property
    def label(self) -> str:
        """Method and source in words."""
        return f"{self.method} from {self.source}" if self.source else self.method


class Point(NamedTuple):
    """A value at a step, with a range: over seeds, over curves, or the interval of its change."""

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
    """Curves with one pair of axes.

    Attributes:
        title: what they are of.
        unit: of the vertical axis.
        curves: in order; of a summary, the median with the middle 80 % as the range.
        ideal: where to draw a rule: the best value, or that of no change; None: nowhere.
        rule: what the rule means.
        ranges: whether to draw the range of each point.
        summary: whether each curve stands for many fits.
    """

    title: str
    unit: str
    curves: tuple[Curve, ...]
    ideal: float | None = None
    rule: str = "ideal"
    ranges: bool = True
    summary: bool = False


Way = tuple[tuple[int, float, float], ...]
"""For each step: language score, mean distance."""


@dataclass(frozen=True)
class TradeOff:
    """Bias distance against a language metric: trajectories and the Pareto front.

    Attributes:
        metric: name of the language metric, with its evaluator and protocol.
        direction: of the language metric.
        base: language score and mean distance of the base model.
        paths: the way of each fit over its steps; many fits are averaged over sources.
        front: points that no other point beats in both.
        merged: whether paths are means over sources, because there are too many fits.
        unit: of the distances; the bias scores of other units are left out.
    """

    metric: str
    direction: Direction
    base: tuple[float, float] | None
    paths: tuple[tuple[Fit, Way], ...]
    front: tuple[tuple[float, float], ...] = ()
    merged: bool = False
    unit: str = ""


class Dosed(NamedTuple):
    """A score at a dose."""

    step: int
    dose: float
    change: float


@dataclass(frozen=True)
class DosePanel:
    """How a bias score changed, over the dose.

    Attributes:
        column: the score.
        dose: the column that is the dose.
        base: the score of the base model.
        ideal: of the score; None where it has none.
        curves: the checkpoints of each fit, by step; of a fit that was read once for each seed, a
            point for each seed.
        joined: fits that were read at several steps, so that a line joins their points.
        merged: whether curves are means over sources, because there are too many.
        unit: of a change of the score.
    """

    column: Column
    dose: Column
    base: float
    ideal: float | None
    curves: tuple[tuple[Fit, tuple[Dosed, ...]], ...]
    joined: frozenset[Fit]
    merged: bool = False
    unit: str = ""


def fit_of(cell: Cell, names: MethodNames) -> Fit:
    """Return the fit that a cell belongs to, whatever its seed."""
    return Fit(cell.model, names.name(cell), cell.source, is_control(cell))


def fits(reader: RunReader) -> dict[Fit, list[Cell]]:
    """Return the debiased cells by fit, in the order of the index."""
    found: dict[Fit, list[Cell]] = {}
    for cell in reader.index.cells:
        if not cell.is_base:
            found.setdefault(fit_of(cell, reader.names), []).append(cell)
    return found


def is_stepwise(cells: Sequence[Cell]) -> bool:
    """Return whether a fit has steps to draw; a control that is fitted at once has none."""
    return max(cells[0].steps) > 1


class RunCurves:
    """The curves of a run. Fits and values are read once, for all figures.

    Args:
        reader: of the run.
        matrix: of the same run, at the steps whose intervals are drawn.
    """

    def __init__(self, reader: RunReader, matrix: Matrix) -> None:
        self.fits = fits(reader)
        self._reader = reader
        self._matrix = matrix
        self._keys: dict[int, dict[tuple[int, str], list[str]]] = {}

    @property
    def stepwise(self) -> list[Fit]:
        """Fits that have a curve over steps."""
        return [fit for fit, cells in self.fits.items() if is_stepwise(cells)]

    @cached_property
    def bias_panels(self) -> dict[str, list[Panel]]:
        """For each target domain the bias scores over unlearning steps, a panel for each score.

        With one seed the last point carries the 95 % interval of its change.
        """
        found: dict[str, list[Panel]] = {}
        for column in self._matrix.columns:
            if self._matrix.role(column) != "bias":
                continue
            curves: dict[Fit, Curve] = {}
            ideal = None
            for fit, cells in self.fits.items():
                points = self._points(cells, column)
                if not is_stepwise(cells) or len(points) < 2:
                    continue
                if len(cells) == 1:
                    points = self._with_interval(points, cells[0], column)
                curves[fit] = Curve(fit.label, fit.source or "", fit.method, points)
                metrics = (self._value(cells[0], step, column) for step in cells[0].steps)
                metric = next((own for own in metrics if own is not None), None)
                ideal = metric.direction.target if metric else ideal
            title = f"{column.metric}, {column.evaluator} ({column.protocol})"
            unit = self._matrix.unit(column).value
            named = f"{column.metric}, {unit}" if unit else column.metric
            panel = Panel(title, named, tuple(curves.values()), ideal)
            panels = _told_apart(panel) or _summarised(panel, curves, column.domain)
            if panels:
                found.setdefault(column.domain, []).extend(panels)
        return found

    @cached_property
    def perplexity_panels(self) -> list[Panel]:
        """Perplexities over steps relative to the base (Figure 1 of Lu et al. 2024).

        A panel for each fit; one for all of them where a run has the perplexity of one text only,
        and the spread over fits where there are many.
        """
        columns = self._perplexity_columns
        panels = []
        for fit, cells in self.fits.items():
            curves = []
            for column in columns if is_stepwise(cells) else ():
                points = self._points(cells, column)
                if len(points) < 2 or points[0].step != 0 or points[0].value <= 0:
                    continue
                first = points[0].value
                label = _text_label(column)
                scaled = tuple(_scaled(point, first) for point in points)
                curves.append(Curve(f"{label} (base {first:.1f})", label, label, scaled))
            if curves:
                panels.append(
                    (fit, Panel(fit.label, "perplexity / base", tuple(curves), 1.0, "no change"))
                )
        texts = list(dict.fromkeys(c.group for _, panel in panels for c in panel.curves))
        if len(texts) == 1 and len(panels) > 1:
            shared = {
                fit: replace(panel.curves[0], label=fit.label, group=fit.source or "",
                             style=fit.method)
                for fit, panel in panels
            }  # fmt: skip
            panel = replace(panels[0][1], title=f"{texts[0]} text", curves=tuple(shared.values()))
            return _told_apart(panel) or _summarised(panel, shared, None)
        if len(panels) <= MOST_FITS_ALONE:
            return [panel for _, panel in panels]
        every = [curve for _, panel in panels for curve in panel.curves]
        bands = [_band(text, [c for c in every if c.group == text]) for text in texts]
        title = f"all {len(panels)} fits"
        return [Panel(title, "perplexity / base", tuple(bands), 1.0, "no change", summary=True)]

    @cached_property
    def trade_off(self) -> TradeOff | None:
        """Mean distance of the bias scores to their ideal against the cost in language ability.

        None where the run measured no bias score or no language ability.
        """
        language = [c for c in self._matrix.columns if self._matrix.role(c) == "language"]
        return self._against(self._matrix.cost or next(iter(language), None))

    @cached_property
    def dose_panels(self) -> list[DosePanel]:
        """The change of each primary bias score over the divergence from the base.

        Over several seeds it is the mean at each step; a fit that is read once, as where it stops
        at a dose, is one point for each seed. Empty where the run measured no dose.
        """
        found = dose(self._matrix)
        panels = []
        for column in self._matrix.endpoints if found is not None else ():
            assert found is not None
            base: Metric | None = None
            curves: list[tuple[Fit, tuple[Dosed, ...]]] = []
            joined = set()
            for fit, cells in self.fits.items():
                each = [self._dosed(cell, column, found.column) for cell in cells]
                base = base or self._value(cells[0], 0, column)
                if any(len(points) > 1 for points in each):
                    joined.add(fit)
                    points = _mean_by_step([point for own in each for point in own])
                else:
                    points = tuple(point for own in each for point in own)
                if points:
                    curves.append((fit, points))
            if not curves or base is None or base.value is None:
                continue
            merged = len(curves) > MOST_CURVES
            if merged:
                curves, joined = _over_sources(curves, joined)
            panels.append(
                DosePanel(
                    column,
                    found.column,
                    base.value,
                    base.direction.target,
                    tuple(curves),
                    frozenset(joined),
                    merged,
                    self._matrix.unit(column).change,
                )
            )
        return panels

    def _dosed(self, cell: Cell, column: Column, dosed: Column) -> list[Dosed]:
        base = self._value(cell, 0, column)
        points = []
        for step in cell.steps:
            level, score = self._value(cell, step, dosed), self._value(cell, step, column)
            if step > 0 and base is not None and level is not None and score is not None:
                assert level.value is not None
                assert score.value is not None
                assert base.value is not None
                shown = self._mean_step([cell], step)
                points.append(Dosed(shown, level.value, score.value - base.value))
        return points

    def _against(self, ability: Column | None) -> TradeOff | None:
        """Return the trajectories of the fits over a metric."""
        units = self._matrix.endpoint_units
        if not units or ability is None:
            return None
        bias = self._matrix.endpoints_in(units[0])
        paths: list[tuple[Fit, Way]] = []
        base: tuple[float, float] | None = None
        direction: Direction | None = None
        for fit, cells in self.fits.items():
            by_step: dict[int, list[tuple[float, float]]] = {}
            for cell in cells:
                for step in cell.steps:
                    score = self._value(cell, step, ability)
                    distance = self._distance(cell, step, bias)
                    if score is None or score.value is None or distance is None:
                        continue
                    direction = score.direction
                    if step == 0:
                        base = (score.value, distance)
                    else:
                        by_step.setdefault(step, []).append((score.value, distance))
            way = tuple(
                (step, sum(x for x, _ in reached) / len(reached),
                 sum(y for _, y in reached) / len(reached))
                for step, reached in sorted(by_step.items())
            )  # fmt: skip
            if way:
                paths.append((fit, way))
        if direction is None:
            return None
        merged = len({(fit.method, way) for fit, way in paths}) > MOST_CURVES  # `identity` is one
        if merged:
            paths = _by_method(paths)
        paths = [(fit, self._at_stops(fit, way)) for fit, way in paths]
        points = [(x, y) for _, way in paths for _, x, y in way] + ([base] if base else [])
        name = f"{ability.metric} ({ability.evaluator}, {ability.protocol})"
        front = pareto_front(points, direction)
        return TradeOff(name, direction, base, tuple(paths), front, merged, units[0])

    # -- values ----------------------------------------------------------------------------------

    def _value(self, cell: Cell, step: int, column: Column) -> Metric | None:
        keys = self._keys.get(id(cell))
        if keys is None:
            keys = self._keys[id(cell)] = {}
            for ref in cell.measures:
                keys.setdefault((ref.step, ref.evaluator), []).append(ref.key)
        for key in keys.get((step, column.evaluator), ()):
            measured = (self._reader.record(key) or {}).get((column.protocol, column.domain))
            if measured is not None and column.metric in measured.derived:
                measured = self._reader.find(cell, step, column)
            metric = measured.metrics.get(column.metric) if measured else None
            if metric is not None:
                return metric if metric.value is not None else None
        return None

    def _mean_step(self, cells: Sequence[Cell], step: int) -> int:
        """The step at which the fits of some cells stopped, on average; else the step itself."""
        stops = [self._reader.stop(cell, step) for cell in cells]
        ends = [step if stop is None else stop.step for stop in stops]
        return round(sum(ends) / len(ends))

    def _at_stops(self, fit: Fit, way: Way) -> Way:
        """The way of a fit, or of a method over its sources, with the steps where fits stopped."""
        cells = [
            cell
            for own, members in self.fits.items()
            if own == fit or (fit.source is None and own._replace(source=None) == fit)
            for cell in members
        ]
        return tuple(
            (self._mean_step([c for c in cells if step in c.steps], step), x, y)
            for step, x, y in way
        )

    def _points(self, cells: Sequence[Cell], column: Column) -> tuple[Point, ...]:
        by_step: dict[int, list[float]] = {}
        for cell in cells:
            for step in cell.steps:
                metric = self._value(cell, step, column)
                if metric is not None and metric.value is not None:
                    by_step.setdefault(step, []).append(metric.value)
        found = []
        for step, values in sorted(by_step.items()):
            several = len(values) > 1 and step > 0
            low, high = (min(values), max(values)) if several else (None, None)
            shown = self._mean_step(cells, step)
            found.append(Point(shown, sum(values) / len(values), low, high))
        return tuple(found)

    @cached_property
    def _rows(self) -> dict[tuple[object, int], int]:
        """Position of each row of the matrix, by cell and step."""
        return {(row.cell.identity, row.step): k for k, row in enumerate(self._matrix.rows)}

    def _with_interval(
        self, points: tuple[Point, ...], cell: Cell, column: Column
    ) -> tuple[Point, ...]:
        last = points[-1]
        stored = {self._mean_step([cell], step): step for step in cell.steps}
        position = self._rows.get((cell.identity, stored.get(last.step, last.step)))
        entry = self._matrix.rows[position].entry(column) if position is not None else None
        if entry and entry.interval and entry.base and entry.base.value is not None:
            start = entry.base.value
            ends = (start + entry.interval.low, start + entry.interval.high)
            return (*points[:-1], Point(last.step, last.value, *ends))
        return points

    @cached_property
    def _perplexity_columns(self) -> list[Column]:
        """The first perplexity of each measurement (a second one has another formula)."""
        found: dict[Column, None] = {}
        keys = {ref.key: ref for cell in self._reader.index.cells for ref in cell.measures}
        for key, ref in keys.items():
            for (protocol, domain), measured in (self._reader.record(key) or {}).items():
                for name, metric in measured.metrics.items():
                    if isinstance(measured.quantities.get(metric.of[0]), Nats):
                        found[Column(ref.evaluator, protocol, name, domain)] = None
                        break
        return sorted(
            found, key=lambda c: (c.domain != NO_DOMAIN, c.protocol != "unlearned", c.domain)
        )

    def _distance(self, cell: Cell, step: int, columns: Sequence[Column]) -> float | None:
        """Mean distance; None unless every score of the base was measured here too."""
        found = []
        for column in columns:
            metric = self._value(cell, step, column)
            if metric is None or metric.value is None:
                if self._value(cell, 0, column) is not None:
                    return None
                continue
            found.append(metric.direction.distance(metric.value))
        return sum(found) / len(found) if found else None


# -- panels that can be read -----------------------------------------------------------------


def _told_apart(panel: Panel) -> list[Panel]:
    """Return a panel, or one for each source; none if that is still too many curves."""
    if not panel.curves:
        return []
    if len(panel.curves) <= MOST_CURVES:
        return [_without_ranges(panel)]
    if all(len(curve.points) <= 2 for curve in panel.curves):
        return []
    groups: dict[str, list[Curve]] = {}
    for curve in panel.curves:
        groups.setdefault(curve.group, []).append(curve)
    if len(groups) > MOST_PANELS or max(map(len, groups.values())) > MOST_CURVES:
        return []
    return [
        _without_ranges(
            replace(
                panel,
                title=f"{panel.title}, from {group}" if group else panel.title,
                curves=tuple(curves),
            )
        )
        for group, curves in groups.items()
    ]


def _without_ranges(panel: Panel) -> Panel:
    """Leave the ranges of many curves out: they hide each other; the numbers have them."""
    return panel if len(panel.curves) <= MOST_RANGES else replace(panel, ranges=False)


def _summarised(panel: Panel, curves: dict[Fit, Curve], domain: str | None) -> list[Panel]:
    """Return one panel with the spread of many curves.

    Args:
        panel: with all of them.
        curves: by fit.
        domain: the target; fits from it are told from the others. None: it has none.
    """
    if all(len(curve.points) <= 2 for curve in panel.curves):
        return []  # the matrix says the same
    groups: dict[str, list[Curve]] = {}
    for fit, curve in curves.items():
        kind = "controls" if fit.control else "methods"
        if not fit.control and domain is not None and fit.source is not None:
            kind = f"debiased in {domain}" if fit.source == domain else "debiased in other domains"
        groups.setdefault(kind, []).append(curve)
    bands = tuple(_band(name, groups[name]) for name in sorted(groups, key=_order(domain)))
    return [replace(panel, curves=bands, summary=True)] if bands else []


def _order(domain: str | None) -> Callable[[str], int]:
    first = [f"debiased in {domain}", "debiased in other domains", "methods", "controls"]
    return first.index


def _band(name: str, curves: Sequence[Curve]) -> Curve:
    """Summarise curves: at each step that most of them have, the median and the middle 80 %."""
    at: dict[int, list[float]] = {}
    for curve in curves:
        for point in curve.points:
            at.setdefault(point.step, []).append(point.value)
    points = []
    for step, values in sorted(at.items()):
        if 2 * len(values) >= len(curves):
            low, middle, high = (float(q) for q in np.percentile(values, [10, 50, 90]))
            points.append(Point(step, middle, low, high))
    return Curve(f"{name} ({len(curves)} curves)", name, name, tuple(points))


def _scaled(point: Point, first: float) -> Point:
    low = None if point.low is None else point.low / first
    high = None if point.high is None else point.high / first
    return Point(point.step, point.value / first, low, high)


def _text_label(column: Column) -> str:
    if column.domain in (NO_DOMAIN, OVERALL):
        return column.evaluator.replace("-perplexity", "")
    return f"{column.domain} texts, {column.protocol}"


# -- bias against language ability -----------------------------------------------------------


def _mean_by_step(points: Sequence[Dosed]) -> tuple[Dosed, ...]:
    at: dict[int, list[Dosed]] = {}
    for point in points:
        at.setdefault(point.step, []).append(point)
    return tuple(
        Dosed(
            step,
            sum(own.dose for own in same) / len(same),
            sum(own.change for own in same) / len(same),
        )
        for step, same in sorted(at.items())
    )


def _over_sources(
    curves: Sequence[tuple[Fit, tuple[Dosed, ...]]], joined: Collection[Fit]
) -> tuple[list[tuple[Fit, tuple[Dosed, ...]]], set[Fit]]:
    """One curve for each method: the mean over its sources at each step, or all single points."""
    groups: dict[Fit, list[Dosed]] = {}
    lines: set[Fit] = set()
    for fit, points in curves:
        method = fit._replace(source=None)
        groups.setdefault(method, []).extend(points)
        if fit in joined:
            lines.add(method)
    return [
        (fit, _mean_by_step(points) if fit in lines else tuple(points))
        for fit, points in groups.items()
    ], lines


def _by_method(paths: Iterable[tuple[Fit, Way]]) -> list[tuple[Fit, Way]]:
    """Return one path for each method: the mean over its sources, at the steps they share."""
    groups: dict[tuple[str, str, bool], list[Way]] = {}
    for fit, way in paths:
        groups.setdefault((fit.model, fit.method, fit.control), []).append(way)
    found: list[tuple[Fit, Way]] = []
    for (model, method, control), ways in groups.items():
        at = [{step: (x, y) for step, x, y in way} for way in ways]
        steps = sorted(set.intersection(*(set(reached) for reached in at)))
        mean = tuple(
            (
                step,
                sum(reached[step][0] for reached in at) / len(at),
                sum(reached[step][1] for reached in at) / len(at),
            )
            for step in steps
        )
        if mean:
            found.append((Fit(model, method, None, control), mean))
    return found


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
