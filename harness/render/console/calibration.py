"""What `harness calibrate` shows."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from harness.render.console.terminal import Terminal
from harness.replay.calibration import Check, Figure


def print_checks(console: Terminal, checks: Sequence[Check]) -> None:
    """Print expected and measured figures, and how many agree."""
    table = Table(title="Calibration", title_justify="left", title_style="bold")
    for column in ("evaluator", "domain", "metric"):
        table.add_column(column)
    for column in ("expected", "measured"):
        table.add_column(column, justify="right")
    table.add_column("")
    for entry in checks:
        verdict = Text("ok", "green") if entry.ok else Text("differs", "red")
        table.add_row(*entry.expected.name, _shown(entry.expected), _shown(entry.found), verdict)
    console.print(table)
    agree = sum(entry.ok for entry in checks)
    console.print(f"{agree} of {len(checks)} figures agree")


def _shown(figure: Figure | None) -> str:
    if figure is None:
        return "not measured"
    if figure.numerator is not None:
        return f"{figure.numerator:g}/{figure.n}"
    return "-" if figure.value is None else f"{figure.value:.2f}"
