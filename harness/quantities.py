"""What the values of an item are: log-probabilities, decisions, counts, totals.

An evaluator declares the quantities of its items by name (`harness.families.Evaluator.quantities`),
and they are stored with each measurement. Every reader uses the declaration: ``harness show`` and
the figures for margins and flipped decisions, ``harness repro`` for differences in nats a token,
``harness verify`` to check that decisions follow from the scores they compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from harness.arrays import Floats


class _Quantity(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LogProb(_Quantity):
    """A log-probability in nats: the mean over tokens, or the sum over a text."""

    kind: Literal["logprob"] = "logprob"
    per: Annotated[
        Literal["token", "text"],
        Field(description="token: a mean over tokens; text: a sum over all or some of them"),
    ]
    digits: Annotated[
        int | None, Field(ge=0, description="decimals that the stored value is rounded to")
    ] = None


class Probability(_Quantity):
    """A probability between 0 and 1."""

    kind: Literal["probability"] = "probability"


class Nats(_Quantity):
    """A total of negative log-probabilities, in nats."""

    kind: Literal["nats"] = "nats"
    tokens: Annotated[str, Field(description="the value that counts the tokens of the total")]


class Decision(_Quantity):
    """1 or 0: whether the first of the named values is greater than all the others."""

    kind: Literal["decision"] = "decision"
    of: Annotated[
        tuple[str, ...],
        Field(description="names of the compared values; empty: decided in another way"),
    ] = ()
    tie: Annotated[bool, Field(description="1 where all the named values are equal")] = False

    def decide(self, scores: Floats) -> Floats:
        """Return the decisions that follow from scores of shape ``(items, names)``.

        At least two values must be named. The answer is zeros and ones, shape ``(items,)``.
        """
        first, others = scores[:, :1], scores[:, 1:]
        same = (others == first) if self.tie else (first > others)
        equal: Floats = same.all(axis=1).astype(float)
        return equal


class Count(_Quantity):
    """A whole number of things, such as tokens."""

    kind: Literal["count"] = "count"
    of: Annotated[str, Field(description="what is counted, plural")] = "tokens"


class Number(_Quantity):
    """Any other number."""

    kind: Literal["number"] = "number"
    unit: Annotated[str, Field(description="its unit, as tables show it")] = ""


Quantity: TypeAlias = Annotated[
    LogProb | Probability | Nats | Decision | Count | Number, Field(discriminator="kind")
]
Quantities: TypeAlias = Mapping[str, Quantity]
"""The quantity of each item value, by its name."""


def unit_of(quantity: Quantity | None) -> str:
    """Name the unit of a value, as a table shows it: ``nats a token``, ``nats``, …"""
    if isinstance(quantity, LogProb):
        return "nats a token" if quantity.per == "token" else "nats"
    if isinstance(quantity, Nats):
        return "nats"
    if isinstance(quantity, Count):
        return quantity.of
    if isinstance(quantity, Number):
        return quantity.unit
    return "probability" if isinstance(quantity, Probability) else ""
