"""Prices, and a budget that is never overdrawn while several calls are under way."""

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
"""US dollars per million tokens in and out, from memory of OpenAI's list as of `PRICES_AS_OF`;
``price_in`` and ``price_out`` of the config override them."""


def known_price(model: str) -> tuple[float, float] | None:
    """Price of a model by its name, with or without a date at its end (``gpt-4o-2024-08-06``)."""
    stem, date = model[:-11], model[-11:]
    dated = date[:1] == "-" and date[1:].replace("-", "").isdecimal()
    return PRICES.get(stem if dated and len(date) == 11 else model)


class BudgetError(Exception):
    """The next call could pass ``max_cost``."""


class Worst(NamedTuple):
    """Upper bound of the tokens of one call."""

    tokens_in: int
    tokens_out: int


class Budget:
    """Counts what is spent; a call is let through only if its worst case still fits."""

    def __init__(self, price: tuple[float, float] | None, max_cost: float | None) -> None:
        self._price = price
        self._max_cost = max_cost
        self._lock = threading.Condition()
        self._reserved = 0.0
        self.tokens_in = 0
        self.tokens_out = 0

    @property
    def spent(self) -> float | None:
        """US dollars so far; None if no price is known."""
        return None if self._price is None else self._cost(self.tokens_in, self.tokens_out)

    def reserve(self, worst: Worst) -> None:
        """Wait until the worst case of a call fits beside the calls under way.

        Raises:
            BudgetError: it does not fit even when none is.
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
        """Replace a call's reservation by what it really used."""
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
