"""What units add to a metric through the numbers that it takes from the base model's items.

The unit of `preference` is the median margin of the base on the same items. Other items would give
another one, so each item moves the metric in two ways: by its own part, and through this number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.analysis.resampling_units import Layout
from harness.arrays import Floats
from harness.estimators import Sample
from harness.storage.item_table import ItemTable

STEP = 1e-3
"""Relative step of the derivative by a reference number."""


def reference_influences(
    layout: Layout, base: ItemTable, tables: Sequence[ItemTable]
) -> Floats | None:
    """The influence of each unit on the change of a metric through its reference numbers.

    The base itself has none: its score is that with the numbers as they are.

    Args:
        layout: of the metric's items.
        base: the items that the reference numbers were taken from.
        tables: items of models with these reference numbers.

    Returns:
        Shape ``(tables, units)``; None where the numbers are of other items than these.
    """
    if any(list(table.ids) != list(layout.sample.ids) for table in (base, *tables)):
        return None
    sample = layout.sample._replace(values=base.columns(layout.of))
    moved = _moved_references(layout, sample)
    if moved is None:
        return None
    base_slopes = _slopes(layout, base)
    influences: Floats = (
        np.stack([_slopes(layout, table) - base_slopes for table in tables]) @ moved
    )
    return influences


def _moved_references(layout: Layout, base: Sample) -> Floats | None:
    """The influence of each unit on each reference number, shape ``(numbers, units)``.

    A median has no useful derivative by one unit. So a unit is repeated √units times, by which the
    result is that of a smooth neighbourhood of it.
    """
    whole = np.array(layout.estimator.reference(base))
    units = len(layout.units)
    if whole.tolist() != list(layout.sample.reference) or units < 2:
        return None
    copies = round(math.sqrt(units))
    order = np.argsort(layout.grouping.of_item, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(layout.grouping.of_item[order])) + 1)
    repeated = np.empty((len(whole), units))
    for unit, items in enumerate(members):
        repeated[:, unit] = layout.estimator.reference(_repeated(base, items.tolist() * copies))
    repeated = (repeated - whole[:, None]) * (units + copies) / (copies * units)
    centred: Floats = repeated - repeated.mean(axis=1, keepdims=True)
    return centred * math.sqrt(units / (units - 1.0))


def _repeated(sample: Sample, items: Sequence[int]) -> Sample:
    """A sample with some of its items once more."""
    return Sample(
        np.concatenate([sample.values, sample.values[items]]),
        [*sample.ids, *(sample.ids[k] for k in items)],
        [*sample.clusters, *(sample.clusters[k] for k in items)],
        [*sample.strata, *(sample.strata[k] for k in items)],
    )


def _slopes(layout: Layout, table: ItemTable) -> Floats:
    """The derivative of a metric by each reference number, shape ``(numbers,)``."""
    reference = layout.sample.reference
    step = STEP * max(map(abs, reference))
    counts = layout.counts.sum(axis=-1)
    slopes = np.zeros(len(reference))
    for k in range(len(reference) if step > 0 else 0):
        values = []
        for sign in (1.0, -1.0):
            other = tuple(r + sign * step * (j == k) for j, r in enumerate(reference))
            moved = layout.with_reference(other).sums(table.columns(layout.of))
            values.append(float(layout.value(moved.sums.sum(axis=-1), counts)))
        slopes[k] = (values[0] - values[1]) / (2.0 * step)
    return np.nan_to_num(slopes)
