"""What an estimator is: the sample that it is applied to, and the steps of its formula."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from harness.arrays import Floats


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
        means: Floats = sums[0] / counts[0]
        return means

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
