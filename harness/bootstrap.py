"""The paired bootstrap of any metric: one set of resampled units for all that is compared.

Every estimator of `harness.metrics` is a function of sums over items. So a bootstrap sample is a
row of counts (how often each unit was drawn), all samples of all models are one matrix product,
and base, method and control are always recomputed on the *same* resampled items. The unit is
the item's cluster (its term or template) where it has one, else the item, be it a pair, a text
or a window of text.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness.itemtable import ItemTable, aligned
from harness.metrics import Direction, Estimator, Metric
from harness.stats import DRAWS, LEVEL, Floats, Interval, percentile_interval, resample

_NO_CLUSTER = "\0none"


Value = Callable[[Floats, Floats], Floats]
"""From summed components, shape ``(components, …)``, and summed counts, shape ``(counts, …)``, to
a metric, shape ``(…)``; nan where it has no value."""


class Sums(NamedTuple):
    """A metric's items, summed over resampling units.

    Attributes:
        layout: how they were summed; tables of the same items share it, and its counts.
        sums: shape ``(components, units)``.
    """

    layout: Layout
    sums: Floats


@dataclass(frozen=True)
class Side:
    """Bootstrap values of one table of items; those of a base are shared by all that it is under.

    Attributes:
        sums: resampled components, shape ``(components, draws)``.
        counts: resampled counts, shape ``(counts, draws)``.
        value: from these to the metric.
        direction: of the metric.
    """

    sums: Floats
    counts: Floats
    value: Value
    direction: Direction

    @cached_property
    def values(self) -> Floats:
        """Of the metric, shape ``(draws,)``."""
        return self.value(self.sums, self.counts)

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
        return self.base.distances - self.debiased.distances

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
        layouts = _Layouts(metric)
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
                name: Side(drawn[n * k : (n + 1) * k], counts, layout.value, metric.direction)
                for n, name in enumerate(sides)
            }
            for i in members:
                both = prepared[i]
                assert both is not None
                found[i] = Draws(
                    parts[id(both[0])],
                    parts[id(both[1])],
                    len(layout.unit_of),
                    len(layout.units),
                )
        return found


def _product(sums: Floats, weights: Floats) -> Floats:
    """``sums @ weights``; sums of decisions are whole numbers, so single precision is exact."""
    most = float(np.abs(sums).max(initial=0.0)) * float(weights.sum(axis=0).max(initial=0.0))
    if most < 2**24 and (sums == np.rint(sums)).all():
        return (sums.astype(np.float32) @ weights.astype(np.float32)).astype(np.float64)
    return sums @ weights


class _Layouts:
    """Sums of the tables of a column; tables of the same items share how they are summed."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._layouts: list[tuple[ItemTable, Layout]] = []
        self._sums: dict[tuple[int, int], Sums] = {}

    def paired(self, before: ItemTable, after: ItemTable) -> tuple[Sums, Sums] | None:
        """Sums of both sides over what they share; None if that is nothing."""
        names = self._metric.of
        same = before.ids == after.ids and before.complete(names) and after.complete(names)
        if not same or self._metric.stratum is not None:
            return paired_sums(self._metric, before, after)
        if not after.ids:
            return None
        layout = self._layout(after)
        return self._sum(before, layout), self._sum(after, layout)

    def _layout(self, table: ItemTable) -> Layout:
        for known, layout in self._layouts:
            if (known.ids, known.clusters, known.strata) == (
                table.ids,
                table.clusters,
                table.strata,
            ):
                return layout
        strata = [stratum or "" for stratum in table.strata]
        layout = layout_of(self._metric, table.ids, table.clusters, strata)
        self._layouts.append((table, layout))
        return layout

    def _sum(self, table: ItemTable, layout: Layout) -> Sums:
        key = (id(table), id(layout))
        if key not in self._sums:
            self._sums[key] = layout.sums(table.columns(self._metric.of))
        return self._sums[key]


def paired_sums(metric: Metric, before: ItemTable, after: ItemTable) -> tuple[Sums, Sums] | None:
    """Sums of both sides over the items that both have and that carry the metric's values.

    Clusters and strata are those of ``after``. None where there is no such item.
    """
    old_at, new_at = aligned(before, after)
    if not new_at:
        return None
    old, new = before.columns(metric.of)[old_at], after.columns(metric.of)[new_at]
    used = ~(np.isnan(old).any(axis=1) | np.isnan(new).any(axis=1))
    if metric.stratum is not None:
        used &= np.array([after.strata[j] == metric.stratum for j in new_at])
    kept = np.array(new_at)[used]
    if not len(kept):
        return None
    layout = layout_of(
        metric,
        [after.ids[k] for k in kept],
        [after.clusters[k] for k in kept],
        [after.strata[k] or "" for k in kept],
    )
    return layout.sums(old[used]), layout.sums(new[used])


