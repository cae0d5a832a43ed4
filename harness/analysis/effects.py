"""Effects: weighted sums of changes over cells, fits and items, with their uncertainty.

An `Effect` keeps, for each group of fits and each set of units, the estimate of every fit and the
influence of every unit on every fit. So effects can be averaged over cells and subtracted from each
other, and what they share (the items of a suite, the fits of a source) is never counted twice.
The variance is that of a mean over items and fits that are both random
(`harness.analysis.stats.crossed`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from harness.analysis.folded import Deviation, folded_interval
from harness.analysis.interval import Interval
from harness.analysis.stats import (
    FEWEST_FITS,
    FEWEST_UNITS,
    Variance,
    crossed,
    t_interval,
    t_p,
)
from harness.arrays import Floats
from harness.once import cached_property


@dataclass(frozen=True)
class Block:
    """Estimates of some fits on the same units.

    Attributes:
        fits: names of the fits; equal names are the same fits in all columns. A single
            empty name means a model that has no fit, such as the base.
        units: names of the units.
        values: estimate of each fit, shape ``(fits,)``.
        influences: of each unit on each fit, shape ``(fits, units)``; None: not known.
    """

    fits: tuple[str, ...]
    units: tuple[str, ...]
    values: Floats
    influences: Floats | None

    def scaled(self, weight: float) -> Block:
        """Multiply estimates and influences by a number."""
        if weight == 1.0:
            return self
        influences = None if self.influences is None else weight * self.influences
        return Block(self.fits, self.units, weight * self.values, influences)

    @cached_property
    def fitted(self) -> bool:
        """Whether these are models that were fitted and, as far as known, differ from the base."""
        return self.fits != BASE and (self.influences is None or bool(self.influences.any()))


@dataclass(frozen=True)
class Effect:
    """A sum of estimates, each the mean over its fits."""

    blocks: tuple[Block, ...]

    @cached_property
    def value(self) -> float:
        """The estimate."""
        return math.fsum(float(_mean(block.values)) for block in self.blocks)

    @cached_property
    def items_variance(self) -> Variance | None:
        """Variance with units as the only random part; None where there are too few units."""
        if not self.blocks or any(block.influences is None for block in self.blocks):
            return None
        return _over_items(self.blocks)

    @cached_property
    def variance(self) -> Variance | None:
        """Variance with degrees of freedom; None where there are too few units to know it.

        Where a group of fits has fewer than three, it is over units alone (see `covers_fits`).
        """
        items = self.items_variance
        if items is None or not self.covers_fits:
            return items
        return crossed(items, *fit_variances(self))

    @cached_property
    def covers_fits(self) -> bool:
        """Whether fits are random in the variance: every group of fits has three or more."""
        groups = {block.fits for block in _fitted(self.blocks)}
        return bool(groups) and all(len(fits) >= FEWEST_FITS for fits in groups)

    @property
    def interval(self) -> Interval | None:
        """95 % t interval; None where the variance is not known or there is none."""
        if self.variance is None or self.variance.value <= 0:
            return None
        return t_interval(self.value, float(self.variance.value), float(self.variance.df))

    @property
    def p(self) -> float | None:
        """Two-sided p-value of "the effect is zero"."""
        if self.variance is None:
            return None
        return float(t_p(self.value, self.variance.value, self.variance.df))

    @property
    def covers(self) -> str:
        """What is random in the interval, in words."""
        return "items and fits" if self.covers_fits else "items"


BASE = ("",)
"""The fits of a model that was not fitted."""


def combined(parts: Iterable[tuple[float, Effect]]) -> Effect:
    """Add effects with weights: ``[(1, method), (-1, control)]``.

    Blocks of the same fits and units become one, so what cancels or is shared is known exactly.
    """
    groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Block]] = {}
    for weight, effect in parts:
        for block in effect.blocks:
            groups.setdefault((block.fits, block.units), []).append(block.scaled(weight))
    return Effect(tuple(_added(blocks) for blocks in groups.values()))


def mean_effect(effects: Sequence[Effect]) -> Effect:
    """The unweighted mean of effects."""
    return combined([(1.0 / len(effects), effect) for effect in effects])


def _mean(values: Floats) -> Floats:
    """The mean over fits: what ``values.mean(axis=0)`` is, in half the time on so few values."""
    mean: Floats = np.add.reduce(values, axis=0) / len(values)
    return mean


def _added(blocks: Sequence[Block]) -> Block:
    first = blocks[0]
    if len(blocks) == 1:
        return first
    known = [block.influences for block in blocks if block.influences is not None]
    influences = sum(known[1:], start=known[0]) if len(known) == len(blocks) else None
    values = sum((block.values for block in blocks[1:]), start=first.values)
    return Block(first.fits, first.units, values, influences)


def _over_items(blocks: Sequence[Block]) -> Variance | None:
    """Variance with units as the only random part; None with too few units."""
    sets: dict[tuple[str, ...], Floats] = {}
    for block in blocks:
        assert block.influences is not None
        mean = _mean(block.influences)
        sets[block.units] = sets[block.units] + mean if block.units in sets else mean
    pieces = _disjoint(sets)
    variances = np.array([float((part * part).sum()) for _, part in pieces])
    freedom = np.array([count - 1.0 for count, _ in pieces])
    total = float(variances.sum())
    if total <= 0:
        enough = min(count for count, _ in pieces) >= FEWEST_UNITS
        return Variance(np.zeros(()), np.asarray(freedom.sum())) if enough else None
    with np.errstate(divide="ignore"):
        df = total**2 / float((variances**2 / np.maximum(freedom, 1e-9)).sum())
    if df < FEWEST_UNITS - 1 - 1e-9:
        return None
    return Variance(np.asarray(total), np.asarray(df))


def over_units(influences: Floats) -> Variance:
    """Variances over units of many estimates that share them, as that of a single `Effect`.

    Args:
        influences: of the units, shape ``(estimates, units)``.

    Returns:
        Shape ``(estimates,)``. Degrees of freedom are nan where there are too few units.
    """
    freedom = influences.shape[1] - 1.0
    totals = (influences * influences).sum(axis=1)
    df = np.array([total**2 / (total * total / freedom) if total > 0 else freedom
                   for total in totals.tolist()])  # fmt: skip
    few = df < FEWEST_UNITS - 1 - 1e-9
    return Variance(totals, np.where(few, np.nan, df))


def _disjoint(sets: dict[tuple[str, ...], Floats]) -> list[tuple[int, Floats]]:
    """Number of units and their summed influences, of sets that share no unit.

    Sets that overlap without being equal (a metric of one half of a suite beside one of the whole)
    are added up unit by unit: the shared units count with the first set that has them.
    """
    names = list(sets)
    total = sum(len(units) for units in names)
    if len(names) == 1 or len(set().union(*names)) == total:
        return [(len(units), part) for units, part in sets.items()]
    owner: dict[str, int] = {}
    summed: dict[str, float] = {}
    for position, (units, part) in enumerate(sets.items()):
        for unit, value in zip(units, part.tolist(), strict=True):
            owner.setdefault(unit, position)
            summed[unit] = summed.get(unit, 0.0) + value
    parts: list[list[float]] = [[] for _ in names]
    for unit, value in summed.items():
        parts[owner[unit]].append(value)
    return [(len(units), np.array(part)) for units, part in zip(names, parts, strict=True) if part]


def fit_variances(effect: Effect) -> tuple[Variance, Variance]:
    """Variance of an effect over fits alone, and from the residual of units and fits.

    Both are zero where there are too few fits or units to know them.
    """
    blocks = _fitted(effect.blocks)
    known = all(block.influences is not None for block in blocks)
    if not effect.covers_fits or not known:
        nothing = Variance(np.zeros(()), np.ones(()))
        return nothing, nothing
    return _over_fits(blocks), _over_both(blocks)


def _fitted(blocks: Sequence[Block]) -> list[Block]:
    """The blocks of models that were fitted and differ from the base."""
    return [block for block in blocks if block.fitted]


def _over_fits(blocks: Sequence[Block]) -> Variance:
    """Variance with fits as the only random part."""
    groups: dict[tuple[str, ...], Floats] = {}
    for block in blocks:
        known = groups.get(block.fits)
        groups[block.fits] = block.values if known is None else known + block.values
    variances = np.array([values.var(ddof=1) / len(values) for values in groups.values()])
    freedom = np.array([len(values) - 1.0 for values in groups.values()])
    return _summed(variances, freedom)


def _over_both(blocks: Sequence[Block]) -> Variance:
    """Variance from the residual of units and fits."""
    variances, freedom = [], []
    for block in blocks:
        assert block.influences is not None
        fits, units = block.influences.shape
        residual = block.influences - _mean(block.influences)
        variances.append(float((residual * residual).sum()) / (fits * (fits - 1)))
        freedom.append((fits - 1.0) * (units - 1.0))
    return _summed(np.array(variances), np.array(freedom))


def _summed(variances: Floats, freedom: Floats) -> Variance:
    total = np.asarray(variances.sum())
    if total <= 0:
        return Variance(np.zeros(()), np.asarray(freedom.sum()))
    return Variance(total, np.asarray(total**2 / (variances**2 / freedom).sum()))


# -- distances to the ideal --------------------------------------------------------------------


@dataclass(frozen=True)
class Distance:
    """Root mean square distance of scores to their ideals, in the scores' unit.

    Attributes:
        square: the mean of the unbiased squared distances.
        noise: the mean of the sampling variances that were subtracted, by set of units; scores
            on the same units share their sampling error.
        signed: of a single score, its deviation from the ideal; None for several scores.
    """

    square: Effect
    noise: Mapping[tuple[str, ...], float]
    signed: Effect | None = None

    @property
    def value(self) -> float:
        """The root; 0 where the square is negative."""
        return math.sqrt(max(self.square.value, 0.0))

    @cached_property
    def distinguishable(self) -> bool:
        """Whether the scores differ significantly from their ideals: an F test at 5 %.

        For one score that is whether its 95 % interval excludes the ideal.
        """
        if self.square.variance is None:
            return False
        noise = math.fsum(self.noise.values())
        if noise <= 0:
            return self.square.value > 0
        df = noise**2 / math.fsum(part**2 for part in self.noise.values())
        ratio = max((self.square.value + noise) / noise, 0.0)
        return float(special.fdtrc(df, float(self.square.variance.df), ratio)) < 0.05

    @cached_property
    def points(self) -> Effect:
        """Influences on the distance itself, linear in those on its square (delta method).

        Where the distance may be zero, the slope is that at the distance which sampling alone
        would show, so that the influences stay finite.
        """
        noise = math.fsum(self.noise.values())
        root = math.sqrt(max(self.square.value, noise, 1e-12))
        return combined([(1.0 / (2.0 * root), self.square)])


def mean_distance(distances: Sequence[Distance]) -> Distance:
    """The root mean square over several distances."""
    if len(distances) == 1:
        return distances[0]
    weight = 1.0 / len(distances)
    noise: dict[tuple[str, ...], float] = {}
    for distance in distances:
        for units, part in distance.noise.items():
            noise[units] = noise.get(units, 0.0) + weight * part
    return Distance(mean_effect([distance.square for distance in distances]), noise)


@dataclass(frozen=True)
class Estimated:
    """An estimate with its 95 % interval, where there is one."""

    value: float
    interval: Interval | None = None
    covers: str = "items"


def nearer(before: Distance, after: Distance, *, selected: bool = False) -> Estimated:
    """How much nearer to the ideal ``after`` is than ``before``; negative: further.

    The difference of both distances. The interval of a single score is the image of that of the
    signed scores; over several scores it is linear in the influences (delta method).

    Args:
        before, after: distances on the same units.
        selected: whether there is a result only because ``before`` is `Distance.distinguishable`.
    """
    value = nearer_value(before.square.value, after.square.value)
    if before.signed is None or after.signed is None:
        return estimated(value, combined([(1.0, before.points), (-1.0, after.points)]))
    covers = combined([(1.0, before.signed), (-1.0, after.signed)]).covers
    return Estimated(value, _folded(before, after, selected=selected), covers)


def nearer_value(before: float, after: float) -> float:
    """The difference of two distances, from their squares; 0 where only rounding differs."""
    if abs(before - after) <= 1e-9 * max(abs(before), abs(after)):
        return 0.0
    return math.sqrt(max(before, 0.0)) - math.sqrt(max(after, 0.0))


def _folded(before: Distance, after: Distance, *, selected: bool) -> Interval | None:
    one, two = _deviation(before), _deviation(after)
    assert before.signed is not None
    assert after.signed is not None
    both = combined([(1.0, before.signed), (1.0, after.signed)]).items_variance
    if one is None or two is None or both is None:
        return None
    covariance = float(both.value - one.items.value - two.items.value) / 2.0
    return folded_interval(one, two, covariance, selected=selected)


def _deviation(distance: Distance) -> Deviation | None:
    """A single score's deviation from its ideal; None where too few units are known."""
    assert distance.signed is not None
    signed, items = distance.signed, distance.signed.items_variance
    if items is None:
        return None
    between = distance.square.value - (signed.value**2 - float(items.value))
    fits = max(len(block.fits) for block in signed.blocks)
    if signed.covers_fits:
        between *= fits / (fits - 1.0)
    spread = math.sqrt(max(between, 0.0)) if fits > 1 else 0.0
    return Deviation(signed.value, items, *fit_variances(signed), spread)


def estimated(value: float, effect: Effect) -> Estimated:
    """A value with the interval that an effect's variance gives it."""
    variance = effect.variance
    if variance is None or variance.value <= 1e-18:
        return Estimated(value)
    interval = t_interval(value, float(variance.value), float(variance.df))
    return Estimated(value, interval, effect.covers)
