"""From a run's store to what its figures show; drawn by `harness.render`.

Controls are drawn like methods. Seeds are drawn as their mean with the range between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from harness.controls import is_control
from harness.domains import NO_DOMAIN, OVERALL
from harness.itemtable import ItemTable, aligned
from harness.matrix import Column, Matrix
from harness.metrics import Direction, Metric
from harness.reading import RunReader
from harness.records import Cell


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
    note: str = ""


@dataclass(frozen=True)
class TradeOff:
    """Bias distance against a language metric: trajectories and the Pareto front."""

    metric: str
    direction: Direction
    base: tuple[float, float] | None
    """Language score and mean distance of the base."""
    paths: tuple[tuple[Fit, tuple[tuple[int, float, float], ...]], ...]
    """For each fit: step, language score, mean distance."""
    front: tuple[tuple[float, float], ...] = ()


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


def fit_of(cell: Cell) -> Fit:
    """The fit that a cell belongs to, whatever its seed."""
    method = " + ".join(part for part in (cell.debiaser, cell.masker) if part)
    if cell.label not in (None, "hateful"):
        method += f" ({cell.label})"
    return Fit(cell.model, method, cell.source, is_control(cell))


def fits(reader: RunReader) -> dict[Fit, list[Cell]]:
    """Debiased cells by fit, in the order of the index."""
    found: dict[Fit, list[Cell]] = {}
    for cell in reader.index.cells:
        if not cell.is_base:
            found.setdefault(fit_of(cell), []).append(cell)
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
    for column in matrix.columns:
        if not is_bias(matrix, column):
            continue
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
        if curves:
            title = f"{column.metric}, {column.evaluator} ({column.protocol})"
            panel = Panel(title, column.metric, tuple(curves), ideal)
            found.setdefault(column.domain, []).append(panel)
    return found


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
    """Figure 1 of Lu et al. 2024: perplexities over steps relative to the base, a panel a fit."""
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
            panels.append(Panel(fit.label, "perplexity / base", tuple(curves), 1.0))
    return panels


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


def is_bias(matrix: Matrix, column: Column) -> bool:
    """Whether a column has a target to reach, as bias scores do."""
    return any(
        metric.direction.kind == "target"
        for (_, own), metric in matrix.base.items()
        if own == column
    ) or any(
        entry.towards_target for row in matrix.rows for entry in row.entries
        if entry.column == column
    )  # fmt: skip


def trade_off(reader: RunReader, matrix: Matrix) -> TradeOff | None:
    """Mean distance of the bias scores to their ideal against the first language metric.

    None where the run measured no bias score or no language ability.
    """
    bias = [c for c in matrix.columns if is_bias(matrix, c)]
    language = [c for c in matrix.columns if c.domain in (NO_DOMAIN, OVERALL) and c not in bias]
    if not bias or not language:
        return None
    ability = language[0]
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
                direction = score.direction
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
    reached = [(x, y) for _, way in paths for _, x, y in way] + ([base] if base else [])
    name = f"{ability.metric} ({ability.evaluator}, {ability.protocol})"
    return TradeOff(name, direction, base, tuple(paths), pareto_front(reached, direction))


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


# -- items -----------------------------------------------------------------------------------


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
            fit = fit_of(row.cell)
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
