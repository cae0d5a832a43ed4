"""The plan's units in this process, in order, one model in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from harness.running.units import Event, Job
from harness.running.worker import Worker


class LocalExecutor:
    """See the module's first line."""

    def execute(self, job: Job) -> Iterator[Event]:
        """Do one unit after the other; see `harness.running.executors.Executor`."""
        worker = Worker(job.registry, job.data, job.spec, job.reporter, job.scratch)
        for unit in job.units:
            yield from worker.carry_out(unit, partial(job.prepare, unit))


def make(settings: Mapping[str, Any]) -> LocalExecutor:
    """Make the executor; it has no settings."""
    return LocalExecutor()
