"""Stored and new scores side by side on the console."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.reproduction import Agreement

SHOWN = 5
"""Ids of items with another decision that are named."""


def print_agreement(
    console: Console, title: str, rows: Sequence[Agreement], tolerance: float | None
) -> None:
    """A line for each evaluator and protocol; red where a score is further off than allowed."""
    table = Table(title=escape(title), title_justify="left")
    table.add_column("evaluator")
    table.add_column("protocol")
    table.add_column("items", justify="right")
    table.add_column("largest difference\n(nats a token)", justify="right")
    table.add_column("of item", overflow="fold")
    table.add_column("decisions\nthat differ", justify="right")
    for row in rows:
        good = tolerance is None or row.within(tolerance)
        table.add_row(
            escape(row.evaluator),
            escape(row.protocol),
            str(len(row.items)),
            f"[{'default' if good else 'red'}]{row.largest:.1e}[/]",
            escape(row.where),
            f"{len(row.changed)} of {len(row.decided)}" if row.decided else "-",
        )
    console.print(table)
    for row in rows:
        for ids, what in (
            (row.changed, "decided otherwise"),
            (row.missing, "not in the record, or with other values"),
        ):
            if ids:
                some = ", ".join(sorted(ids)[:SHOWN])
                more = f", and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
                console.print(
                    f"{row.evaluator} / {row.protocol}: {what}: {some}{more}",
                    highlight=False,
                    markup=False,
                    soft_wrap=True,
                )
