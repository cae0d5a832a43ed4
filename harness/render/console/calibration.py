"""What `harness calibrate` shows."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from harness.render import palette
from harness.render.console.ruled import ruled
from harness.render.console.terminal import Terminal
from harness.replay.calibration import Check, Figure


def print_checks(console: Terminal, checks: Sequence[Check]) -> None:
    """Print expected and measured figures, and how many agree."""
    header = ("evaluator", "domain", "metric", "expected", "measured", "")
    rows = [
        (*entry.expected.name, _shown(entry.expected), _shown(entry.found), verdict_of(entry.ok))
        for entry in checks
    ]
    console.print(ruled("Calibration", header, rows, left=(0, 1, 2, 5), fold=(0, 2)))
    agree = sum(entry.ok for entry in checks)
    console.print(f"{agree} of {len(checks)} figures agree")


def verdict_of(good: bool) -> Text:
    """A word in the colour of its side."""
    return Text("ok" if good else "differs", palette.TERMINAL["better" if good else "worse"])


def _shown(figure: Figure | None) -> str:
    if figure is None:
        return "not measured"
    if figure.numerator is not None:
        return f"{figure.numerator:g}/{figure.n}"
    return "-" if figure.value is None else f"{figure.value:.2f}"
