"""Paired statistics: before and after on the same items. Seeded, no global state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy import stats as scipy_stats


Correction = Literal["bh", "holm"]


class SeedSummary(NamedTuple):
    """A number over independent fits that differ in their seed.

    Attributes:
        n: seeds.
        mean: arithmetic mean.
        sd: standard deviation with n - 1; None for one seed.
        interval: 95 % t interval of the mean; None for one seed.
    """

    n: int
    mean: float
    sd: float | None
    interval: Interval | None


class McNemar(NamedTuple):
    """Exact two-sided McNemar test of paired 0/1 decisions.

    Attributes:
        gained: items that went from 0 to 1.
        lost: items that went from 1 to 0.
        p: two-sided exact binomial p-value; 1 where nothing flipped.
    """

    gained: int
    lost: int
    p: float


def mcnemar(before: Sequence[float], after: Sequence[float]) -> McNemar:
    """Test whether decisions changed more in one direction than in the other.

    Args:
        before: 0/1 decisions, one an item.
        after: decisions of the same items in the same order.
    """
    pairs = list(zip(before, after, strict=True))
    gained = sum(b == 0 and a == 1 for b, a in pairs)
    lost = sum(b == 1 and a == 0 for b, a in pairs)
    if gained + lost == 0:
        return McNemar(gained, lost, 1.0)
    p = float(scipy_stats.binomtest(gained, gained + lost, 0.5).pvalue)
    return McNemar(gained, lost, p)


class Interval(NamedTuple):
    """A two-sided interval."""

    low: float
    high: float


def paired_bootstrap(
    before: Sequence[float],
    after: Sequence[float],
    clusters: Sequence[str | None],
    *,
    seed: int = 0,
    draws: int = 2000,
    level: float = 0.95,
) -> Interval | None:
    """Percentile interval of the mean change ``after - before``, resampling whole clusters.

    Items without a cluster are clusters of their own. None for fewer than two clusters: no
    interval is not a zero interval.
    """
    groups: dict[str, list[float]] = {}
    triples = zip(before, after, clusters, strict=True)
    for i, (b, a, cluster) in enumerate(triples):
        groups.setdefault(f"item {i}" if cluster is None else cluster, []).append(a - b)
    if len(groups) < 2:
        return None
    sums = np.array([math.fsum(group) for group in groups.values()])
    sizes = np.array([len(group) for group in groups.values()])
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(groups), size=(draws, len(groups)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    tail = 100.0 * (1.0 - level) / 2.0
    low, high = np.percentile(means, [tail, 100.0 - tail])
    return Interval(float(low), float(high))


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that control the false discovery rate over all of them."""
    if not p_values:
        return []
    adjusted = scipy_stats.false_discovery_control(np.array(p_values), method="bh")
    return [float(p) for p in adjusted]


def minimal_detectable_change(
    n: int, *, discordant: float = 0.1, alpha: float = 0.05, power: float = 0.8
) -> float | None:
    """Smallest change, in points, that a paired test of ``n`` items would likely see.

    Normal approximation of McNemar's test with a share ``discordant`` of the items flipping
    either way. None for fewer than two items.
    """
    if n < 2:
        return None
    z = float(scipy_stats.norm.ppf(1 - alpha / 2) + scipy_stats.norm.ppf(power))
    return 100.0 * z * math.sqrt(discordant / n)
