"""Estimators: the formulas that turn item values into the value of a metric.

An estimator is one object that every computation uses: the value that an evaluator stores, the
bootstrap and the intervals of a table, and the check of stored numbers by ``harness verify``.
It splits a metric into two steps. `Estimator.components` gives a few numbers for each item, which
are summed over the items of a unit (a cluster, or a single item). `Estimator.value` turns sums and
counts into the metric. So the value of any resample of the units costs one matrix product, and the
contribution of an item to a metric is known without a second formula.

A plugin adds its own through the hook ``harness_estimators``::

    class RootMeanSquare(Estimator):
        name = "root_mean_square"
        summary = "Root of the mean square of one value."
        takes = (1,)

        def components(self, sample):
            return sample.values.T ** 2

        def value(self, sums, counts):
            return np.sqrt(sums[0] / counts[0])

    @hookimpl
    def harness_estimators():
        return [RootMeanSquare()]

and an evaluator names it: ``MetricDefinition(name="rms", estimator="root_mean_square", …)``.

Some estimators read a debiased model relative to its base (`Estimator.needs_base`):
`Estimator.reference` takes numbers from the base model's items, such as the unit of `Preference`.
Such a metric is not stored with a measurement. Readers compute it from the stored items of both
models; see `harness.storage.reader`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.arrays import Floats
from harness.errors import PluginError, did_you_mean

TRIM = 0.1
"""Share of the items that `TrimmedMean` leaves out at each end."""


class Sample(NamedTuple):
    """The items that an estimator is applied to.

    Attributes:
        values: the values that the metric names, in its order; shape ``(items, names)``.
        ids: of the items.
        clusters: the term or template of each item; None where it has none.
        strata: the half of each item; None where there are no halves.
        reference: what `Estimator.reference` took from the base model's items.
    """

    values: Floats
    ids: Sequence[str]
    clusters: Sequence[str | None]
    strata: Sequence[str | None]
    reference: tuple[float, ...] = ()


class Estimator(ABC):
    """A formula for metrics. Subclass it, and give an instance to ``harness_estimators``."""

    name: ClassVar[str]
    """What metrics call it."""
    summary: ClassVar[str]
    """One line that says what it computes."""
    takes: ClassVar[tuple[int, ...]] = ()
    """How many item values a metric may name; empty: any number, at least one."""
    per_cluster: ClassVar[bool] = False
    """True: every cluster counts once, however many items it has. Items without a cluster form
    one cluster together."""
    needs_base: ClassVar[bool] = False
    """True: a value of a debiased model needs `reference` numbers of its base model."""
    decided: ClassVar[bool] = False
    """True: the plain share of 0/1 decisions, so that paired decisions can be tested exactly."""

    @abstractmethod
    def components(self, sample: Sample) -> Floats:
        """Return what is summed over items, shape ``(components, items)``."""

    def counts(self, sample: Sample) -> Floats:
        """Return how much each item counts, shape ``(counts, items)``; default: one row of ones.

        An item whose column is all zero does not belong to the metric's ``n``.
        """
        return np.ones((1, len(sample.ids)))

    def value(self, sums: Floats, counts: Floats) -> Floats:
        """Turn sums into the metric; default: the first sum over the first count.

        Args:
            sums: summed components, shape ``(components, …)``.
            counts: summed counts, shape ``(counts, …)``.

        Returns:
            Shape ``(…)``. Where a number is not finite, the metric has no value.
        """
        found: Floats = sums[0] / counts[0]
        return found

    def of_items(self, sample: Sample) -> Floats | None:
        """Return the number of each item whose change shows how the metric moved.

        Shape ``(items,)``; default: the component, where there is only one. None: items have no
        such number.
        """
        parts = self.components(sample)
        return parts[0] if len(parts) == 1 else None

    def numerator(self, sample: Sample) -> float | None:
        """Return the number of hits behind a percentage; None for any other metric."""
        return None

    def reference(self, base: Sample) -> tuple[float, ...]:
        """Return the numbers that this estimator takes from the base model's items."""
        return ()


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


# -- the built-in estimators -----------------------------------------------------------------


