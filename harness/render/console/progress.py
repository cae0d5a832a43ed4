"""A run's progress on the console: what is done, what is being done, and the time left."""

from __future__ import annotations

import time
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)


class ConsoleReporter:
    """Two bars on a terminal; a line for each stored measurement where there is none.

    The time left is the number of measurements to come times the mean time that each evaluator
    has taken so far, plus the mean time spent between measurements (loading, fitting); where
    several workers measure at once, the share of that which the clock saw.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[cyan]{task.fields[left]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._overall: TaskID = self._progress.add_task("measurements", total=None, left="")
        self._current: TaskID = self._progress.add_task("starting", total=None, left="")
        self._pending: dict[str, int] = {}
        self._seconds: dict[str, list[float]] = {}
        self._began = time.perf_counter()
        self._counted = 0

    def __enter__(self) -> ConsoleReporter:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def begin(self, pending: dict[str, int], done: int) -> None:
        """Set the overall bar; say what is there already."""
        self._pending = dict(pending)
        self._began = time.perf_counter()
        total = sum(pending.values())
        self._progress.update(self._overall, total=total, completed=0)
        if done:
            self.note(f"{done} of {done + total} measurements are already there; going on")

    def phase(self, title: str) -> None:
        """Show what is being done."""
        self._progress.reset(self._current, description=_short(title), total=None, left="")

    def progress(self, done: int, total: int, what: str) -> None:
        """Advance the current bar."""
        self._progress.update(self._current, completed=done, total=total, left=_short(what, 24))

    def measured(self, evaluator: str, title: str, seconds: float) -> None:
        """Count a measurement and say so where no bar is drawn."""
        self._seconds.setdefault(evaluator, []).append(seconds)
        self._count(evaluator)
        if not self._console.is_terminal:
            self._line(f"[{self._counted}] {title}: {seconds:.1f} s; {self._left()}")

    def failed(self, evaluator: str, title: str, reason: str) -> None:
        """Count and show a failure."""
        self._count(evaluator)
        self._line(f"[red]failed[/] {escape(title)}: {escape(reason)}", markup=True)

    def note(self, message: str) -> None:
        """Print a line above the bars."""
        self._line(message)

    def _line(self, text: str, *, markup: bool = False) -> None:
        self._console.print(text, markup=markup, highlight=False, soft_wrap=True)

    def _count(self, evaluator: str) -> None:
        self._counted += 1
        self._pending[evaluator] = max(0, self._pending.get(evaluator, 0) - 1)
        self._progress.update(self._overall, advance=1, left=self._left())

    def _left(self) -> str:
        """Words for the time left, from the means so far."""
        known = {name: sum(times) / len(times) for name, times in self._seconds.items()}
        if not known:
            return ""
        measuring = sum(sum(times) for times in self._seconds.values())
        passed = time.perf_counter() - self._began
        # more measuring than time: several workers at once, and each second does so much of it
        at_once = max(1.0, measuring / passed) if passed > 0 else 1.0
        between = max(0.0, passed - measuring) / max(1, self._counted)
        fallback = sum(known.values()) / len(known)
        left = sum(
            count * (known.get(name, fallback) / at_once + between)
            for name, count in self._pending.items()
        )
        return f"about {timedelta(seconds=round(left))} left" if left > 0 else ""


def _short(text: str, width: int = 56) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
