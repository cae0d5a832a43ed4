"""Corrections of p-values for several tests: one registry, read by every command and legend.

To change or add a correction, edit this file: commands offer the names of `CORRECTIONS`, and
tables print their titles. The module imports nothing, so that commands can list the names quickly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

ALPHA = 0.05
"""A corrected p-value below this is significant."""


def _benjamini_hochberg(ordered: Sequence[float]) -> list[float]:
    m = len(ordered)
    adjusted, smallest = [0.0] * m, 1.0
    for position in range(m - 1, -1, -1):
        smallest = min(smallest, ordered[position] * m / (position + 1))
        adjusted[position] = smallest
    return adjusted


def _holm(ordered: Sequence[float]) -> list[float]:
    m = len(ordered)
    adjusted, largest = [0.0] * m, 0.0
    for position, p in enumerate(ordered):
        largest = max(largest, p * (m - position))
        adjusted[position] = min(1.0, largest)
    return adjusted


@dataclass(frozen=True)
class Correction:
    """A way to correct the p-values of one family of tests.

    Attributes:
        name: what `--correction` takes.
        title: the name that legends print.
        controls: what is at most 5 %, for help texts and legends.
        reference: source of the method.
        step: from p-values in ascending order to corrected ones in the same order.
        level: from alpha, the number of tests and how many of them are significant, to the
            largest uncorrected p-value that would be significant. The minimum detectable change
            is computed at this level.
    """

    name: str
    title: str
    controls: str
    reference: str
    step: Callable[[Sequence[float]], list[float]]
    level: Callable[[float, int, int], float]


CORRECTIONS: dict[str, Correction] = {
    correction.name: correction
    for correction in (
        Correction(
            "bh",
            "Benjamini-Hochberg",
            "the expected share of false stars",
            "Benjamini and Hochberg 1995",
            _benjamini_hochberg,
            lambda alpha, tests, significant: alpha * max(significant, 1) / tests,
        ),
        Correction(
            "holm",
            "Holm",
            "the chance of any false star",
            "Holm 1979",
            _holm,
            lambda alpha, tests, significant: alpha / max(tests - significant, 1),
        ),
    )
}
"""Every correction by name; the first one is the default."""

DEFAULT = next(iter(CORRECTIONS))


def adjust(p_values: Sequence[float], correction: str = DEFAULT) -> list[float]:
    """Correct the p-values of one family of tests together.

    Args:
        p_values: uncorrected, in any order.
        correction: a name in `CORRECTIONS`.

    Returns:
        Corrected p-values in the order of ``p_values``.

    Raises:
        KeyError: there is no such correction.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    stepped = CORRECTIONS[correction].step([p_values[k] for k in order])
    adjusted = [0.0] * len(order)
    for position, k in enumerate(order):
        adjusted[k] = stepped[position]
    return adjusted


def correction_help() -> str:
    """Describe the choices of `--correction` in one sentence."""
    choices = "; ".join(f"{c.name} ({c.title}) limits {c.controls}" for c in CORRECTIONS.values())
    return f"How to correct the p-values of each family of tests: {choices}."
