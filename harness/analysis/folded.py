"""The interval of a difference of two distances to an ideal, such as how much nearer a score came.

A distance is a folded number, |θ - ideal|. It has a kink at the ideal, where the delta method gives
intervals that are too narrow. Here the interval is the image of intervals of the signed scores.
With a and b the deviations of two scores from their ideal,

    |a| - |b| = max over p of min over m of p·a - m·b,    p and m each -1 or 1,

so the limits of the differences p·a - m·b are combined in the same way. A root mean square over
fits, √(b² + s²), is the maximum over m from -1 to 1 of m·b + s·√(1 - m²).

How much nearer a score came is shown only where its base differs significantly from the ideal.
Such a base seems to be further away than it is. So the limits are those of the distribution that
this selection leaves: a normal one without its middle (Lee, Sun, Sun and Taylor 2016).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from harness.analysis.interval import Interval
from harness.analysis.stats import LEVEL, Variance, crossed, t_quantile
from harness.arrays import Floats

DIRECTIONS = 9
"""Values of p and m that are tried where fits differ."""
MOST_STEPS = 100
NEAR = 1e-8
"""A step of Newton's method of fewer standard errors is the last: it doubles the right digits."""
HALF_LOG_2_PI = math.log(2.0 * math.pi) / 2.0
TAIL = (1.0 - LEVEL) / 2.0
NEGLIGIBLE = 1e-4
"""A selection that leaves out less than this probability is ignored."""


Limits = tuple[Floats, Floats]


class Deviation(NamedTuple):
    """How far a score is from its ideal, with its sign; or how far many are, as arrays.

    Attributes:
        value: the mean over fits.
        items: its variance over items or clusters.
        fits, residual: its variance over fits, and from the residual of both; zero for a model
            that was not fitted.
        spread: standard deviation between fits.
    """

    value: Floats | float
    items: Variance
    fits: Variance
    residual: Variance
    spread: Floats | float

    def shaped(self, *shape: int) -> Deviation:
        """The same numbers as arrays of a shape."""
        value, items, fits, residual, spread = self
        return Deviation(
            np.reshape(value, shape),
            _shaped(items, shape),
            _shaped(fits, shape),
            _shaped(residual, shape),
            np.reshape(spread, shape),
        )


def folded_interval(
    before: Deviation, after: Deviation, covariance: float, *, selected: bool
) -> Interval | None:
    """The 95 % interval of the distance before minus the distance after.

    Args:
        before: of the score that the other is compared with.
        after: of the other score.
        covariance: of both over items, which they share.
        selected: whether there is a result only because ``before`` differs significantly from the
            ideal.

    Returns:
        None where no unit changed the score.
    """
    return folded_intervals(
        before.shaped(1), after.shaped(1), np.array([covariance]), selected=selected
    )[0]


def folded_intervals(
    before: Deviation, after: Deviation, covariance: Floats, *, selected: bool
) -> list[Interval | None]:
    """`folded_interval` of many pairs of scores at once.

    Args:
        before, after: arrays of shape ``(pairs,)``. Either every score of a side is of fits that
            differ, or none is.
        covariance: shape ``(pairs,)``.
        selected: as for one pair.
    """
    before, after = before.shaped(-1, 1, 1), after.shaped(-1, 1, 1)
    covariance = covariance.reshape(-1, 1, 1)
    p, m = np.meshgrid(_directions(before.spread), _directions(after.spread), indexing="ij")
    items = p**2 * before.items.value - 2 * p * m * covariance + m**2 * after.items.value
    variance = crossed(
        Variance(np.maximum(items, 0.0), np.broadcast_to(after.items.df, items.shape)),
        _added(p, before.fits, m, after.fits),
        _added(p, before.residual, m, after.residual),
    )
    centre = p * before.value - m * after.value
    rounding = 1e-9 * np.sqrt(before.items.value + after.items.value).reshape(-1)
    moved = np.maximum(np.sqrt(variance.value[:, -1, -1]) / 100.0, np.abs(centre[:, -1, -1]))
    half = np.sqrt(variance.value) * _t_quantiles(variance.df)
    limits: Limits = (centre - half, centre + half)
    if selected:
        reach = _t_quantiles(before.items.df) * np.sqrt(before.items.value)
        common = p * before.items.value - m * covariance
        slope = common / np.maximum(variance.value, 1e-300)
        error = half / special.ndtri(1.0 - TAIL)  # normal with the width of t
        limits = _after_selection(centre, error, before.value, slope, reach, limits)
    low, high = limits
    fold = before.spread * np.sqrt(1.0 - p**2) - after.spread * np.sqrt(1.0 - m**2)
    ends = [(limit + fold).min(axis=2).max(axis=1).tolist() for limit in (low, high)]
    varies = (moved > rounding).tolist()
    return [
        Interval(first, last) if known else None
        for known, first, last in zip(varies, *ends, strict=True)
    ]


