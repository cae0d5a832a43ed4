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

from harness.estimators.built_in import (
    BUILT_IN,
    TRIM,
    DifferenceInDifferences,
    ExpRate,
    Icat,
    IcatMicro,
    Mean,
    MeanDifference,
    Percent,
    PercentBalanced,
    PercentMacro,
    Preference,
    PreferenceRescaled,
    Scale,
    TrimmedMean,
)
from harness.estimators.contract import Estimator, Sample
from harness.estimators.evaluation import (
    Estimate,
    Units,
    counts_of,
    estimate_sample,
    sums_of,
    units_of,
    value_of,
)
from harness.estimators.registry import find_estimator, install, known_estimators

__all__ = [
    "BUILT_IN",
    "TRIM",
    "DifferenceInDifferences",
    "Estimate",
    "Estimator",
    "ExpRate",
    "Icat",
    "IcatMicro",
    "Mean",
    "MeanDifference",
    "Percent",
    "PercentBalanced",
    "PercentMacro",
    "Preference",
    "PreferenceRescaled",
    "Sample",
    "Scale",
    "TrimmedMean",
    "Units",
    "counts_of",
    "estimate_sample",
    "find_estimator",
    "install",
    "known_estimators",
    "sums_of",
    "units_of",
    "value_of",
]
