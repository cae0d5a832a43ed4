"""The progress of a run on the console: finished, current, and the time left."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta
from types import TracebackType

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from harness.render.console.terminal import Terminal
from harness.render.safe_text import one_line
from harness.running.reporting import Reporter


class ConsoleReporter(Reporter):
    """Shows two progress bars on a terminal, and one line for each measurement elsewhere.

    The estimated time left is the number of pending measurements times the mean time of their
    evaluator so far, plus the mean time between measurements (loading, fitting). When several
    workers measure at once, it is divided by how many of them were busy on average.

    A failure is shown once for each reason; repetitions are counted and shown at the end.
    """

    def __init__(self, console: Terminal) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", style="cyan", markup=False),
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
        self._total = 0
        self._repeated: Counter[str] = Counter()

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
        for reason, times in self._repeated.items():
            if times > 1:
                again = "once more" if times == 2 else f"{times - 1} more times"
                self._console.alert(f"failed ({again})", reason, "red")

    def begin(self, pending: dict[str, int], done: int) -> None:
        """Set the overall bar; say how many measurements are already stored."""
        self._pending = dict(pending)
        self._began = time.perf_counter()
        self._total = sum(pending.values())
        self._progress.update(self._overall, total=self._total, completed=0)
        if done:
            every = done + self._total
            self.note(f"{done} of {every} measurements are already stored; running the others")

    def phase(self, title: str) -> None:
        """Show what is being done."""
        self._progress.reset(
            self._current, description=_short(one_line(title)), total=None, left=""
        )

    def progress(self, done: int, total: int, what: str) -> None:
        """Advance the current bar."""
        self._progress.update(
            self._current, completed=done, total=total, left=_short(one_line(what), 24)
        )

    def measured(self, evaluator: str, title: str, seconds: float) -> None:
        """Count a measurement and say so where no bar is drawn."""
        self._seconds.setdefault(evaluator, []).append(seconds)
        self._count(evaluator)
        if not self._console.is_terminal:
            self._console.say(f"{self._position()} {title}: {seconds:.1f} s; {self._left()}")

    def failed(self, evaluator: str, title: str, reason: str) -> None:
        """Count a failure; show it unless the same reason was shown before."""
        self._count(evaluator)
        self._repeated[reason] += 1
        if self._repeated[reason] == 1:
            self._console.alert(f"{self._position()} failed", f"{title}: {reason}", "red")

    def note(self, message: str) -> None:
        """Print a line above the bars."""
        self._console.say(one_line(message))

    def _position(self) -> str:
        """Return how many measurements are finished, as in ``[7/24]``."""
        return f"[{self._counted}/{self._total}]" if self._total else f"[{self._counted}]"

    def _count(self, evaluator: str) -> None:
        self._counted += 1
        self._pending[evaluator] = max(0, self._pending.get(evaluator, 0) - 1)
        self._progress.update(self._overall, advance=1, left=self._left())

    def _left(self) -> str:
        """Words for the time left, from the means so far."""
        means = {name: sum(times) / len(times) for name, times in self._seconds.items()}
        if not means:
            return ""
        measuring = sum(sum(times) for times in self._seconds.values())
        passed = time.perf_counter() - self._began
        # more measuring than time: several workers at once, and each second does so much of it
        at_once = max(1.0, measuring / passed) if passed > 0 else 1.0
        between = max(0.0, passed - measuring) / max(1, self._counted)
        fallback = sum(means.values()) / len(means)
        left = sum(
            count * (means.get(name, fallback) / at_once + between)
            for name, count in self._pending.items()
        )
        return f"about {timedelta(seconds=round(left))} left" if left > 0 else ""


def _short(text: str, width: int = 56) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