def _shaped(variance: Variance, shape: tuple[int, ...]) -> Variance:
    return Variance(np.reshape(variance.value, shape), np.reshape(variance.df, shape))


def _t_quantiles(df: Floats) -> Floats:
    return np.array([t_quantile(one) for one in df.ravel().tolist()]).reshape(df.shape)


def _directions(spread: Floats | float) -> Floats:
    return np.linspace(-1.0, 1.0, DIRECTIONS if np.any(np.asarray(spread) > 0) else 2)


def _added(p: Floats, one: Variance, m: Floats, two: Variance) -> Variance:
    """The variance of p·one - m·two of independent estimates."""
    first, second = p**2 * one.value, m**2 * two.value
    total = first + second
    with np.errstate(divide="ignore", invalid="ignore"):
        df = total**2 / (first**2 / one.df + second**2 / two.df)
    return Variance(total, np.where(np.isfinite(df), df, 1.0))


def _after_selection(
    centre: Floats,
    error: Floats,
    deviation: Floats | float,
    slope: Floats,
    reach: Floats,
    limits: Limits,
) -> Limits:
    """The limits of differences, given that a deviation was larger than its reach.

    Args:
        centre: estimates of the differences.
        error: their standard errors.
        deviation: what was selected by; ``slope`` times a difference is what it has in common with
            that difference, and the rest is independent of it.
        slope: see there.
        reach: the smallest deviation that is selected.
        limits: without selection.
    """
    rest = deviation - slope * centre
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.stack([(-reach - rest) / slope, (reach - rest) / slope])
    first, last = ends.min(axis=0), ends.max(axis=0)  # left out: what is between them
    side = np.where(centre >= last, 1.0, -1.0)
    x, first, last = (
        side * centre,
        np.where(side > 0, first, -last),
        np.where(side > 0, last, -first),
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        left_out = [_between(first, last, side * limit, error) for limit in limits]
        touched = np.isfinite(first) & np.isfinite(last) & (error > 0)
        touched &= np.maximum(*left_out) > NEGLIGIBLE
    if not touched.any():
        return limits
    means = [
        _solved(tail, x[touched], first[touched], last[touched], error[touched])
        for tail in (TAIL, 1.0 - TAIL)
    ]
    low, high = (limit.copy() for limit in limits)
    turned = side[touched] < 0
    low[touched] = np.where(turned, -means[1], means[0])
    high[touched] = np.where(turned, -means[0], means[1])
    return low, high


def _between(first: Floats, last: Floats, mean: Floats, error: Floats) -> Floats:
    """The probability that a normally distributed number is between two bounds."""
    probability: Floats = special.ndtr((last - mean) / error) - special.ndtr((first - mean) / error)
    return probability


def _solved(tail: float, x: Floats, first: Floats, last: Floats, error: Floats) -> Floats:
    """The mean for which a number of at least x has a probability, if none can be in the middle.

    Newton's method, and halving wherever that would leave the bounds: the probability rises with
    the mean.
    """
    low, high = first - 10.0 * error, x + 10.0 * error
    mean = x + error * special.ndtri(tail)  # what it would be with nothing left out
    for _ in range(MOST_STEPS):
        below, above, beyond = (first - mean) / error, (mean - last) / error, (mean - x) / error
        outside = np.logaddexp(special.log_ndtr(below), special.log_ndtr(above))
        more = special.log_ndtr(beyond)
        excess = more - outside - np.log(tail)
        low, high = np.where(excess < 0, mean, low), np.where(excess < 0, high, mean)
        slope = _ratio(beyond, more) - _ratio(above, outside) + _ratio(below, outside)
        with np.errstate(all="ignore"):
            newton = mean - error * excess / slope
        near = np.abs(newton - mean) <= NEAR * error
        within = near | ((newton > low) & (newton < high))
        mean = np.where(within, newton, (low + high) / 2.0)
        if near.all():
            break
    solution: Floats = mean
    return solution


def _ratio(z: Floats, log_probability: Floats) -> Floats:
    """The standard normal density at z, over a probability."""
    ratio: Floats = np.exp(-z * z / 2.0 - HALF_LOG_2_PI - log_probability)
    return ratio
