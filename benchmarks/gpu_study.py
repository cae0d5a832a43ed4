"""A spec in several processes on one GPU: a small model does not fill it, one fit at a time.

    python benchmarks/gpu_study.py specs/study.yaml --processes 12 --set device=cuda --results DIR

Every process has a model of its own and does one unit after the other (a model's base measurements,
or one fit with its measurements). This process chooses passages, masks them, hands out units and
writes the run folder, as `harness run` does: the same command resumes. A process that dies costs
the unit that it had. On several GPUs or machines use ``harness run --executor ray``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.errors import DebiasError, StoreError
from harness.plugins import Registry, load_registry
from harness.running.reporting import Reporter
from harness.running.units import Failed, Measured
from harness.running.worker import Worker, failures

if TYPE_CHECKING:
    from harness.data.places import DataStore
    from harness.planning.spec import Spec
    from harness.running.units import Event, Job, Unit


class _Busy(NamedTuple):
    """A unit that a process has, and the keys of its tasks that are done."""

    unit: Unit
    done: set[str]


class Processes:
    """Executor that carries out units in processes of this machine; see the module's first lines.

    Args:
        count: processes at most.
        registry: builds a process's plugins; a function that it can import.
    """

    def __init__(self, count: int, registry: Callable[[], Registry] = load_registry) -> None:
        self._count = count
        self._registry = registry

    def execute(self, job: Job) -> Iterator[Event]:
        """Yield results in the order of their coming; see `harness.running.executors.Executor`."""
        waiting = list(reversed(job.units))
        idle: list[Connection] = []
        busy: dict[Connection, _Busy] = {}
        workers = []
        context = multiprocessing.get_context("spawn")
        try:
            for _ in range(min(self._count, len(job.units))):
                here, there = context.Pipe()
                worker = context.Process(
                    target=_serve,
                    args=(there, self._registry, job.spec, job.data, job.scratch),
                    daemon=True,
                )
                worker.start()
                there.close()
                workers.append(worker)
                idle.append(here)
            while waiting or busy:
                if waiting and idle:
                    yield from self._send(job, waiting.pop(), idle, busy)
                    timeout: float | None = 0.0
                elif busy:
                    timeout = None
                else:
                    for unit in waiting:
                        yield from failures(unit, unit.tasks, DebiasError("no process is left"))
                    return
                for pipe in wait(list(busy), timeout):
                    assert isinstance(pipe, Connection)
                    yield from self._receive(pipe, idle, busy)
        finally:
            for worker in workers:
                worker.terminate()

    def _send(
        self, job: Job, unit: Unit, idle: list[Connection], busy: dict[Connection, _Busy]
    ) -> Iterator[Event]:
        try:
            if unit.problem is not None:
                raise DebiasError(unit.problem)
            inputs = job.prepare(unit)
        except StoreError:
            raise
        except Exception as error:  # one unit's failure, whatever it is, must not cost the others
            yield from failures(unit, unit.tasks, error)
            return
        pipe = idle.pop()
        busy[pipe] = _Busy(unit, set())
        with suppress(OSError):  # it has died: `_receive` says so
            pipe.send((unit, inputs))

    def _receive(
        self, pipe: Connection, idle: list[Connection], busy: dict[Connection, _Busy]
    ) -> Iterator[Event]:
        try:
            event = pipe.recv()
        except (EOFError, OSError):
            lost = busy.pop(pipe)
            left = lost.unit.without(lost.done)
            yield from failures(left, left.tasks, DebiasError("its process died (out of memory?)"))
            return
        if isinstance(event, Exception):
            raise event
        if event is None:
            del busy[pipe]
            idle.append(pipe)
            return
        if isinstance(event, Measured):
            busy[pipe].done.add(event.record.key)
        elif isinstance(event, Failed):
            busy[pipe].done.add(event.failure.key)
        yield event


def _serve(
    pipe: Connection,
    registry: Callable[[], Registry],
    spec: Spec,
    data: DataStore,
    scratch: Path | None,
) -> None:
    """What a process does: units as they come, each answered by its events and None."""
    worker = Worker(registry(), data, spec, Reporter(), scratch)
    with suppress(EOFError, KeyboardInterrupt):
        while True:
            unit, inputs = pipe.recv()
            try:
                for event in worker.carry_out(unit, lambda inputs=inputs: inputs):  # type: ignore[misc]  # mypy cannot infer it
                    pipe.send(event)
            except StoreError as error:
                pipe.send(error)
            pipe.send(None)


class Lines(Reporter):
    """Prints one line for each measurement, with the seconds since the start."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._left = 0

    def begin(self, pending: dict[str, int], done: int) -> None:
        """Say how much there is."""
        self._left = sum(pending.values())
        self._say(f"{self._left} measurements to take, {done} already there")

    def measured(self, evaluator: str, title: str, seconds: float) -> None:
        """Count it."""
        self._left -= 1
        self._say(f"{self._left} left; {title} / {evaluator}: {seconds:.1f} s")

    def failed(self, evaluator: str, title: str, reason: str) -> None:
        """Say why."""
        self._left -= 1
        self._say(f"failed {title} / {evaluator}: {reason}")

    def note(self, message: str) -> None:
        """Repeat it."""
        self._say(message)

    def _say(self, words: str) -> None:
        print(f"{time.monotonic() - self._started:7.1f} s: {words}", flush=True)


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("spec", help="a YAML file, or the name of a shipped spec")
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    made.add_argument("--results", default="runs", help="folder that holds the run folders")
    made.add_argument("--processes", type=int, default=4)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, and end with exit code 9 if a measurement failed."""
    from harness.planning.spec_reader import load_spec
    from harness.running.experiment import Experiment

    options = parser().parse_args(arguments)
    threads = max(1, len(os.sched_getaffinity(0)) // options.processes)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # the processes inherit it
    registry = load_registry()
    spec = load_spec(options.spec, registry, options.overrides)
    experiment = Experiment(spec, registry=registry, results=options.results)
    executor: Any = Processes(options.processes)
    outcome = experiment.run(reporter=Lines(), executor=executor)
    print(
        f"{outcome.measured} measured, {outcome.reused} already there, "
        f"{len(outcome.failures)} failed; results in {experiment.folder}"
    )
    if outcome.failures:
        sys.exit(9)


if __name__ == "__main__":
    main()
