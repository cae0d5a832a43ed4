"""In which unit a metric and its change are counted: the only place that decides it.

No metric declares a unit. It follows from what is declared: the quantities of the item values that
the metric reads, and its estimator. An estimator is not known by name. It is tried on a few
numbers, so an estimator of a plugin has a unit as well:

- Where its largest value is 100 if every item counts fully, it is a percentage. Its change is in
  points.
- Where twice the item values give twice the value, it has the unit of these values: a mean of
  log-probabilities is in nats.
- Otherwise (a perplexity, an effect size, a ratio) it has no unit.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import cache
from typing import Literal, NamedTuple

import numpy as np

from harness.arrays import Floats
from harness.boundary import declared
from harness.data.domains import NO_DOMAIN
from harness.errors import HarnessError
from harness.estimators import Estimator, Sample
from harness.metrics import MetricDefinition
from harness.planning.hypotheses import Endpoint
from harness.planning.spec import PluginUse
from harness.plugins import Registry
from harness.quantities import Quantities, unit_of
from harness.storage.reader import Column, RunReader


class MetricUnit(NamedTuple):
    """The unit of a metric.

    Attributes:
        value: of its values; empty for none.
        change: of a change, a distance to the ideal, or an improvement; empty for none.
    """

    value: str
    change: str


PERCENT = MetricUnit("%", "points")
NO_UNIT = MetricUnit("", "")


def metric_unit(definition: MetricDefinition, quantities: Quantities) -> MetricUnit:
    """Return the unit of a metric.

    Args:
        definition: of the metric.
        quantities: what the item values are, by name; those that are not declared have no unit.
    """
    try:
        kind = _kind(definition.formula(), len(definition.of))
    except HarnessError:  # of a plugin that is not installed
        kind = "other"
    if kind == "percent":
        return PERCENT
    units = {unit_of(quantities.get(name)) for name in definition.of}
    if kind == "linear" and len(units) == 1:
        (unit,) = units
        return MetricUnit(unit, unit)
    return NO_UNIT


def column_units(reader: RunReader, columns: Iterable[Column]) -> dict[Column, MetricUnit]:
    """Return the unit of each column of a run; a column that nothing was measured in has none."""
    wanted = set(columns)
    units: dict[Column, MetricUnit] = {}
    for ref in {ref.key: ref for cell in reader.index.cells for ref in cell.measures}.values():
        if not wanted:
            break
        for (protocol, domain), measured in (reader.record(ref.key) or {}).items():
            for name, definition in measured.defined.items():
                column = Column(ref.evaluator, protocol, name, domain)
                if column in wanted:
                    wanted.remove(column)
                    units[column] = metric_unit(definition, measured.quantities)
    return units


def endpoint_unit(endpoint: Endpoint, uses: Iterable[PluginUse], registry: Registry) -> str:
    """Return the unit in which an endpoint of a hypothesis changes, before anything is measured.

    Args:
        endpoint: of the hypothesis.
        uses: the evaluators of the spec.
        registry: of the plugins.
    """
    use = next((use for use in uses if use.label == endpoint.evaluator), None)
    if use is None:
        return ""
    entry = registry.get("evaluator", use.use)
    evaluator = registry.create("evaluator", use.use, use.config)
    domains = [*sorted(evaluator.domains), NO_DOMAIN]
    scorers = use.config.get("scorers")
    first = str(scorers[0]) if isinstance(scorers, list) and scorers else ""
    protocol = endpoint.protocol or first
    try:
        declarations = [declared(entry, evaluator, protocol, name) for name in domains]
    except HarnessError:  # not a protocol of this evaluator
        return ""
    having = (about for about in declarations if endpoint.metric in about.definitions)
    about = next(having, None)
    if about is None:
        return ""
    return metric_unit(about.definitions[endpoint.metric], about.quantities).change


# -- what an estimator does with its items ----------------------------------------------------

_ITEMS = 24
"""Items of the sample on which an estimator is tried."""


@cache
def _kind(estimator: Estimator, names: int) -> Literal["percent", "linear", "other"]:
    """Whether the value is a percentage, or linear in the item values."""
    rows = np.linspace(0.1, 0.9, _ITEMS * names).reshape(names, _ITEMS).T
    sample = _sample(rows)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            based = _based(estimator, sample)
            parts, counts = estimator.components(based), estimator.counts(based)
            # every combination of no, half and full sums, each for one item
            sums = np.stack(np.meshgrid(*[[0.0, 0.5, 1.0]] * len(parts))).reshape(len(parts), -1)
            ones = np.ones((len(counts), sums.shape[1]))
            values = np.broadcast_to(np.asarray(estimator.value(sums, ones)), sums.shape[1:])
            whole = values[(sums != 0.5).all(axis=0)]
            if 100.0 in (_largest(values), _largest(whole)):
                return "percent"
            doubled = estimator.components(_based(estimator, _sample(2.0 * rows)))
            twice = np.asarray(estimator.value(2.0 * sums, ones))
        linear = np.allclose(doubled, 2.0 * parts) and np.allclose(twice, 2.0 * values)
    except Exception:  # of a plugin, which may want items of its own kind
        return "other"
    return "linear" if linear else "other"


def _sample(values: Floats) -> Sample:
    ids = [str(k) for k in range(len(values))]
    strata = ["a" if k % 2 else "b" for k in range(len(values))]
    return Sample(values, ids, [f"cluster {k // 4}" for k in range(len(values))], strata)


def _based(estimator: Estimator, sample: Sample) -> Sample:
    if not estimator.needs_base:
        return sample
    return sample._replace(reference=estimator.reference(sample))


def _largest(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return round(float(known.max()), 9) if known.size else 0.0
