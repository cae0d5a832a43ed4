"""Applying an estimator to a sample: units, their sums and counts, and the value of the whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness.arrays import Floats
from harness.estimators.contract import Estimator, Sample


class Estimate(NamedTuple):
    """A value with its count, and its numerator where it is a percentage."""

    value: float | None
    n: int
    numerator: float | None


class Units(NamedTuple):
    """What is resampled as a whole: clusters, and items that have none.

    Attributes:
        names: of the units.
        of_item: the unit of each item, shape ``(items,)``.
    """

    names: tuple[str, ...]
    of_item: npt.NDArray[np.intp]


def units_of(estimator: Estimator, sample: Sample) -> Units:
    """Group the items of a sample into units."""
    together = "\0none" if estimator.per_cluster else None
    index: dict[str, int] = {}
    of_item = [
        index.setdefault((together or f"\0{i}") if cluster is None else cluster, len(index))
        for cluster, i in zip(sample.clusters, sample.ids, strict=True)
    ]
    return Units(tuple(index), np.array(of_item, np.intp))


def sums_of(estimator: Estimator, sample: Sample, units: Units) -> Floats:
    """Sum an estimator's components over units, shape ``(components, units)``.

    Where a cluster counts once, its sum is the mean over its items.
    """
    sums = _over_units(estimator.components(sample), units)
    return sums / _sizes(units) if estimator.per_cluster else sums


def counts_of(estimator: Estimator, sample: Sample, units: Units) -> Floats:
    """Sum an estimator's counts over units, shape ``(counts, units)``."""
    counts = _over_units(estimator.counts(sample), units)
    return counts / _sizes(units) if estimator.per_cluster else counts


def value_of(estimator: Estimator, sums: Floats, counts: Floats) -> Floats:
    """Return `Estimator.value`, with nan wherever it is not finite.

    So a division by zero or an overflow always means that there is no value.
    """
    with np.errstate(all="ignore"):
        value = np.asarray(estimator.value(sums, counts), dtype=np.float64)
    return np.where(np.isfinite(value), value, np.nan)


def estimate_sample(estimator: Estimator, sample: Sample) -> Estimate:
    """Apply an estimator to one sample: all of its units, each once."""
    if not len(sample.ids):
        return Estimate(None, 0, None)
    components, weights = estimator.components(sample), estimator.counts(sample)
    n = int(np.count_nonzero(weights.any(axis=0)))
    if estimator.per_cluster:
        units = units_of(estimator, sample)
        components, weights = (
            _over_units(part, units) / _sizes(units) for part in (components, weights)
        )
    sums, counts = (
        np.array([_total(row) for row in part.tolist()]) for part in (components, weights)
    )
    value = float(value_of(estimator, sums, counts))
    return Estimate(None if math.isnan(value) else value, n, estimator.numerator(sample))


def _total(values: Sequence[float]) -> float:
    """The exact sum of values; nan where they have none, as infinity and its negative."""
    try:
        return math.fsum(values)
    except (ValueError, OverflowError):
        return math.nan


def _sizes(units: Units) -> Floats:
    return np.bincount(units.of_item, minlength=len(units.names)).astype(np.float64)


def _over_units(parts: Floats, units: Units) -> Floats:
    if len(units.names) == len(units.of_item):  # every item is a unit, in order
        return parts
    size = len(units.names)
    return np.stack([np.bincount(units.of_item, weights=part, minlength=size) for part in parts])
