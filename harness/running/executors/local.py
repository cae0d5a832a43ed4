"""Executor that runs the units of a plan in this process, in order, with one model in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from harness.running.units import Event, Job
from harness.running.worker import Worker


class LocalExecutor:
    """Runs units in this process, one after the other."""

    def execute(self, job: Job) -> Iterator[Event]:
        """Do one unit after the other; see `harness.running.executors.Executor`."""
        worker = Worker(job.registry, job.data, job.spec, job.reporter, job.scratch)
        for unit in job.units:
            yield from worker.carry_out(unit, partial(job.prepare, unit))


def make(settings: Mapping[str, Any]) -> LocalExecutor:
    """Make the executor; it has no settings."""
    return LocalExecutor()
