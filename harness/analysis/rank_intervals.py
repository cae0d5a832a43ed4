"""Ranks with confidence intervals, from the differences of all pairs of methods.

A method's rank can be as low as one plus the number of methods that are significantly better, and
as high as the number of methods minus those that are significantly worse. With Holm's correction
over a method's comparisons, the interval holds its true rank with 95 % confidence (Mogstad, Romano,
Shaikh and Wilhelm 2024).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from harness.analysis.corrections import ALPHA, adjust
from harness.analysis.effects import BASE, Effect, fit_variances
from harness.analysis.stats import FEWEST_UNITS, Variance, crossed, t_p
from harness.arrays import Floats

MOST_OF_THE_BOARD = 0.5
"""A rank whose interval covers a larger share of the methods than this is not shown."""


def rank_intervals(effects: Sequence[Effect]) -> list[tuple[int, int]]:
    """The lowest and highest rank of each effect; the smallest value has rank 1.

    Args:
        effects: such as the squared distance of each method to the ideal. Effects on the same
            units are compared pair by pair on these units.
    """
    m = len(effects)
    better = np.zeros((m, m), dtype=bool)
    if m > 1:
        p_values = pairwise_p(effects)
        values = np.array([effect.value for effect in effects])
        for i in range(m):
            others = np.arange(m) != i
            certain = np.array(adjust(p_values[i, others].tolist(), "holm")) < ALPHA
            better[i, others] = certain & (values[i] < values[others])
            better[others, i] |= certain & (values[others] < values[i])
    return [(1 + int(better[:, i].sum()), m - int(better[i, :].sum())) for i in range(m)]


def pairwise_p(effects: Sequence[Effect]) -> Floats:
    """Two-sided p-values of all differences, shape ``(effects, effects)``; 1 where not testable.

    The same variance as `Effect.variance` gives for each difference, from inner products of the
    influences, so that a hundred methods take a moment.
    """
    m = len(effects)
    sets: dict[tuple[str, ...], Floats] = {}
    testable = np.array(
        [all(block.influences is not None for block in effect.blocks) for effect in effects]
    )
    for i, effect in enumerate(effects):
        for block in effect.blocks:
            part = sets.setdefault(block.units, np.zeros((m, len(block.units))))
            if block.influences is not None:
                part[i] += block.influences.mean(axis=0)
    items = np.zeros((m, m))
    square = np.zeros((m, m))
    for units, part in sets.items():
        products = part @ part.T
        squares = np.diag(products)
        variance = np.maximum(squares[:, None] + squares[None, :] - 2.0 * products, 0.0)
        items += variance
        square += variance**2 / max(len(units) - 1.0, 1e-9)
    with np.errstate(invalid="ignore", divide="ignore"):
        df = np.where(square > 0, items**2 / square, 0.0)
    over_items = Variance(items, df)
    fits, both = (_own(effects, which) for which in (0, 1))
    total = crossed(over_items, _sum_of_pairs(fits), _sum_of_pairs(both))
    fitted = np.array([effect.covers_fits for effect in effects])
    base = np.array([all(b.fits == BASE for b in effect.blocks) for effect in effects])
    covered = (fitted | base)[:, None] & (fitted | base)[None, :] & ~(base[:, None] & base)
    variance = np.where(covered, total.value, items)
    freedom = np.where(covered, total.df, df)
    values = np.array([effect.value for effect in effects])
    p_values = np.asarray(t_p(values[:, None] - values[None, :], variance, freedom))
    enough = df >= FEWEST_UNITS - 1 - 1e-9
    return np.where(testable[:, None] & testable[None, :] & enough, p_values, 1.0)


def _own(effects: Sequence[Effect], which: int) -> Variance:
    """Variance over fits (0) or of the residual (1) of each effect by itself."""
    variances = [fit_variances(effect)[which] for effect in effects]
    return Variance(
        np.array([float(v.value) for v in variances]), np.array([float(v.df) for v in variances])
    )


def _sum_of_pairs(variance: Variance) -> Variance:
    """Return the variance of the difference of each two methods, whose fits are independent."""
    value = variance.value[:, None] + variance.value[None, :]
    part: npt.NDArray[np.float64] = variance.value**2 / np.maximum(variance.df, 1e-9)
    with np.errstate(invalid="ignore", divide="ignore"):
        df = value**2 / (part[:, None] + part[None, :])
    return Variance(value, np.where(np.isfinite(df), df, 1.0))
