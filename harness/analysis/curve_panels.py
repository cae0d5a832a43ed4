"""Curves over steps in panels that can be read.

A panel with too many curves is split by source. If that is still too many, it shows how the curves
are spread: their median and the middle 80 % of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from harness.analysis.fits import Fit

MOST_CURVES = 8
"""The most curves that a reader can distinguish in one pair of axes."""
MOST_PANELS = 6
"""The most panels that one is split into by source; more are summarised."""
MOST_RANGES = 6
"""The most curves of a panel whose ranges a reader can distinguish."""


class Point(NamedTuple):
    """A value at a step, with a range: over seeds, over curves, or the interval of its change."""

    step: int
    value: float
    low: float | None = None
    high: float | None = None

    def over(self, first: float) -> Point:
        """Return the point and its range as multiples of a first value."""
        low = None if self.low is None else self.low / first
        high = None if self.high is None else self.high / first
        return Point(self.step, self.value / first, low, high)


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
        ideal: where to draw a rule: the best value, or that of no change; None: no rule.
        rule: what the rule means.
        ranges: whether to draw the range of each point.
        summary: whether each curve summarises many fits.
    """

    title: str
    unit: str
    curves: tuple[Curve, ...]
    ideal: float | None = None
    rule: str = "ideal"
    ranges: bool = True
    summary: bool = False


def readable(panel: Panel, curves: Mapping[Fit, Curve], domain: str | None) -> list[Panel]:
    """Return a panel as it is, split by source, or summarised if it has too many curves.

    Args:
        panel: with all of the curves.
        curves: by fit.
        domain: the target; a summary separates fits from it from the others. None: it has none.

    Returns:
        Empty where there are too many curves of two points or fewer: the matrix shows them.
    """
    return _by_source(panel) or _summary(panel, curves, domain)


def _by_source(panel: Panel) -> list[Panel]:
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
    """Drop the ranges of many curves, which would hide each other; the exports have them."""
    return panel if len(panel.curves) <= MOST_RANGES else replace(panel, ranges=False)


def _summary(panel: Panel, curves: Mapping[Fit, Curve], domain: str | None) -> list[Panel]:
    """Return one panel with the spread of many curves."""
    if all(len(curve.points) <= 2 for curve in panel.curves):
        return []  # the matrix says the same
    groups: dict[str, list[Curve]] = {}
    for fit, curve in curves.items():
        kind = "controls" if fit.control else "methods"
        if not fit.control and domain is not None and fit.source is not None:
            kind = f"debiased in {domain}" if fit.source == domain else "debiased in other domains"
        groups.setdefault(kind, []).append(curve)
    bands = tuple(band(name, groups[name]) for name in sorted(groups, key=_order(domain)))
    return [replace(panel, curves=bands, summary=True)] if bands else []


def _order(domain: str | None) -> Callable[[str], int]:
    first = [f"debiased in {domain}", "debiased in other domains", "methods", "controls"]
    return first.index


def band(name: str, curves: Sequence[Curve]) -> Curve:
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
