"""A confidence interval, as statistics compute it and tables show it."""

from __future__ import annotations

from typing import NamedTuple


class Interval(NamedTuple):
    """A two-sided 95 % confidence interval."""

    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether ``value`` is outside."""
        return not self.low <= value <= self.high