def shared_values(
    metric: Metric, before: ItemTable, after: ItemTable
) -> tuple[float, float] | None:
    """A metric of both sides over the items that both have; None where it has no value there."""
    sums = paired_sums(metric, before, after)
    if sums is None:
        return None
    layout = sums[0].layout
    counts = layout.counts.sum(axis=1)
    old, new = (float(layout.value(own.sums.sum(axis=1), counts)) for own in sums)
    return None if np.isnan(old) or np.isnan(new) else (old, new)


@dataclass(frozen=True)
class Layout:
    """How the items of a metric are summed over resampling units.

    Attributes:
        units: name of each unit.
        unit_of: the unit of each item, shape ``(items,)``.
        macro: a cluster counts once, however many items it has.
        components: from item values, shape ``(items, names)``, to what is summed, shape
            ``(components, items)``.
        counts: how many items there are in each unit, shape ``(counts, units)``.
        value: from sums and counts to the metric.
    """

    units: tuple[str, ...]
    unit_of: npt.NDArray[np.intp]
    macro: bool
    components: Callable[[Floats], Floats]
    counts: Floats
    value: Value

    def sums(self, values: Floats) -> Sums:
        """Sum the values of items, shape ``(items, names)``."""
        sums = _over_units(self.components(values), self.unit_of, len(self.units))
        if self.macro:
            sums = sums / _over_units(np.ones((1, len(values))), self.unit_of, len(self.units))
        return Sums(self, sums)


def _over_units(parts: Floats, unit_of: npt.NDArray[np.intp], units: int) -> Floats:
    if units == len(unit_of):  # every item is a unit, in order
        return parts
    return np.stack([np.bincount(unit_of, weights=part, minlength=units) for part in parts])


def layout_of(
    metric: Metric, ids: Sequence[str], clusters: Sequence[str | None], strata: Sequence[str]
) -> Layout:
    """Lay out the items of a metric.

    Args:
        metric: says which estimator.
        ids: of the items.
        clusters: of the items; None where there is none.
        strata: of the items; ``""`` where there is none.
    """
    macro = metric.estimator in ("percent_macro", "icat")
    alone = _NO_CLUSTER if macro else None
    names = [
        (alone or f"\0{i}") if cluster is None else cluster
        for cluster, i in zip(clusters, ids, strict=True)
    ]
    index: dict[str, int] = {}
    unit_of = np.array([index.setdefault(name, len(index)) for name in names], np.intp)
    if metric.estimator in ("percent_balanced", "did"):
        components, counted, value = _by_stratum(metric, strata)
    else:
        components, value = _FORMS[metric.estimator]
        counted = np.ones((1, len(ids)))
    counts = np.ones((1, len(index))) if macro else _over_units(counted, unit_of, len(index))
    return Layout(tuple(index), unit_of, macro, components, counts, value)


def _hits(values: Floats) -> Floats:
    """Sum of the 0/1 values over their number, of each item: exact for one or two of them."""
    return np.atleast_2d(values.mean(axis=1))


def _percent(s: Floats, n: Floats) -> Floats:
    found: Floats = 100.0 * s[0] / n[0]
    return found


def _icat_parts(values: Floats) -> Floats:
    return np.stack([values[:, 0], values[:, 1:].mean(axis=1)])


def _icat(s: Floats, n: Floats) -> Floats:
    stereotype, language = 100.0 * s[0] / n[0], 100.0 * s[1] / n[0]
    found: Floats = language * np.minimum(stereotype, 100.0 - stereotype) / 50.0
    return found


def _exp_rate(s: Floats, n: Floats) -> Floats:
    found: Floats = np.exp(s[0] / s[1])
    return found


_FORMS: Mapping[Estimator, tuple[Callable[[Floats], Floats], Value]] = {
    "percent": (_hits, _percent),
    "percent_macro": (_hits, _percent),
    "mean": (lambda values: values.T, lambda s, n: s[0] / n[0]),
    "exp_rate": (lambda values: values.T, _exp_rate),
    "icat": (_icat_parts, _icat),
    "icat_micro": (_icat_parts, _icat),
}
"""For each estimator: what is summed over items, and what is made of the sums."""


def _by_stratum(
    metric: Metric, strata: Sequence[str]
) -> tuple[Callable[[Floats], Floats], Floats, Value]:
    """Forms of the estimators over halves: a sum and a count for each of them."""
    balanced = metric.estimator == "percent_balanced"
    present = sorted({stratum for stratum in strata if stratum or balanced})
    masks = np.array([[own == stratum for own in strata] for stratum in present], float)
    masks = masks.reshape(len(present), len(strata))
    scale = 100.0 / max(1, len(present)) if balanced else 1.0
    enough = len(present) > 1 if balanced else len(present) == 2

    def components(values: Floats) -> Floats:
        return masks * (_hits(values) if balanced else values[:, 0] - values[:, 1])

    def value(s: Floats, n: Floats) -> Floats:
        if not enough:
            return np.full(s.shape[1:], np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Floats = scale * (s / n).sum(axis=0)
            return found

    return components, masks, value


def distance(direction: Direction, values: Floats) -> Floats:
    """`Direction.distance` of an array."""
    if direction.kind == "target":
        assert direction.target is not None
        return np.abs(values - direction.target)
    return values if direction.kind == "lower" else -values
