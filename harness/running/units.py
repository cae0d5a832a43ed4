"""The work of a plan in units that any process can do: what goes in, and what comes out.

A unit is a model's base measurements, or one fit with the measurements of its checkpoints. Its
passages and masks are chosen by the process that owns the store, so whoever does the work needs
the model and the evaluators' data and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.boundary import mask_passages
from harness.data import DataStore
from harness.errors import DebiasError
from harness.families import Debiaser, Masker
from harness.plan import Fit, MeasureTask, Plan
from harness.plugins import Registry
from harness.records import Failure, Record
from harness.reporting import Reporter
from harness.spec import PluginUse, Spec
from harness.texts import Texts
from harness.types import MaskedPassage, MaskRequest, Passage


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
        """Its parts, from model to seed."""
        fit = self.fit
        if fit is None:
            return f"{self.model.label} / base"
        parts = [self.model.label, fit.debiaser.label]
        if fit.masker is not None:
            parts.append(fit.masker.label)
        if fit.source is not None:
            parts += [fit.source.corpus.label, fit.source.domain]
        return " / ".join([*parts, f"seed {fit.seed}"])

    def name(self, task: MeasureTask) -> str:
        """The unit's title with a task's step and evaluator."""
        step = "" if self.fit is None else f" / step {task.step}"
        return f"{self.title}{step} / {task.evaluator.label}"

    def without(self, done: set[str]) -> Unit:
        """The same unit with only the tasks whose key is not among those done."""
        return replace(self, tasks=tuple(task for task in self.tasks if task.key not in done))


@dataclass(frozen=True)
class Inputs:
    """The texts of a unit, chosen and masked.

    Attributes:
        passages: of the source, for debiasers that read them.
        masked: the same with masks.
        neutral: plain text.
        texts: by key of a task that reads the source: unlearned and unseen passages.
        seconds: what choosing and masking took.
    """

    passages: tuple[Passage, ...] = ()
    masked: tuple[MaskedPassage, ...] = ()
    neutral: tuple[Passage, ...] = ()
    texts: Mapping[str, tuple[tuple[Passage, ...], tuple[Passage, ...]]] = field(
        default_factory=dict
    )
    seconds: float = 0.0


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
        reporter: told what is being done.
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
            own: Sequence[MeasureTask] = model.base if fit is None else fit.tasks
            tasks = tuple(task for task in own if task.key in missing)
            if tasks:
                bare = None if fit is None else replace(fit, tasks=())
                yield Unit(
                    model.model, bare, tasks, model.problem or (fit.problem if fit else None)
                )


class Preparer:
    """Chooses and masks the texts of units."""

    def __init__(
        self, registry: Registry, data: DataStore, texts: Texts, reporter: Reporter
    ) -> None:
        self._registry = registry
        self._data = data
        self._texts = texts
        self._reporter = reporter

    def prepare(self, unit: Unit) -> Inputs:
        """Read and mask; services may be asked.

        Raises:
            HarnessError: there is nothing to read, or nothing was masked.
        """
        started = time.perf_counter()
        passages: tuple[Passage, ...] = ()
        masked: tuple[MaskedPassage, ...] = ()
        neutral: tuple[Passage, ...] = ()
        if (fit := unit.fit) is not None:
            self._reporter.phase(f"{unit.title}: choosing passages and masks")
            plugin = self._registry.get("debiaser", fit.debiaser.use).plugin
            assert issubclass(plugin, Debiaser)
            masked = self._mask(fit)
            if fit.source is not None and plugin.inputs & {"masks", "passages"}:
                passages = self._texts.unlearned(fit.source)
            if fit.neutral is not None:
                neutral = self._texts.neutral(fit.neutral)
        return Inputs(
            passages, masked, neutral, dict(self._read(unit)), time.perf_counter() - started
        )

    def _read(
        self, unit: Unit
    ) -> Iterator[tuple[str, tuple[tuple[Passage, ...], tuple[Passage, ...]]]]:
        for task in unit.tasks:
            if task.source is not None and task.problem is None:
                unseen = self._texts.unseen(task.source, task.domains)
                yield task.key, (self._texts.unlearned(task.source), unseen)

    def _mask(self, fit: Fit) -> tuple[MaskedPassage, ...]:
        if fit.masker is None or fit.source is None:
            return ()
        masker = self._registry.create("masker", fit.masker.use, fit.masker.config)
        assert isinstance(masker, Masker)
        request = MaskRequest(
            passages=self._texts.unlearned(fit.source),
            domain=fit.source.domain,
            seed=fit.seed,
            data=self._data,
            progress=self._reporter.progress,
        )
        masked = mask_passages(self._registry.get("masker", fit.masker.use), masker, request)
        if not any(answer.spans for answer in masked):
            raise DebiasError(
                f"masker '{fit.masker.label}' masked nothing in the {len(masked)} passages of "
                f"'{fit.source.domain}'; look at them with `harness mask`"
            )
        return masked
