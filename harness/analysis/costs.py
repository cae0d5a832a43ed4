"""What a method costs: the only place that says which metric is the cost, and which is the dose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from harness.analysis.matrix import Matrix
from harness.data.domains import NO_DOMAIN
from harness.metrics import Metric, Role
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


def columns_of(matrix: Matrix, role: Role) -> tuple[Column, ...]:
    """The columns whose metric has a role, in the order of the matrix."""
    roles: dict[Column, str] = {}
    for (_, column), metric in matrix.base.items():
        roles.setdefault(column, metric.role or "diagnostic")
    for row in matrix.rows:
        for entry in row.entries:
            if entry.after is not None:
                roles.setdefault(entry.column, entry.role)
    return tuple(column for column in matrix.columns if roles.get(column) == role)


def language_cost(matrix: Matrix) -> Cost | None:
    """The cost: the first language metric of which less is better; None if there is none."""
    for column in columns_of(matrix, "language"):
        metrics = _bases(matrix.base, column)
        if any(metric.direction.kind == "lower" for metric in metrics):
            values = [metric.value for metric in metrics if metric.value is not None]
            return Cost(column, bool(values) and all(abs(value) > 1e-9 for value in values))
    return None


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
