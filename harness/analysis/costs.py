"""What a method costs in language ability, and how far it went: its dose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from harness.analysis.matrix import Matrix
from harness.data.domains import NO_DOMAIN
from harness.metrics import Metric
from harness.storage.reader import Column


class Cost(NamedTuple):
    """The column that is the cost, and how it is counted.

    Attributes:
        column: a language metric, or the dose.
        relative: whether costs are percentages of the base's value.
    """

    column: Column
    relative: bool

    def of(self, base: float, value: float) -> float:
        """The cost of a value: percent above the base's, or its difference to it."""
        return 100.0 * (value / base - 1.0) if self.relative else value - base


def language_cost(matrix: Matrix) -> Cost | None:
    """The language cost of a run (`Matrix.cost`), relative to the base unless that is zero."""
    if matrix.cost is None:
        return None
    values = [m.value for m in _bases(matrix.base, matrix.cost) if m.value is not None]
    return Cost(matrix.cost, bool(values) and all(abs(value) > 1e-9 for value in values))


def dose(matrix: Matrix) -> Cost | None:
    """The dose: a metric of no domain without an ideal, which is 0 for the base itself.

    It says how far a model is from its base (`neutral-kl`), in nats a token.
    """
    for column in matrix.columns:
        metrics = _bases(matrix.base, column)
        none = [m for m in metrics if m.direction.kind == "none" and m.value == 0.0]
        if column.domain == NO_DOMAIN and none:
            return Cost(column, relative=False)
    return None


def _bases(base: Mapping[tuple[str, Column], Metric], column: Column) -> list[Metric]:
    return [metric for (_, other), metric in base.items() if other == column]
