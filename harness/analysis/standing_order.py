"""Ranks of standings with their intervals, their order, and the Pareto front.

A method has a rank only if it improves on the base, its run is comparable with the first one, and
the data can tell its place (`harness.analysis.rank_intervals`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.analysis.leaderboard import Rank, Standing
from harness.analysis.rank_intervals import MOST_OF_THE_BOARD, rank_intervals


def with_ranks(standings: Sequence[Standing]) -> list[Standing]:
    """Ranks of the methods that can have one, with their intervals."""
    ranks: dict[int, Rank] = {}
    able: list[tuple[int, Standing]] = []
    for position, standing in enumerate(standings):
        reason = _no_rank(standing)
        if reason:
            ranks[position] = Rank(None, reason=reason)
        else:
            able.append((position, standing))
    able.sort(key=lambda pair: _square(pair[1]))
    intervals = rank_intervals([s.distance.square for _, s in able if s.distance is not None])
    for place, ((position, _), (low, high)) in enumerate(zip(able, intervals, strict=True), 1):
        if len(able) == 1:
            ranks[position] = Rank(None, reason="there is no other method to rank it against")
        elif high - low + 1 > MOST_OF_THE_BOARD * len(able):
            reason = f"could be anywhere from {low} to {high} of {len(able)}"
            ranks[position] = Rank(None, low, high, reason)
        else:
            ranks[position] = Rank(place, low, high)
    return [replace(standing, rank=ranks[k]) for k, standing in enumerate(standings)]


def _no_rank(standing: Standing) -> str:
    """Why a method has no rank at all; empty if it can have one."""
    if standing.control:
        return "control"
    if not standing.comparable:
        return "its run has other limits or protocols than the first one"
    if standing.distance is None:
        return "failed" if standing.failed else "no bias score is measured"
    if standing.in_budget is False:
        return "costs more than the budget, or its cost is not known"
    if standing.improvement is None:
        return "the base is not significantly different from the ideal, so improvement is undefined"
    if standing.improvement.value <= 0:
        return "no nearer to the ideal than doing nothing"
    return ""


def _square(standing: Standing) -> float:
    return standing.distance.square.value if standing.distance is not None else math.inf


def ordered(standings: Sequence[Standing]) -> list[Standing]:
    """Nearest to the ideal first: comparable runs within the budget before the others."""
    return sorted(
        standings,
        key=lambda s: (not s.comparable, s.in_budget is False, _square(s), s.method),
    )


def with_front(standings: Sequence[Standing]) -> list[Standing]:
    """Mark the improving methods of each model that no other beats in improvement and cost."""
    points: Mapping[int, tuple[float, float]] = {
        k: (s.improvement.value, s.cost)
        for k, s in enumerate(standings)
        if not s.control and s.improvement is not None and s.cost is not None
    }

    def beaten(k: int) -> bool:
        gain, cost = points[k]
        return any(
            other != k
            and (standings[other].run, standings[other].model)
            == (standings[k].run, standings[k].model)
            and more >= gain
            and less <= cost
            and (more, less) != (gain, cost)
            for other, (more, less) in points.items()
        )

    return [
        replace(s, pareto=k in points and points[k][0] > 0 and not beaten(k))
        for k, s in enumerate(standings)
    ]