class Percent(Estimator):
    """Share of hits, micro average: the mean over items of the mean of their 0/1 values."""

    name = "percent"
    summary = "100 times the mean over items of the mean of the named 0/1 values."
    decided = True

    def components(self, sample: Sample) -> Floats:
        """Return the share of hits of each item: exact for one or two values."""
        if sample.values.shape[1] == 1:  # the mean of one value, without the work
            return sample.values.T
        return np.atleast_2d(sample.values.mean(axis=1))

    def value(self, sums: Floats, counts: Floats) -> Floats:
        """Return the percentage."""
        found: Floats = 100.0 * sums[0] / counts[0]
        return found

    def numerator(self, sample: Sample) -> float | None:
        """Return the number of hits over all named values."""
        return math.fsum(sample.values.ravel())


class PercentMacro(Percent):
    """Share of hits, macro average: clusters (StereoSet: target terms) count once."""

    name = "percent_macro"
    summary = "Unweighted mean over clusters of their percentages."
    per_cluster = True
    decided = False

    def numerator(self, sample: Sample) -> float | None:
        """Return None: clusters differ in size."""
        return None


class PercentBalanced(Percent):
    """Unweighted mean over strata of their percentages; no value unless there are two."""

    name = "percent_balanced"
    summary = "Unweighted mean over strata of their percentages."
    decided = False

    def components(self, sample: Sample) -> Floats:
        """Return the share of hits of each item, in the row of its stratum."""
        return self.counts(sample) * super().components(sample)

    def counts(self, sample: Sample) -> Floats:
        """Return a row for each stratum; items without one form a stratum of their own."""
        return _strata(sample, [None, *_names(sample)])

    def value(self, sums: Floats, counts: Floats) -> Floats:
        """Return the mean of the strata's percentages."""
        return _mean_of_strata(100.0 * sums, counts) if len(sums) > 1 else _no_value(sums)

    def of_items(self, sample: Sample) -> Floats | None:
        """Return the share of hits of each item."""
        shares: Floats = super().components(sample)[0]
        return shares

    def numerator(self, sample: Sample) -> float | None:
        """Return None: strata differ in size."""
        return None


class Mean(Estimator):
    """Arithmetic mean of one value."""

    name = "mean"
    summary = "Arithmetic mean of one value."
    takes = (1,)

    def components(self, sample: Sample) -> Floats:
        """Return the value of each item."""
        return sample.values.T


class ExpRate(Estimator):
    """Perplexity: exp of summed negative log-probabilities over summed token counts."""

    name = "exp_rate"
    summary = "exp(sum of the first value / sum of the second): perplexity."
    takes = (2,)

    def components(self, sample: Sample) -> Floats:
        """Return nats and tokens of each item."""
        return sample.values.T

    def value(self, sums: Floats, counts: Floats) -> Floats:
        """Return the perplexity; no value where there are no tokens."""
        return np.where(sums[1] > 0, np.exp(sums[0] / sums[1]), np.nan)

    def of_items(self, sample: Sample) -> Floats | None:
        """Return nats a token of each item."""
        with np.errstate(divide="ignore", invalid="ignore"):
            rates: Floats = sample.values[:, 0] / sample.values[:, 1]
        return rates


class IcatMicro(Estimator):
    """LM · min(SS, 100 − SS) / 50 of micro averages, as Lu et al. 2024 aggregate."""

    name = "icat_micro"
    summary = "LM * min(SS, 100 - SS) / 50; the first value decides SS, the others LM."

    def components(self, sample: Sample) -> Floats:
        """Return the stereotype decision and the mean language-model decision of each item."""
        return np.stack([sample.values[:, 0], sample.values[:, 1:].mean(axis=1)])

    def value(self, sums: Floats, counts: Floats) -> Floats:
        """Return the idealised context association test score."""
        stereotype, language = 100.0 * sums / counts[0]
        found: Floats = language * np.minimum(stereotype, 100.0 - stereotype) / 50.0
        return found


class Icat(IcatMicro):
    """ICAT of macro averages over clusters (Nadeem et al. 2021, section 4)."""

    name = "icat"
    summary = "LM * min(SS, 100 - SS) / 50 of macro averages over clusters."
    per_cluster = True


