"""What `harness calibrate` shows."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from harness.replay.calibration import Check, Figure


def print_checks(console: Console, checks: Sequence[Check]) -> None:
    """Print expected and measured figures, and how many agree."""
    table = Table(title="Calibration", title_justify="left", title_style="bold")
    for column in ("evaluator", "domain", "metric"):
        table.add_column(column)
    for column in ("expected", "measured"):
        table.add_column(column, justify="right")
    table.add_column("")
    for entry in checks:
        verdict = "[green]ok[/]" if entry.ok else "[red]differs[/]"
        table.add_row(*entry.expected.name, _shown(entry.expected), _shown(entry.found), verdict)
    console.print(table)
    agree = sum(entry.ok for entry in checks)
    console.print(f"{agree} of {len(checks)} figures agree", highlight=False)


def _shown(figure: Figure | None) -> str:
    if figure is None:
        return "not measured"
    if figure.numerator is not None:
        return f"{figure.numerator:g}/{figure.n}"
    return "-" if figure.value is None else f"{figure.value:.2f}"
