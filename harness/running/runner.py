"""Running a plan: stored results are reused, new ones are stored as soon as they exist.

An executor does the work, here or on a cluster. Only this process writes to the store. A task that
fails leaves its reason there; the other tasks are still done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from harness.data.places import DataStore
from harness.planning.passages import Texts
from harness.planning.plan import Plan
from harness.planning.staleness import describe, stale_results
from harness.plugins import Registry
from harness.running.executors import Executor
from harness.running.executors.local import LocalExecutor
from harness.running.mask_checks import outdated_by_masks
from harness.running.preparing import Preparer
from harness.running.registration import register
from harness.running.reporting import Reporter
from harness.running.spending import Spending
from harness.running.units import Event, Failed, Inputs, Job, Kept, Measured, Note, Unit, units_of
from harness.storage.masks import StoredMasks
from harness.storage.store import Store
from harness.types import MaskUsage


@dataclass
class Outcome:
    """How a run ended, in numbers of measure tasks."""

    reused: int = 0
    measured: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    """Title and reason of each failed task."""
    traces: dict[str, str] = field(default_factory=dict)
    """Of each reason that is a bug: the key of a failure that holds the trace."""
    spent: Mapping[str, MaskUsage] = field(default_factory=dict)
    """What each masker used of a service, by its label."""


class Runner:
    """Runs plans and stores their results."""

    def __init__(
        self,
        registry: Registry,
        data: DataStore,
        texts: Texts,
        store: Store,
        reporter: Reporter,
        executor: Executor | None = None,
    ) -> None:
        self._registry = registry
        self._data = data
        self._texts = texts
        self._store = store
        self._reporter = reporter
        self._executor = executor or LocalExecutor()

    def run(self, plan: Plan, *, fresh: bool = False) -> Outcome:
        """Do everything that the store does not have yet.

        Args:
            plan: what to do.
            fresh: measure everything again and replace the stored results.

        Raises:
            StoreError: results cannot be written, or another run writes there; what was written
                before stays.
            ServiceError: the cluster cannot be reached.
        """
        self._store.prepare()
        with self._store.locked():
            for note in self._store.set_damaged_aside():
                self._reporter.note(note)
            if not fresh:
                for line in describe(stale_results(self._store, plan)):
                    self._reporter.note(line)
            registration = register(self._store, plan.spec.hypotheses)
            self._store.write_index(plan.index.model_copy(update={"registration": registration}))
            tasks = plan.tasks()
            missing = {key for key in tasks if fresh or not self._usable(key)}
            preparer = Preparer(self._registry, self._data, self._texts, self._reporter)
            with self._told_of(preparer.spending):
                outcome = self._do(plan, preparer, missing)
            return replace(outcome, spent=preparer.spending.used)

    def _do(self, plan: Plan, preparer: Preparer, missing: set[str]) -> Outcome:
        """Do the missing tasks of a plan, and those whose masks are others now."""
        tasks = plan.tasks()
        missing |= outdated_by_masks(plan.models, self._store, missing, preparer, self._reporter)
        outcome = Outcome(reused=len(tasks) - len(missing))
        pending = Counter(tasks[key].evaluator.label for key in missing)
        self._reporter.begin(dict(pending), outcome.reused)
        units = tuple(units_of(plan, missing))
        if units:
            job = Job(
                spec=plan.spec,
                units=units,
                prepare=partial(self._prepare, preparer),
                registry=self._registry,
                data=self._data,
                reporter=self._reporter,
                scratch=self._store.checkpoints.scratch() if plan.spec.keep_checkpoints else None,
            )
            events: Any = self._executor.execute(job)
            with closing(events):  # on Ctrl-C or a full disk, workers elsewhere end at once
                for event in events:
                    self._take(event, outcome)
        return outcome

    @contextmanager
    def _told_of(self, spending: Spending) -> Iterator[None]:
        """Say at the end what services were used for, also where the run is interrupted."""
        try:
            yield
        finally:
            for line in spending.lines():
                self._reporter.note(line)

    def _usable(self, key: str) -> bool:
        """Whether a task is done. A damaged record is set aside, so that it is measured again."""
        problem = self._store.damage(key)
        if problem is not None:
            names = ", ".join(path.name for path in self._store.set_aside(key))
            kept = f"; the damaged files are kept as {names}" if names else ""
            self._reporter.note(f"measuring again: {problem}{kept}")
            return False
        return self._store.has_record(key)

    def _prepare(self, preparer: Preparer, unit: Unit) -> Inputs:
        """Prepare a unit, and store its masks: the fit can be done again from them."""
        inputs = preparer.prepare(unit)
        if not inputs.masked:
            return inputs
        masks = StoredMasks.of(inputs.masked)
        self._store.write_masks(masks)
        return replace(inputs, masks=masks.sha256)

    def _take(self, event: Event, outcome: Outcome) -> None:
        if isinstance(event, Measured):
            self._store.write_record(event.record)
            outcome.measured += 1
            seconds = event.record.seconds["measure"]
            self._reporter.measured(event.evaluator, event.title, seconds)
        elif isinstance(event, Failed):
            self._store.write_failure(event.failure)
            outcome.failures.append((event.title, event.failure.reason))
            if event.failure.trace is not None:
                outcome.traces.setdefault(event.failure.reason, event.failure.key)
            self._reporter.failed(event.evaluator, event.title, event.failure.reason)
        elif isinstance(event, Kept):
            self._store.checkpoints.keep(event.fit_key, event.step, event.folder)
        elif isinstance(event, Note):
            self._reporter.note(event.message)
