"""Bias against its cost or its dose: the data of a scatter of checkpoints, and its Pareto front."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.analysis.fits import Fit
from harness.analysis.matrix_builder import Column
from harness.metrics import Direction

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


def mean_by_step(points: Sequence[Dosed]) -> tuple[Dosed, ...]:
    """Return the mean dose and change at each step."""
    at: dict[int, list[Dosed]] = {}
    for point in points:
        at.setdefault(point.step, []).append(point)
    return tuple(
        Dosed(
            step,
            sum(point.dose for point in same) / len(same),
            sum(point.change for point in same) / len(same),
        )
        for step, same in sorted(at.items())
    )


def over_sources(
    curves: Sequence[tuple[Fit, tuple[Dosed, ...]]], joined: Collection[Fit]
) -> tuple[list[tuple[Fit, tuple[Dosed, ...]]], set[Fit]]:
    """Return one curve for each method: the mean over its sources at each step, or all points.

    Args:
        curves: the points of each fit.
        joined: fits that were read at several steps. Those of a method are averaged at each step.

    Returns:
        The curves, and the methods that were averaged.
    """
    groups: dict[Fit, list[Dosed]] = {}
    lines: set[Fit] = set()
    for fit, points in curves:
        method = fit._replace(source=None)
        groups.setdefault(method, []).extend(points)
        if fit in joined:
            lines.add(method)
    return [
        (fit, mean_by_step(points) if fit in lines else tuple(points))
        for fit, points in groups.items()
    ], lines


def by_method(paths: Iterable[tuple[Fit, Way]]) -> list[tuple[Fit, Way]]:
    """Return one path for each method: the mean over its sources, at the steps they share."""
    groups: dict[tuple[str, str, bool], list[Way]] = {}
    for fit, way in paths:
        groups.setdefault((fit.model, fit.method, fit.control), []).append(way)
    means: list[tuple[Fit, Way]] = []
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
            means.append((Fit(model, method, None, control), mean))
    return means


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
