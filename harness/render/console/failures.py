"""Failures on the console: each cause once, with the number of cells that it stopped."""

from __future__ import annotations

from collections.abc import Iterable

from harness.render.console.terminal import Terminal

NAMED = 2
"""Cells that are named for one cause."""


def by_cause(failures: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Group titles by reason; causes and titles keep the order of their first appearance."""
    causes: dict[str, dict[str, None]] = {}
    for title, reason in failures:
        causes.setdefault(reason, {})[title] = None
    return {reason: list(titles) for reason, titles in causes.items()}


def print_failures(console: Terminal, failures: Iterable[tuple[str, str]]) -> None:
    """Print one line for each cause.

    Args:
        console: the console to print to.
        failures: title and reason of each failure.
    """
    for reason, titles in by_cause(failures).items():
        named = "; ".join(titles[:NAMED])
        if len(titles) > NAMED:
            named += f"; and {len(titles) - NAMED} more"
        if len(titles) == 1:
            console.alert("failed", f"{named}: {reason}", "red")
        else:
            console.alert(f"failed ({len(titles)})", f"{reason}: {named}", "red")
