"""What maskers used of services, added up over a run, and in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from harness.types import Account, MaskUsage


class Spending:
    """Adds up what each masker used of a service; a masker that asked nothing is not in it."""

    def __init__(self) -> None:
        self._used: dict[str, MaskUsage] = {}

    def account(self, masker: str) -> Account:
        """Return the function that a masker, known by its label, tells what it used."""

        def add(usage: MaskUsage) -> None:
            before = self._used.get(masker)
            self._used[masker] = usage if before is None else _sum(before, usage)

        return add

    @property
    def used(self) -> Mapping[str, MaskUsage]:
        """What was used, by the label of the masker."""
        return {name: usage for name, usage in self._used.items() if usage.calls}

    def lines(self) -> Iterator[str]:
        """Yield a line for each masker that used a service."""
        for name, usage in self.used.items():
            yield f"masker {name}: {usage_in_words(usage)}"


def _sum(one: MaskUsage, other: MaskUsage) -> MaskUsage:
    both_priced = one.cost is not None and other.cost is not None
    return MaskUsage(
        calls=one.calls + other.calls,
        tokens_in=one.tokens_in + other.tokens_in,
        tokens_out=one.tokens_out + other.tokens_out,
        cost=(one.cost or 0.0) + (other.cost or 0.0) if both_priced else None,
        unaccounted=one.unaccounted + other.unaccounted,
        events=dict(sorted((Counter(one.events) + Counter(other.events)).items())),
    )


def usage_in_words(usage: MaskUsage) -> str:
    """Return what a masker used of a service, in one line."""
    cost = "price unknown" if usage.cost is None else f"${usage.cost:.4f} spent"
    calls = "1 call" if usage.calls == 1 else f"{usage.calls} calls"
    line = f"{calls}, {usage.tokens_in} tokens in and {usage.tokens_out} out, {cost}"
    if usage.unaccounted:
        line += f" at most ({usage.unaccounted} without an account of its tokens)"
    if usage.events:
        told = ", ".join(f"{count} {kind}" for kind, count in usage.events.items())
        line += f"; {told}"
    return line
