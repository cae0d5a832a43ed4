"""The paired bootstrap of any metric: one set of resampled units for all that is compared.

Every metric is a function of sums over resampling units
(`harness.analysis.resampling_units`). So a bootstrap sample is a row of counts (how often each
unit was drawn), all samples of all models are one matrix product, and base, method and control
are always recomputed on the *same* resampled items.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness.analysis.interval import Interval
from harness.analysis.resampling_units import Layout, Layouts, Sums
from harness.analysis.stats import DRAWS, LEVEL, percentile_interval, resample
from harness.arrays import Floats
from harness.metrics import ROUNDING, Direction, Metric
from harness.storage.item_table import ItemTable


@dataclass(frozen=True)
class Side:
    """Bootstrap values of one table of items; those of a base are shared by all that it is under.

    Attributes:
        sums: resampled components, shape ``(components, draws)``.
        counts: resampled counts, shape ``(counts, draws)``.
        layout: from these to the metric.
        direction: of the metric.
    """

    sums: Floats
    counts: Floats
    layout: Layout
    direction: Direction

    @cached_property
    def values(self) -> Floats:
        """Of the metric, shape ``(draws,)``."""
        return self.layout.value(self.sums, self.counts)

    @cached_property
    def distances(self) -> Floats:
        """From the ideal, shape ``(draws,)``."""
        return distance(self.direction, self.values)


@dataclass(frozen=True)
class Draws:
    """Bootstrap values of one metric, before and after, on the same resampled items.

    Values are computed when they are asked for: most tables show few of them.

    Attributes:
        base, debiased: both sides.
        items: items that both were measured on.
        units: clusters, or items without one, that were resampled.
    """

    base: Side
    debiased: Side
    items: int
    units: int

    @property
    def before(self) -> Floats:
        """Of the base model, shape ``(draws,)``."""
        return self.base.values

    @property
    def after(self) -> Floats:
        """Of the debiased one, shape ``(draws,)``."""
        return self.debiased.values

    @cached_property
    def change(self) -> Floats:
        """After minus before, shape ``(draws,)``."""
        return self.after - self.before

    @cached_property
    def improvement(self) -> Floats:
        """How much nearer to the ideal, shape ``(draws,)``."""
        found = self.base.distances - self.debiased.distances
        found[np.abs(found) <= ROUNDING * np.abs(self.after)] = 0.0  # mirrored values
        return found

    @cached_property
    def interval(self) -> Interval | None:
        """95 % interval of the change."""
        return percentile_interval(self.change)

    @cached_property
    def moved(self) -> bool:
        """Whether the interval of the change leaves zero out.

        Counting the draws on either side of zero tells, unless an end lies between two of them.
        """
        n = len(self.change)
        beyond = int((1.0 - LEVEL) / 2.0 * (n - 1))  # draws that lie surely beyond an end
        low, high = np.count_nonzero(self.change <= 0), np.count_nonzero(self.change >= 0)
        if not np.isnan(self.change.sum()):
            if min(low, high) <= beyond:
                return True
            if min(low, high) >= beyond + 2:
                return False
        return self.interval is not None and self.interval.excludes(0.0)

    @cached_property
    def improvement_interval(self) -> Interval | None:
        """95 % interval of the improvement."""
        return percentile_interval(self.improvement)


class Resampler:
    """Draws bootstrap samples; the same units always get the same samples.

    Args:
        seed: of all samples.
        draws: how many.
    """

    def __init__(self, seed: int = 0, draws: int = DRAWS) -> None:
        self._seed = seed
        self._draws = draws
        self._weights: dict[tuple[str, ...], Floats] = {}

    def weights(self, units: tuple[str, ...]) -> Floats:
        """How often each unit is in each sample, shape ``(draws, units)``.

        Seeded by the units' names: independent for different suites, the same for one suite
        whatever else is in the table.
        """
        if units not in self._weights:
            name = zlib.crc32("\n".join(units).encode())
            rng = np.random.default_rng([self._seed, name])
            self._weights[units] = resample(len(units), rng, self._draws)
        return self._weights[units]

    def paired(
        self, metric: Metric, pairs: Sequence[tuple[ItemTable, ItemTable]]
    ) -> list[Draws | None]:
        """Resample one metric of several pairs (before, after), all in one product.

        None where a pair shares fewer than two units or the metric has no value on them.
        """
        layouts = Layouts(metric)
        prepared = [layouts.paired(before, after) for before, after in pairs]
        groups: dict[int, list[int]] = {}
        for i, own in enumerate(prepared):
            if own is not None and len(own[0].layout.units) > 1:
                groups.setdefault(id(own[0].layout), []).append(i)
        found: list[Draws | None] = [None] * len(pairs)
        for members in groups.values():
            sides: dict[int, Sums] = {}  # each table once, however many pairs it is in
            for i in members:
                sides.update({id(own): own for own in prepared[i] or ()})
            layout = next(iter(sides.values())).layout
            weights = self.weights(layout.units).T
            counts = layout.counts @ weights
            drawn = _product(np.concatenate([own.sums for own in sides.values()]), weights)
            k = len(drawn) // len(sides)
            parts = {
                name: Side(drawn[n * k : (n + 1) * k], counts, layout, metric.direction)
                for n, name in enumerate(sides)
            }
            for i in members:
                both = prepared[i]
                assert both is not None
                found[i] = Draws(
                    parts[id(both[0])],
                    parts[id(both[1])],
                    layout.items,
                    len(layout.units),
                )
        return found


def _product(sums: Floats, weights: Floats) -> Floats:
    """``sums @ weights``; sums of decisions are whole numbers, so single precision is exact."""
    most = float(np.abs(sums).max(initial=0.0)) * float(weights.sum(axis=0).max(initial=0.0))
    if most < 2**24 and (sums == np.rint(sums)).all():
        return (sums.astype(np.float32) @ weights.astype(np.float32)).astype(np.float64)
    with np.errstate(invalid="ignore"):  # an infinite item that is not drawn: no value
        found: Floats = sums @ weights
        return found


def distance(direction: Direction, values: Floats) -> Floats:
    """`Direction.distance` of an array."""
    if direction.kind == "target":
        assert direction.target is not None
        return np.abs(values - direction.target)
    return values if direction.kind == "lower" else -values
