"""Paired statistics: before and after on the same items. Seeded, no global state.

Distributions are scipy's (`scipy.special`). `scipy.stats` and `statsmodels` take longer to import
than a table takes to make, so they are the referees: the tests hold every function against them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import special

from harness.analysis.interval import Interval
from harness.arrays import Floats

LEVEL = 0.95
DRAWS = 2000


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


def mcnemar(before: Sequence[float] | Floats, after: Sequence[float] | Floats) -> McNemar:
    """Test whether decisions changed more in one direction than in the other.

    Args:
        before: 0/1 decisions, one an item.
        after: decisions of the same items in the same order.

    Raises:
        ValueError: not as many after as before.
    """
    old, new = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    if old.shape != new.shape:
        raise ValueError(f"{len(old)} decisions before, {len(new)} after")
    gained = int(np.count_nonzero((old == 0) & (new == 1)))
    lost = int(np.count_nonzero((old == 1) & (new == 0)))
    return McNemar(gained, lost, mcnemar_p(gained, lost))


@lru_cache(maxsize=4096)
def mcnemar_p(gained: int, lost: int) -> float:
    """Two-sided exact p-value of flip counts: under no change each flip is a fair coin's.

    Twice the binomial chance of at most the smaller count, and at most 1.
    """
    return min(1.0, 2.0 * float(special.bdtr(min(gained, lost), gained + lost, 0.5)))


def paired_bootstrap(
    before: Sequence[float],
    after: Sequence[float],
    clusters: Sequence[str | None],
    *,
    seed: int = 0,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> Interval | None:
    """Percentile interval of the mean change ``after - before``, resampling whole clusters.

    Items without a cluster are clusters of their own. None for fewer than two clusters: no
    interval is not a zero interval. `harness.analysis.bootstrap` does the same for every metric.
    """
    groups: dict[str, list[float]] = {}
    triples = zip(before, after, clusters, strict=True)
    for i, (b, a, cluster) in enumerate(triples):
        groups.setdefault(f"item {i}" if cluster is None else cluster, []).append(a - b)
    if len(groups) < 2:
        return None
    sums = np.array([[math.fsum(group), len(group)] for group in groups.values()])
    drawn = resample(len(groups), np.random.default_rng(seed), draws) @ sums
    return percentile_interval(drawn[:, 0] / drawn[:, 1], level)


def resample(units: int, rng: np.random.Generator, draws: int = DRAWS) -> Floats:
    """How often each unit is drawn in each bootstrap sample, shape ``(draws, units)``."""
    chosen = rng.integers(0, units, size=(draws, units))
    chosen += np.arange(draws)[:, None] * units
    counts = np.bincount(chosen.ravel(), minlength=draws * units)
    return counts.reshape(draws, units).astype(np.float64)


def percentile_interval(drawn: Floats, level: float = LEVEL) -> Interval | None:
    """Percentile interval of bootstrap values; None if more than one in twenty is no number.

    A draw is no number where the metric has none (a stratum that was never drawn).
    """
    n = len(drawn) - int(np.count_nonzero(np.isnan(drawn)))
    if n < 0.95 * len(drawn) or n == 0:
        return None
    tail = (1.0 - level) / 2.0
    ranks = [(at, min(int(at), n - 1)) for at in (tail * (n - 1), (1.0 - tail) * (n - 1))]
    wanted = sorted({rank for _, below in ranks for rank in (below, min(below + 1, n - 1))})
    placed = np.partition(drawn, wanted)  # sorted at those ranks, nan last: all that is asked for
    low, high = (_between(placed, at, below, n) for at, below in ranks)
    return Interval(low, high)


def _between(placed: Floats, at: float, below: int, n: int) -> float:
    """The value at a fractional rank, linear between its neighbours (numpy's default)."""
    low, high = float(placed[below]), float(placed[min(below + 1, n - 1)])
    return low + (high - low) * (at - below)


def bootstrap_p(drawn: Floats) -> float:
    """Two-sided p-value of "no change" from bootstrap values of a change.

    Twice the smaller share of draws on either side of zero, zeros counted on both sides; the
    observed sample counts as one more draw, so it is never 0.
    """
    known = drawn[~np.isnan(drawn)]
    tail = min(int(np.sum(known <= 0)), int(np.sum(known >= 0)))
    return min(1.0, 2.0 * (tail + 1) / (len(known) + 1))


def minimal_detectable_change(
    n: int, *, discordant: float = 0.1, alpha: float = 0.05, power: float = 0.8
) -> float | None:
    """Smallest change, in points, that a paired test of ``n`` items would likely see.

    Normal approximation of McNemar's test with a share ``discordant`` of the items flipping
    either way. None for fewer than two items.
    """
    if n < 2:
        return None
    return 100.0 * _margin(alpha, power) * math.sqrt(discordant / n)


def detectable_in_draws(
    drawn: Floats, units: int, *, alpha: float = 0.05, power: float = 0.8
) -> float | None:
    """The same for a metric that is no share of decisions, in the metric's own unit.

    The standard error is that of the bootstrap values of the change, so it is known only after
    the measurement, for the change that was made.

    Args:
        drawn: bootstrap values of the change.
        units: how many units were resampled; of few, the bootstrap's spread is too small by
            the root of (n - 1) / n, which is made good.
        alpha: of the test.
        power: chance to see such a change.

    Returns:
        None where there are fewer than two units, or the values do not vary.
    """
    known = drawn[~np.isnan(drawn)]
    spread = float(known.std()) if units > 1 and len(known) > 1 else 0.0
    return _margin(alpha, power) * spread * math.sqrt(units / (units - 1)) if spread > 0 else None


def _margin(alpha: float, power: float) -> float:
    """Standard errors that a change must have to be seen: 2.8 by default."""
    return float(special.ndtri(1 - alpha / 2) + special.ndtri(power))


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


def over_seeds(values: Sequence[float], level: float = LEVEL) -> SeedSummary:
    """Mean, standard deviation and t interval over seeds; one seed has a mean and no more.

    Raises:
        ValueError: no value.
    """
    n = len(values)
    if n == 0:
        raise ValueError("no value to summarise")
    mean = math.fsum(values) / n
    if n < 2:
        return SeedSummary(n, mean, None, None)
    sd = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    half = float(special.stdtrit(n - 1, (1 + level) / 2)) * sd / math.sqrt(n)
    return SeedSummary(n, mean, sd, Interval(mean - half, mean + half))


def seeds_p(values: Sequence[float]) -> float | None:
    """Two-sided one-sample t test that the mean over seeds is zero; None for one seed.

    Values that are all alike leave nothing to test with: 1 if they are zero, else None.
    """
    found = over_seeds(values)
    if found.sd is None:
        return None
    if found.sd == 0.0:
        return 1.0 if found.mean == 0.0 else None
    t = abs(found.mean) / (found.sd / math.sqrt(found.n))
    return float(2.0 * special.stdtr(found.n - 1, -t))
