"""Progress events of a run."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Receives events; must be quick and must not raise."""

    def begin(self, pending: dict[str, int], done: int) -> None:
        """The run starts: measure tasks still to do by evaluator label, and those already there."""

    def phase(self, title: str) -> None:
        """Something new is being done."""

    def progress(self, done: int, total: int, what: str) -> None:
        """The current phase advances."""

    def measured(self, evaluator: str, title: str, seconds: float) -> None:
        """A measure task is stored."""

    def failed(self, evaluator: str, title: str, reason: str) -> None:
        """A measure task has failed."""

    def note(self, message: str) -> None:
        """Something a person should read."""


class Silent:
    """A reporter that says nothing."""

    def begin(self, pending: dict[str, int], done: int) -> None:
        """Ignore."""

    def phase(self, title: str) -> None:
        """Ignore."""

    def progress(self, done: int, total: int, what: str) -> None:
        """Ignore."""

    def measured(self, evaluator: str, title: str, seconds: float) -> None:
        """Ignore."""

    def failed(self, evaluator: str, title: str, reason: str) -> None:
        """Ignore."""

    def note(self, message: str) -> None:
        """Ignore."""
