"""Metrics as functions of sums: what is added up over the items of a resampling unit, and what is
made of the sums.

Every estimator of `harness.metrics` is such a function. The unit is the item's cluster (its term
or template) where it has one, else the item, be it a pair, a text or a window of text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness.arrays import Floats
from harness.metrics import Estimator, Metric
from harness.storage.item_table import ItemTable, aligned

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


class Layouts:
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
