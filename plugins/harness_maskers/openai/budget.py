"""Prices, and a budget that several concurrent calls cannot exceed."""

from __future__ import annotations

import threading
from typing import NamedTuple

PRICES_AS_OF = "mid-2025"
PRICES: dict[str, tuple[float, float]] = {
    "gpt-4": (30.0, 60.0),
    "gpt-4-turbo": (10.0, 30.0),
    "gpt-4o": (2.5, 10.0),
    "gpt-4o-mini": (0.15, 0.6),
    "gpt-4.1": (2.0, 8.0),
    "gpt-4.1-mini": (0.4, 1.6),
    "gpt-4.1-nano": (0.1, 0.4),
}
"""US dollars per million tokens in and out: an approximation of OpenAI's list as of `PRICES_AS_OF`.

``price_in`` and ``price_out`` of the config override it.
"""


def known_price(model: str) -> tuple[float, float] | None:
    """Return the price of a model, or None; its name may end in a date (``gpt-4o-2024-08-06``)."""
    stem, date = model[:-11], model[-11:]
    dated = date[:1] == "-" and date[1:].replace("-", "").isdecimal()
    return PRICES.get(stem if dated and len(date) == 11 else model)


class BudgetError(Exception):
    """The next call could exceed ``max_cost``."""


class Worst(NamedTuple):
    """Upper bound of the tokens of one call."""

    tokens_in: int
    tokens_out: int


class Budget:
    """Counts what is spent, and delays or stops calls whose worst case would exceed the budget."""

    def __init__(self, price: tuple[float, float] | None, max_cost: float | None) -> None:
        self._price = price
        self._max_cost = max_cost
        self._lock = threading.Condition()
        self._reserved = 0.0
        self.tokens_in = 0
        self.tokens_out = 0

    @property
    def spent(self) -> float | None:
        """US dollars spent so far; None if no price is known."""
        return None if self._price is None else self._cost(self.tokens_in, self.tokens_out)

    def reserve(self, worst: Worst) -> None:
        """Wait until the budget covers the worst case of a call and of all calls in progress.

        Raises:
            BudgetError: it does not even cover that of this call alone.
        """
        if self._max_cost is None:
            return
        cost = self._cost(*worst)
        with self._lock:
            while self._cost(self.tokens_in, self.tokens_out) + self._reserved + cost > (
                self._max_cost
            ):
                if self._reserved < 1e-12:
                    raise BudgetError
                self._lock.wait()
            self._reserved += cost

    def settle(self, worst: Worst, tokens_in: int, tokens_out: int) -> None:
        """Replace the reservation of a call by what the call used."""
        with self._lock:
            if self._max_cost is not None:
                self._reserved -= self._cost(*worst)
            self.tokens_in += tokens_in
            self.tokens_out += tokens_out
            self._lock.notify_all()

    def _cost(self, tokens_in: int, tokens_out: int) -> float:
        if self._price is None:
            return 0.0
        return (tokens_in * self._price[0] + tokens_out * self._price[1]) / 1e6
