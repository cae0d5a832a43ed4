"""Stored and new scores side by side on the console."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from harness.render import palette
from harness.render.console.ruled import ruled
from harness.render.console.terminal import Terminal
from harness.replay.reproduction import Agreement

SHOWN = 5
"""Ids of items with another decision that are named."""


def print_agreement(
    console: Terminal, title: str, rows: Sequence[Agreement], tolerance: float | None
) -> None:
    """Print a row for each evaluator and protocol; scores too far off are coloured."""
    header = (
        "evaluator",
        "protocol",
        "items",
        "largest difference\n(nats a token)",
        "decisions\nthat differ",
    )
    lines = [
        (
            row.evaluator,
            row.protocol,
            str(len(row.items)),
            Text(f"{row.largest:.1e}", "" if _good(row, tolerance) else palette.TERMINAL["worse"]),
            f"{len(row.changed)} of {len(row.decided)}" if row.decided else "–",
        )
        for row in rows
    ]
    console.print(ruled(title, header, lines, left=(0, 1), fold=(0, 1)))
    for row in rows:
        for line in _items(row):
            console.print(
                f"{row.evaluator} / {row.protocol}: {line}",
                soft_wrap=True,
            )


def _good(row: Agreement, tolerance: float | None) -> bool:
    return tolerance is None or row.within(tolerance)


def _items(row: Agreement) -> Iterator[str]:
    """Lines that name items."""
    if row.where:
        yield f"largest at {row.where}"
    if row.changed:
        yield f"decided otherwise: {_some(row.changed)}"
    if row.missing:
        yield f"not in the record, or with other values: {_some(row.missing)}"


def _some(ids: set[str]) -> str:
    more = f", and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return ", ".join(sorted(ids)[:SHOWN]) + more


def summary(rows: Sequence[Agreement]) -> str:
    """One line over all evaluators."""
    decided = sum(len(row.decided) for row in rows)
    changed = sum(len(row.changed) for row in rows)
    worst = max((row.largest for row in rows), default=0.0)
    return f"largest difference {worst:.1e} nats a token; {changed} of {decided} decisions differ"
