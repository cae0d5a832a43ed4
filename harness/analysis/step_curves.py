"""What the figures of a run show over steps and costs; `harness.render.figures` draws it.

Controls are drawn like methods. Several seeds are drawn as their mean, with the range between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.analysis.costs import dose
from harness.analysis.curve_panels import (
    MOST_CURVES,
    Curve,
    Panel,
    Point,
    band,
    readable,
)
from harness.analysis.fits import Fit, fits
from harness.analysis.matrix_builder import Column, Matrix
from harness.analysis.trade_off import (
    Dosed,
    DosePanel,
    TradeOff,
    Way,
    by_method,
    mean_by_step,
    over_sources,
    pareto_front,
)
from harness.data.domains import NO_DOMAIN, OVERALL
from harness.metrics import Direction, Metric
from harness.once import cached_property
from harness.quantities import Nats
from harness.storage.cells import Cell
from harness.storage.reader import RunReader

MOST_FITS_ALONE = 8
"""Fits that have a panel of perplexities of their own; more are summarised."""


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
        by_domain: dict[str, list[Panel]] = {}
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
                metric = next((known for known in metrics if known is not None), None)
                ideal = metric.direction.target if metric else ideal
            title = f"{column.metric}, {column.evaluator} ({column.protocol})"
            unit = self._matrix.unit(column).value
            named = f"{column.metric}, {unit}" if unit else column.metric
            panel = Panel(title, named, tuple(curves.values()), ideal)
            if panels := readable(panel, curves, column.domain):
                by_domain.setdefault(column.domain, []).extend(panels)
        return by_domain

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
                scaled = tuple(point.over(first) for point in points)
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
            return readable(panel, shared, None)
        if len(panels) <= MOST_FITS_ALONE:
            return [panel for _, panel in panels]
        every = [curve for _, panel in panels for curve in panel.curves]
        bands = [band(text, [c for c in every if c.group == text]) for text in texts]
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
        dose_cost = dose(self._matrix)
        panels = []
        for column in self._matrix.endpoints if dose_cost is not None else ():
            assert dose_cost is not None
            base: Metric | None = None
            curves: list[tuple[Fit, tuple[Dosed, ...]]] = []
            joined = set()
            for fit, cells in self.fits.items():
                each = [self._dosed(cell, column, dose_cost.column) for cell in cells]
                base = base or self._value(cells[0], 0, column)
                if any(len(points) > 1 for points in each):
                    joined.add(fit)
                    points = mean_by_step([point for dosed in each for point in dosed])
                else:
                    points = tuple(point for dosed in each for point in dosed)
                if points:
                    curves.append((fit, points))
            if not curves or base is None or base.value is None:
                continue
            merged = len(curves) > MOST_CURVES
            if merged:
                curves, joined = over_sources(curves, joined)
            panels.append(
                DosePanel(
                    column,
                    dose_cost.column,
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
            paths = by_method(paths)
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
            for other, members in self.fits.items()
            if other == fit or (fit.source is None and other._replace(source=None) == fit)
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
        points = []
        for step, values in sorted(by_step.items()):
            several = len(values) > 1 and step > 0
            low, high = (min(values), max(values)) if several else (None, None)
            shown = self._mean_step(cells, step)
            points.append(Point(shown, sum(values) / len(values), low, high))
        return tuple(points)

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
        columns: dict[Column, None] = {}
        keys = {ref.key: ref for cell in self._reader.index.cells for ref in cell.measures}
        for key, ref in keys.items():
            for (protocol, domain), measured in (self._reader.record(key) or {}).items():
                for name, metric in measured.metrics.items():
                    if isinstance(measured.quantities.get(metric.of[0]), Nats):
                        columns[Column(ref.evaluator, protocol, name, domain)] = None
                        break
        return sorted(
            columns, key=lambda c: (c.domain != NO_DOMAIN, c.protocol != "unlearned", c.domain)
        )

    def _distance(self, cell: Cell, step: int, columns: Sequence[Column]) -> float | None:
        """Mean distance; None unless every score of the base was measured here too."""
        distances = []
        for column in columns:
            metric = self._value(cell, step, column)
            if metric is None or metric.value is None:
                if self._value(cell, 0, column) is not None:
                    return None
                continue
            distances.append(metric.direction.distance(metric.value))
        return sum(distances) / len(distances) if distances else None


def _text_label(column: Column) -> str:
    if column.domain in (NO_DOMAIN, OVERALL):
        return column.evaluator.replace("-perplexity", "")
    return f"{column.domain} texts, {column.protocol}"