class DifferenceInDifferences(Estimator):
    """Sum over two strata of the mean of a − b; no value unless there are exactly two.

    ``of`` names the scores (a, b). In minimal pairs, a is the score of the sentence that
    stereotypes. It names the disadvantaged group in one half and the advantaged group in the
    other, so the sum is (s0 − s1) − (s2 − s3) of Pikuliak et al. 2023: a group that is merely
    rarer in text lowers one half by what it adds to the other.
    """

    name = "did"
    summary = "Sum over the two strata of the mean of (first value - second value)."
    takes = (2,)

    def components(self, sample: Sample) -> Floats:
        """Return the margin of each item, in the row of its stratum."""
        return self.counts(sample) * _margins(sample)

    def counts(self, sample: Sample) -> Floats:
        """Return a row for each stratum; items without one do not count."""
        return _strata(sample, _names(sample))

    def value(self, sums: Floats, counts: Floats) -> Floats:
        """Return the sum of the two strata's means."""
        return 2.0 * _mean_of_strata(sums, counts) if len(sums) == 2 else _no_value(sums)

    def of_items(self, sample: Sample) -> Floats | None:
        """Return the margin of each item."""
        return _margins(sample)


class MeanDifference(Estimator):
    """Mean of a − b, or of (a − b) − (c − d) where four values are named."""

    name = "mean_difference"
    summary = "Mean of (first - second), less (third - fourth) where four values are named."
    takes = (2, 4)

    def components(self, sample: Sample) -> Floats:
        """Return the difference of each item."""
        values = sample.values
        less = values[:, 2] - values[:, 3] if values.shape[1] == 4 else 0.0
        return np.atleast_2d(_margins(sample) - less)


class TrimmedMean(Estimator):
    """Mean of a − b without the largest and the smallest tenth (Yuen 1974).

    The components are pseudo-values. Their mean is the trimmed mean, and their standard error,
    computed as if they were plain values, is Yuen's. Units are resampled with the cuts of the
    whole sample.
    """

    name = "trimmed_mean"
    summary = "10 % trimmed mean of (first value - second value)."
    takes = (2,)

    def components(self, sample: Sample) -> Floats:
        """Return the pseudo-value of each item."""
        margins = _margins(sample)
        n = len(margins)
        cut = int(TRIM * n)
        kept = n - 2 * cut
        if kept < 2:
            return np.atleast_2d(margins)
        ordered = np.sort(margins)
        trimmed = ordered[cut : n - cut].mean()
        winsorised = np.clip(margins, ordered[cut], ordered[n - cut - 1])
        scale = math.sqrt(n * (n - 1) / (kept * (kept - 1)))
        return np.atleast_2d(trimmed + scale * (winsorised - winsorised.mean()))

    def of_items(self, sample: Sample) -> Floats | None:
        """Return the margin of each item."""
        return _margins(sample)


class Preference(Estimator):
    """100 · mean of σ((a − b) / τ): how strongly the first score is preferred, on average.

    τ is the median of |a − b| over the base model's items, and the same for all models that are
    compared with it. 50 is no preference. Unlike a share of signs it uses the size of a margin,
    and unlike a mean of margins no single item dominates it.
    """

    name = "preference"
    summary = "100 * mean of sigmoid((first - second) / tau), tau of the base model's items."
    takes = (2,)
    needs_base = True

    def reference(self, base: Sample) -> tuple[float, ...]:
        """Return τ, in the unit of the scores."""
        return (float(np.median(np.abs(_margins(base)))),)

    def components(self, sample: Sample) -> Floats:
        """Return the preference of each item, from 0 to 1."""
        (unit,) = sample.reference
        margins = _margins(sample)
        if unit <= 0:  # the limit for a small unit
            return np.atleast_2d(0.5 + 0.5 * np.sign(margins))
        return np.atleast_2d(0.5 + 0.5 * np.tanh(margins / (2.0 * unit)))

    def value(self, sums: Floats, counts: Floats) -> Floats:
        """Return the mean preference in percent."""
        found: Floats = 100.0 * sums[0] / counts[0]
        return found

    def of_items(self, sample: Sample) -> Floats | None:
        """Return the margin of each item."""
        return _margins(sample)


