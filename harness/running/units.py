"""Units of work that any process can do: their inputs and the events that come of them.

A unit is a model's base measurements, or one fit with the measurements of its checkpoints. The
process that owns the store chooses passages and masks. So a worker only needs the model and the
evaluators' data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.data.places import DataStore
from harness.planning.plan import Fit, MeasureTask, Plan
from harness.planning.spec import PluginUse, Spec
from harness.plugins import Registry
from harness.running.reporting import Reporter
from harness.storage.cells import Identity
from harness.storage.records import Failure, Record
from harness.types import MaskedPassage, Passage


@dataclass(frozen=True)
class Unit:
    """What one process does in one go, on one freshly loaded model.

    Attributes:
        model: as the spec uses it.
        fit: None for the base model. Its own ``tasks`` are empty; these are the missing ones.
        tasks: measurements to take.
        problem: why none of it can be done.
    """

    model: PluginUse
    fit: Fit | None
    tasks: tuple[MeasureTask, ...]
    problem: str | None = None

    @property
    def title(self) -> str:
        """The title of the cell that it is fitted for."""
        identity = Identity(self.model.label) if self.fit is None else self.fit.identity
        return identity.title()

    def name(self, task: MeasureTask) -> str:
        """The unit's title with a task's step and evaluator."""
        step = "" if self.fit is None else f" / step {task.step}"
        return f"{self.title}{step} / {task.evaluator.label}"

    def without(self, done: set[str]) -> Unit:
        """Return the unit without the tasks whose keys are in ``done``."""
        return replace(self, tasks=tuple(task for task in self.tasks if task.key not in done))


@dataclass(frozen=True)
class Inputs:
    """The texts of a unit, chosen and masked.

    Attributes:
        passages: of the source, for debiasers that read them.
        masked: the same with masks.
        neutral: plain text to learn from.
        held_out: plain text that no method learns from.
        texts: by key of a task that reads the source: unlearned and unseen passages.
        masked_texts: by key of a task that reads masks: masked test passages.
        seconds: what choosing and masking took.
        masks: hash of the masks; see `harness.storage.masks`.
    """

    passages: tuple[Passage, ...] = ()
    masked: tuple[MaskedPassage, ...] = ()
    neutral: tuple[Passage, ...] = ()
    held_out: tuple[Passage, ...] = ()
    texts: Mapping[str, tuple[tuple[Passage, ...], tuple[Passage, ...]]] = field(
        default_factory=dict
    )
    masked_texts: Mapping[str, tuple[MaskedPassage, ...]] = field(default_factory=dict)
    seconds: float = 0.0
    masks: str | None = None


# -- what comes out, as soon as it exists ----------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """A task is done."""

    evaluator: str
    title: str
    record: Record


@dataclass(frozen=True)
class Failed:
    """A task cannot be done."""

    evaluator: str
    title: str
    failure: Failure


@dataclass(frozen=True)
class Kept:
    """A debiased checkpoint was saved into a folder, which the receiver takes away."""

    fit_key: str
    step: int
    folder: Path


@dataclass(frozen=True)
class Note:
    """Something a person should read."""

    message: str


Event = Measured | Failed | Kept | Note


@dataclass(frozen=True)
class Job:
    """Everything that an executor needs.

    Attributes:
        spec: the whole of what is run.
        units: what is missing, in the plan's order.
        prepare: gives the texts of a unit; called once a unit, in the executor's own process.
        registry: the plugins.
        data: where data is looked for.
        reporter: receives the events.
        scratch: a folder for checkpoints on their way into the store; None: none are kept.
    """

    spec: Spec
    units: tuple[Unit, ...]
    prepare: Callable[[Unit], Inputs]
    registry: Registry
    data: DataStore
    reporter: Reporter
    scratch: Path | None = None


def units_of(plan: Plan, missing: set[str]) -> Iterator[Unit]:
    """The units of a plan that have something to do, in its order: a model's base, then its fits.

    Args:
        plan: the whole of it.
        missing: keys of the tasks to do.
    """
    for model in plan.models:
        for fit in (None, *model.fits):
            planned: Sequence[MeasureTask] = model.base if fit is None else fit.tasks
            tasks = tuple(task for task in planned if task.key in missing)
            if tasks:
                bare = None if fit is None else replace(fit, tasks=())
                yield Unit(
                    model.model, bare, tasks, model.problem or (fit.problem if fit else None)
                )
