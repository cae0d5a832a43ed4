"""Executors carry out the units of a plan: in this process, or on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from harness.running.units import Event, Job


class Executor(Protocol):
    """Carries out a job. The reader of its events writes to the store; an executor does not."""

    def execute(self, job: Job) -> Iterator[Event]:
        """Yield each result as soon as it exists; closing the iterator ends the work.

        Raises:
            HarnessError: the work cannot be started or continued. A unit that fails is an
                event, not an error.
        """