class PreferenceRescaled(Preference):
    """`Preference` with τ of the same model's items: no change of temperature can move it."""

    name = "preference_rescaled"
    summary = "100 * mean of sigmoid((first - second) / tau), tau of the same items."
    needs_base = False

    def components(self, sample: Sample) -> Floats:
        """Return the preference of each item, from 0 to 1."""
        return super().components(sample._replace(reference=self.reference(sample)))


class Scale(Estimator):
    """Standard deviation of a − b, relative to that of the base model's items."""

    name = "scale"
    summary = "sd of (first - second), over that of the base model's items."
    takes = (2,)
    needs_base = True

    def reference(self, base: Sample) -> tuple[float, ...]:
        """Return the base model's standard deviation and mean, in the unit of the scores."""
        margins = _margins(base)
        return (float(margins.std()), float(margins.mean()))

    def components(self, sample: Sample) -> Floats:
        """Return each item's margin and its square, in standard deviations of the base."""
        spread, centre = sample.reference
        with np.errstate(all="ignore"):
            scaled = (_margins(sample) - centre) / spread
        return np.stack([scaled, scaled**2])

    def value(self, sums: Floats, counts: Floats) -> Floats:
        """Return the ratio of the standard deviations."""
        mean = sums[0] / counts[0]
        found: Floats = np.sqrt(np.maximum(sums[1] / counts[0] - mean**2, 0.0))
        return found

    def of_items(self, sample: Sample) -> Floats | None:
        """Return the margin of each item."""
        return _margins(sample)


def _margins(sample: Sample) -> Floats:
    margins: Floats = sample.values[:, 0] - sample.values[:, 1]
    return margins


def _names(sample: Sample) -> list[str]:
    return sorted({name for name in sample.strata if name is not None})


def _strata(sample: Sample, names: Sequence[str | None]) -> Floats:
    """A row of zeros and ones for each stratum that has an item."""
    number = {**dict.fromkeys(sample.strata, -1), **{name: k for k, name in enumerate(names)}}
    of_item = np.fromiter(map(number.__getitem__, sample.strata), np.intp, len(sample.strata))
    masks = of_item == np.arange(len(names))[:, None]
    found: Floats = masks[masks.any(axis=1)].astype(np.float64)
    return found


def _mean_of_strata(sums: Floats, counts: Floats) -> Floats:
    found: Floats = (sums / counts).sum(axis=0) / len(sums)
    return found


def _no_value(sums: Floats) -> Floats:
    return np.full(sums.shape[1:], np.nan)


# -- finding them by name --------------------------------------------------------------------

BUILT_IN: tuple[Estimator, ...] = (
    Percent(),
    PercentMacro(),
    PercentBalanced(),
    Mean(),
    ExpRate(),
    Icat(),
    IcatMicro(),
    DifferenceInDifferences(),
    MeanDifference(),
    TrimmedMean(),
    Preference(),
    PreferenceRescaled(),
    Scale(),
)

_KNOWN: dict[str, Estimator] = {estimator.name: estimator for estimator in BUILT_IN}


def known_estimators() -> Mapping[str, Estimator]:
    """Return every estimator of this process by name: built-in ones, and those of plugins."""
    return MappingProxyType(_KNOWN)


def install(estimators: Iterable[Estimator]) -> None:
    """Make estimators known by name in this process; the loader calls it for plugins.

    Raises:
        PluginError: an estimator of another class has that name.
    """
    for estimator in estimators:
        known = _KNOWN.setdefault(estimator.name, estimator)
        if _class_of(known) != _class_of(estimator):
            raise PluginError(
                f"two estimators are called '{estimator.name}': "
                f"{_class_of(known)} and {_class_of(estimator)}; rename one"
            )


def find_estimator(name: str) -> Estimator:
    """Return an estimator by name.

    Raises:
        PluginError: there is none; says which names are near.
    """
    try:
        return _KNOWN[name]
    except KeyError:
        hint = did_you_mean(name, _KNOWN)
        raise PluginError(
            f"unknown estimator '{name}'{hint}; the plugin that adds it is not installed"
        ) from None


def _class_of(estimator: Estimator) -> str:
    return f"{type(estimator).__module__}.{type(estimator).__qualname__}"
