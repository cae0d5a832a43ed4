"""Progress events of a run."""

from __future__ import annotations


class Reporter:
    """Receives the events of a run and ignores them. Subclass it, and override what you need.

    Methods must be quick and must not raise.
    """

    def begin(self, pending: dict[str, int], done: int) -> None:
        """The run starts: tasks to do by evaluator label, and the number of tasks already done."""

    def phase(self, title: str) -> None:
        """A new phase of the work begins."""

    def progress(self, done: int, total: int, what: str) -> None:
        """The current phase advances."""

    def measured(self, evaluator: str, title: str, seconds: float) -> None:
        """A measure task is stored."""

    def failed(self, evaluator: str, title: str, reason: str) -> None:
        """A measure task has failed."""

    def note(self, message: str) -> None:
        """There is a message for the person who runs it."""
