"""Tests, intervals and detectable changes of paired measurements.

Everything here is arithmetic on arrays; nothing reads a run. Distributions are those of
`scipy.special`, because importing `scipy.stats` or statsmodels takes longer than most tables. The
tests compare every function with these packages, and by simulation.
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
POWER = 0.8

FEWEST_UNITS = 8
"""Independent units (items, clusters or windows) that an interval or a star needs.

With fewer, the distribution of a few numbers decides the result: a t interval is exact for normal
numbers only, and a bootstrap is too narrow even for those.
"""
FEWEST_FITS = 3
"""Fits that an interval over items and fits needs."""


# -- decisions ---------------------------------------------------------------------------------


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


@lru_cache(maxsize=4096)
def mcnemar_p(gained: int, lost: int) -> float:
    """Two-sided exact p-value of flip counts: without an effect, each flip is a fair coin toss.

    Twice the binomial probability of at most the smaller count, and at most 1.
    """
    return min(1.0, 2.0 * float(special.bdtr(min(gained, lost), gained + lost, 0.5)))


def share_interval(hits: float, items: int) -> Interval:
    """95 % interval of a share of independent items, in points (Wilson 1927)."""
    z = float(special.ndtri((1.0 + LEVEL) / 2.0))
    share, n = hits / items, items + z * z
    centre = (hits + z * z / 2.0) / n
    half = z / n * math.sqrt(items * share * (1.0 - share) + z * z / 4.0)
    return Interval(100.0 * max(0.0, centre - half), 100.0 * min(1.0, centre + half))


def share_change_interval(gained: int, lost: int, items: int) -> Interval:
    """95 % interval of the change of a share of independent items, in points.

    The interval of Agresti and Min (2005): half an item is added to each cell of the 2 x 2 table,
    so that few flips, or none, do not give an interval without width.

    Args:
        gained: items that went from 0 to 1.
        lost: items that went from 1 to 0.
        items: all items.
    """
    n = items + 2.0
    up, down = gained + 0.5, lost + 0.5
    change = (up - down) / n
    half = t_quantile(items - 1.0) * math.sqrt(((up + down) / n - change**2) / n)
    return Interval(100.0 * max(-1.0, change - half), 100.0 * min(1.0, change + half))


# -- t tests and intervals ---------------------------------------------------------------------


@lru_cache(maxsize=4096)
def t_quantile(df: float, level: float = LEVEL) -> float:
    """Two-sided t quantile; ``df`` may be a fraction."""
    return float(special.stdtrit(max(df, 1.0), (1.0 + level) / 2.0))


def t_interval(estimate: float, variance: float, df: float, level: float = LEVEL) -> Interval:
    """Interval of an estimate with the given variance and degrees of freedom."""
    half = t_quantile(df, level) * math.sqrt(variance)
    return Interval(estimate - half, estimate + half)


def t_p(estimate: Floats | float, variance: Floats | float, df: Floats | float) -> Floats:
    """Two-sided p-value of "the true value is zero"; 1 where estimate and variance are both zero.

    Shapes broadcast. A change without any variance is possible only if every unit changed by the
    same amount; its p-value is 0.
    """
    size = np.abs(np.asarray(estimate, dtype=float))
    spread = np.sqrt(np.asarray(variance, dtype=float))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(size > 0, size / spread, 0.0)
    p_values: Floats = 2.0 * special.stdtr(np.maximum(df, 1.0), -t)
    return p_values


# -- influence of units ------------------------------------------------------------------------


def influence(without: Floats) -> Floats:
    """Influence of each unit on a statistic, from its values without that unit (jackknife).

    Args:
        without: the statistic computed without each unit, shape ``(…, units)``.

    Returns:
        Influences of the same shape. They sum to zero, and the sum of their squares is the
        jackknife variance of the statistic (Efron and Stein 1981). For a mean that is s²/n.
    """
    n = without.shape[-1]
    centred: Floats = without.mean(axis=-1, keepdims=True) - without
    return centred * math.sqrt((n - 1) / n)


def squared_distance(deviation: Floats, influences: Floats) -> tuple[Floats, Floats]:
    """Unbiased estimate of a squared distance to the ideal, with the influence of each unit.

    The squared deviation of an estimate exceeds that of the true value by its sampling variance,
    so that is subtracted: (p - 1/2)² - p(1 - p)/(n - 1) for a share of n items, m² - s²/n for a
    mean. The result can be negative.

    Args:
        deviation: estimate minus ideal, shape ``(…,)``.
        influences: of the estimate, shape ``(…, units)``; at least three units.

    Returns:
        Estimates of shape ``(…,)`` and influences of shape ``(…, units)``.
    """
    n = influences.shape[-1]
    values = deviation[..., None] + influences * math.sqrt(n * (n - 1))  # one for each unit
    total = n * deviation
    squares = (values * values).sum(axis=-1)
    estimate = (total * total - squares) / (n * (n - 1))
    rest = total[..., None] - values
    without = (rest * rest - (squares[..., None] - values * values)) / ((n - 1) * (n - 2))
    return estimate, influence(without)


# -- items and fits ----------------------------------------------------------------------------


class Variance(NamedTuple):
    """Variance of an estimate with its degrees of freedom; arrays where many are computed."""

    value: Floats
    df: Floats


def crossed(items: Variance, fits: Variance, both: Variance) -> Variance:
    """Variance of a mean over items and fits that are both random, by the method of moments.

    The change of item i in fit f is mu + a_i + b_f + e_if. Treating items as random estimates
    var(a)/n + var(e)/(nF), treating fits as random estimates var(b)/F + var(e)/(nF), and the
    residual estimates var(e)/(nF). Their sum less the residual is the variance of the mean. A
    component that is estimated as negative is taken as zero. The degrees of freedom are those of
    Satterthwaite.

    Args:
        items: variance of the mean with items (or clusters) as the only random units.
        fits: variance of the mean with fits as the only random units.
        both: variance of the mean from the residual of both.
    """
    a, b, e = items.value, fits.value, both.value
    total = a + b - e
    with np.errstate(divide="ignore", invalid="ignore"):
        df = total**2 / (a**2 / items.df + b**2 / fits.df + e**2 / both.df)
    no_fits, no_items = b <= e, a <= e
    value = np.where(no_fits, np.maximum(a, e), np.where(no_items, b, total))
    freedom = np.where(no_fits, items.df, np.where(no_items, fits.df, df))
    return Variance(value, np.where(np.isfinite(freedom), freedom, items.df))


def crossed_blocks(values: Floats, influences: Floats) -> Variance:
    """`crossed` for many estimates that share their units, all at once.

    Args:
        values: of each fit, shape ``(estimates, fits)``.
        influences: of each unit on each fit, shape ``(estimates, fits, units)``.

    Returns:
        Variance and degrees of freedom of the mean over fits, shape ``(estimates,)``. With fewer
        than `FEWEST_FITS` fits they are over units alone.
    """
    _, count, units = influences.shape
    mean = influences.mean(axis=1)
    over_items = Variance((mean * mean).sum(axis=-1), np.full(len(values), units - 1.0))
    if count < FEWEST_FITS:
        return over_items
    over_fits = values.var(axis=1, ddof=1) / count
    residual = influences - mean[:, None, :]
    both = (residual * residual).sum(axis=(1, 2)) / (count * (count - 1))
    return crossed(
        over_items,
        Variance(over_fits, np.full(len(values), count - 1.0)),
        Variance(both, np.full(len(values), (count - 1.0) * (units - 1.0))),
    )


class FitSummary(NamedTuple):
    """A number over independent fits that differ in their seed, on the same items.

    Attributes:
        n: fits.
        mean: arithmetic mean.
        sd: standard deviation with n - 1; None for one fit.
        interval: 95 % t interval of the mean over fits alone; None for one fit.
    """

    n: int
    mean: float
    sd: float | None
    interval: Interval | None


def over_fits(values: Sequence[float]) -> FitSummary:
    """Mean, standard deviation and t interval over fits; one fit has a mean only.

    The interval is about further fits on the same items. It is narrower than one over items and
    fits, so tables show it as a footnote.

    Raises:
        ValueError: there is no value.
    """
    n = len(values)
    if n == 0:
        raise ValueError("no value to summarise")
    mean = math.fsum(values) / n
    if n < 2:
        return FitSummary(n, mean, None, None)
    sd = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    return FitSummary(n, mean, sd, t_interval(mean, sd**2 / n, n - 1.0))


# -- ratios --------------------------------------------------------------------------------------


def ratio_interval(
    top: float, bottom: float, var_top: float, var_bottom: float, covariance: float, df: float
) -> Interval | None:
    """Fieller's 95 % interval of a ratio of estimates; None where it is unbounded.

    It is bounded if and only if the interval of the denominator excludes zero.
    """
    t2 = t_quantile(df) ** 2
    a = bottom**2 - t2 * var_bottom
    b = top * bottom - t2 * covariance
    c = top**2 - t2 * var_top
    if a <= 0:
        return None
    root = math.sqrt(max(0.0, b * b - a * c))
    return Interval((b - root) / a, (b + root) / a)


# -- what a design can see ---------------------------------------------------------------------


def detectable_change(
    variance: float, df: float, *, alpha: float = 0.05, power: float = POWER
) -> float:
    """Change that a two-sided test with this variance finds with the given probability.

    Args:
        variance: of the estimate.
        df: degrees of freedom of the test.
        alpha: level of one test, after the correction for a family of tests.
        power: probability to find such a change.
    """
    return _t_quantiles(max(df, 1.0), alpha, power) * math.sqrt(variance)


@lru_cache(maxsize=1024)
def _t_quantiles(df: float, alpha: float, power: float) -> float:
    return float(special.stdtrit(df, 1.0 - alpha / 2.0) + special.stdtrit(df, power))


def detectable_share_change(
    items: int, discordant: float, *, alpha: float = 0.05, power: float = POWER
) -> float:
    """Change of a share, in points, that McNemar's test finds with the given probability.

    Connor (1987): solves z_alpha sqrt(f) + z_power sqrt(f - d²) = d sqrt(n) for the change d.

    Args:
        items: independent items.
        discordant: share f of the items that flip either way; take it from the run.
        alpha: level of one test, after the correction for a family of tests.
        power: probability to find such a change.

    Returns:
        Points. A result above ``100 * discordant`` means that even flips that all go one way would
        be too few.
    """
    z_alpha, z_power = _normal_quantiles(alpha, power)
    root = math.sqrt(discordant)
    spare = items + z_power**2 - z_alpha**2
    if spare < 0:
        return 100.0 * (z_alpha + z_power) * root / math.sqrt(items)
    top = math.sqrt(items) * z_alpha + z_power * math.sqrt(spare)
    return 100.0 * root * top / (items + z_power**2)


@lru_cache(maxsize=64)
def _normal_quantiles(alpha: float, power: float) -> tuple[float, float]:
    return float(special.ndtri(1.0 - alpha / 2.0)), float(special.ndtri(power))
