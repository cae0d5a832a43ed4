"""Failures on the console: each cause once, with the number of cells that it stopped."""

from __future__ import annotations

from collections.abc import Iterable

from harness.render.console.terminal import Terminal
from harness.render.failures import by_cause

NAMED = 2
"""Cells that are named for one cause."""


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
