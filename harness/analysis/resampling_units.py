"""Metrics as functions of sums over resampling units, for tables of stored items.

Every estimator is such a function (`harness.estimators`). The unit is the item's cluster (its term
or template) where it has one, else the item, be it a pair, a text or a window of text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness.arrays import Floats
from harness.estimators import (
    Estimator,
    Sample,
    Units,
    counts_of,
    sums_of,
    units_of,
    value_of,
)
from harness.metrics import Metric
from harness.once import cached_property
from harness.storage.item_table import Fields, ItemTable, aligned

Positions = npt.NDArray[np.intp]


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
        self._layouts: list[tuple[Fields, Layout | None, Positions | None]] = []
        self._sums: dict[tuple[int, int], Sums] = {}

    def paired(self, before: ItemTable, after: ItemTable) -> tuple[Sums, Sums] | None:
        """Sums of both sides over what they share; None if that is nothing."""
        names = self._metric.of
        same = before.ids is after.ids or before.ids == after.ids
        if not same or not (before.complete(names) and after.complete(names)):
            return paired_sums(self._metric, before, after)
        layout, kept = self._layout((after.ids, after.clusters, after.strata))
        if layout is None:
            return None
        return self._sum(before, layout, kept), self._sum(after, layout, kept)

    def _layout(self, fields: Fields) -> tuple[Layout | None, Positions | None]:
        """How items are summed, and which of them are those of the metric; None: all."""
        for known, layout, kept in self._layouts:
            if all(one is other or one == other for one, other in zip(known, fields, strict=True)):
                return layout, kept
        ids, clusters, strata = fields
        kept = None
        if self._metric.stratum is not None:
            kept = np.flatnonzero([name == self._metric.stratum for name in strata])
            ids = tuple(ids[k] for k in kept)
            clusters = tuple(clusters[k] for k in kept)
            strata = tuple(strata[k] for k in kept)
        layout = layout_of(self._metric, ids, clusters, strata) if ids else None
        self._layouts.append((fields, layout, kept))
        return layout, kept

    def _sum(self, table: ItemTable, layout: Layout, kept: Positions | None) -> Sums:
        key = (id(table), id(layout))
        if key not in self._sums:
            values = table.columns(self._metric.of)
            self._sums[key] = layout.sums(values if kept is None else values[kept])
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
        [after.strata[k] for k in kept],
    )
    return layout.sums(old[used]), layout.sums(new[used])


@dataclass(frozen=True)
class Layout:
    """How the items of a metric are summed over resampling units.

    Attributes:
        estimator: of the metric.
        sample: the items; its values are those of any table of the same items.
        grouping: the unit of each item.
        of: names of the values that the metric reads.
    """

    estimator: Estimator
    sample: Sample
    grouping: Units
    of: tuple[str, ...] = ()

    @property
    def units(self) -> tuple[str, ...]:
        """Name of each unit."""
        return self.grouping.names

    @property
    def items(self) -> int:
        """How many items there are."""
        return len(self.sample.ids)

    @cached_property
    def counts(self) -> Floats:
        """How much each unit counts, shape ``(counts, units)``."""
        return counts_of(self.estimator, self.sample, self.grouping)

    def sums(self, values: Floats) -> Sums:
        """Sum the values of items, shape ``(items, names)``."""
        sample = self.sample._replace(values=values)
        return Sums(self, sums_of(self.estimator, sample, self.grouping))

    def with_reference(self, reference: tuple[float, ...]) -> Layout:
        """The same items with other reference numbers."""
        return replace(self, sample=self.sample._replace(reference=reference))

    def value(self, sums: Floats, counts: Floats) -> Floats:
        """Turn sums and counts into the metric; nan where it has no value."""
        return value_of(self.estimator, sums, counts)


def layout_of(
    metric: Metric,
    ids: Sequence[str],
    clusters: Sequence[str | None],
    strata: Sequence[str | None],
) -> Layout:
    """Lay out the items of a metric.

    Args:
        metric: says which estimator, and what that took from the base model's items.
        ids: of the items.
        clusters: of the items; None where there is none.
        strata: of the items; None where there is none.
    """
    estimator = metric.formula()
    empty = np.empty((len(ids), len(metric.of)))
    sample = Sample(empty, ids, clusters, strata, metric.reference)
    return Layout(estimator, sample, units_of(estimator, sample), metric.of)
