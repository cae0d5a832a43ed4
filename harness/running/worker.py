"""Doing units of work in this process: one model in memory, results as soon as they exist."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from harness.boundary import load_model, measure, remember, run_debiaser
from harness.data.domains import NO_DOMAIN
from harness.data.places import DataStore
from harness.errors import DebiasError, HarnessError, PluginCrashError, StoreError
from harness.lm.handle import LanguageModel
from harness.planning.plan import Fit, MeasureTask
from harness.planning.spec import PluginUse, Spec, known_data
from harness.plugins import Registered, Registry
from harness.running.dose import BaseDistributionsOnce, Timed, until_dose
from harness.running.provenance import provenance
from harness.running.reporting import Reporter
from harness.running.units import Event, Failed, Inputs, Kept, Measured, Note, Unit
from harness.storage.records import Failure, Record
from harness.types import (
    Checkpoint,
    DebiasRequest,
    EvaluationRequest,
    LoadRequest,
    Measurement,
)

PROBE_TEXTS = (
    "The committee met on Tuesday to discuss the budget for the coming year.",
    "She said that he had left the keys on the table by the door.",
    "People from many countries and religions live in this town.",
)
"""Scored before and after a fit to see whether it changed anything."""


class _Point(NamedTuple):
    """A model to be measured, and what measuring it takes.

    Attributes:
        model: the base model, or a fit at a checkpoint.
        inputs: the texts of the unit.
        remembered: what evaluators know of the base model, by label.
        seconds: spent so far, by phase.
        log: of the fit.
    """

    model: LanguageModel
    inputs: Inputs
    remembered: Mapping[str, object]
    seconds: Mapping[str, float] = {}
    log: Mapping[str, JsonValue] = {}


class Worker:
    """Does units of one spec, one after the other.

    A fit starts from a freshly loaded model; the one on which the base was measured counts as
    fresh and is handed on to the first fit.
    """

    def __init__(
        self,
        registry: Registry,
        data: DataStore,
        spec: Spec,
        reporter: Reporter,
        scratch: Path | None = None,
    ) -> None:
        self._registry = registry
        self._data = known_data(spec, registry, data)
        self._spec = spec
        self._reporter = reporter
        self._scratch = scratch
        self._fresh: tuple[str, LanguageModel] | None = None
        self._unloadable: dict[str, HarnessError] = {}
        self._base_distributions = BaseDistributionsOnce()

    def carry_out(self, unit: Unit, prepare: Callable[[], Inputs]) -> Iterator[Event]:
        """Do a unit; a task that fails costs the others nothing.

        Args:
            unit: what to do.
            prepare: gives its texts; not called where the model cannot be had.

        Raises:
            StoreError: a checkpoint cannot be written.
        """
        left = list(unit.tasks)
        try:
            if unit.problem is not None:
                raise DebiasError(unit.problem)
            self._make_ready(unit.model)
            inputs = prepare()
            if unit.fit is None:
                yield from self._base(unit, left, inputs)
            else:
                yield from self._fit(unit, unit.fit, left, inputs)
        except StoreError:
            raise
        except Exception as error:  # one unit's failure, whatever it is, must not cost the others
            yield from failures(unit, left, error)

    def checkpoint(self, unit: Unit, inputs: Inputs, step: int) -> tuple[Checkpoint, str | None]:
        """Fit until a step; nothing is measured.

        Returns:
            What is there, and the hash of the weights before the fit; see
            `harness.lm.saving.checkpoint.weights_digest`.

        Raises:
            HarnessError: the model cannot be had, or the fit fails.
        """
        from harness.lm.saving.checkpoint import weights_digest

        fit = unit.fit
        assert fit is not None
        model = self._take_fresh(unit.model)
        before = weights_digest(model)
        for checkpoint, _ in self._checkpoints(unit, fit, inputs, model):
            if checkpoint.step == step:
                return checkpoint, before
        raise DebiasError(f"'{unit.title}' has no step {step}; it has: {_words(fit.steps)}")

    def load(self, use: PluginUse) -> LanguageModel:
        """Load a model as the spec uses it.

        Raises:
            ModelError: it cannot be had.
        """
        self._reporter.phase(f"{use.label}: loading")
        plugin = self._registry.create("model", use.use, use.config)
        request = LoadRequest(
            device=self._spec.device,
            dtype=self._spec.dtype,
            cache_dir=self._data.cache_dir / "models",
        )
        return load_model(self._registry.get("model", use.use), plugin, request)

    # -- models ------------------------------------------------------------------------------

    def _make_ready(self, use: PluginUse) -> None:
        """Have a fresh model in memory, and no other."""
        if use.label in self._unloadable:  # asked once, not once a fit
            raise self._unloadable[use.label]
        if self._fresh is not None and self._fresh[0] == use.label:
            return
        self._fresh = None
        try:
            self._fresh = (use.label, self.load(use))
        except HarnessError as error:
            self._unloadable[use.label] = error
            raise

    def _take_fresh(self, use: PluginUse) -> LanguageModel:
        """Give the fresh model away, to be changed."""
        self._make_ready(use)
        assert self._fresh is not None
        model, self._fresh = self._fresh[1], None
        return model

    # -- units -------------------------------------------------------------------------------

    def _base(self, unit: Unit, left: list[MeasureTask], inputs: Inputs) -> Iterator[Event]:
        assert self._fresh is not None
        model = self._fresh[1]
        point = _Point(model, inputs, self._remembered(left, model, inputs))
        while left:
            task = left.pop(0)
            yield self._measured(unit, task, point)

    def _fit(
        self, unit: Unit, fit: Fit, left: list[MeasureTask], inputs: Inputs
    ) -> Iterator[Event]:
        """Fit and measure; every task taken up is removed from ``left``."""
        model = self._take_fresh(unit.model)
        before = None
        if self._scratch is not None:
            from harness.lm.saving.checkpoint import weights_digest

            before = weights_digest(model)
        remembered = self._remembered(left, model, inputs)
        for checkpoint, seconds in self._checkpoints(unit, fit, inputs, model):
            due = [task for task in left if task.step == checkpoint.step]
            if due and self._scratch is not None:
                yield self._keep(fit, checkpoint, before)
            point = _Point(checkpoint.model, inputs, remembered, seconds, checkpoint.log)
            for task in due:
                left.remove(task)
                yield self._measured(unit, task, point)
            if not left:
                return

    def _checkpoints(
        self, unit: Unit, fit: Fit, inputs: Inputs, model: LanguageModel
    ) -> Iterator[Timed]:
        """Checkpoints to measure, with the seconds spent so far; see `until_dose`."""
        base = self._base_distributions.of(fit, inputs, model, unit.model.label)
        return until_dose(fit, base, self._steps(fit, inputs, model, unit.title))

    def _steps(self, fit: Fit, inputs: Inputs, model: LanguageModel, title: str) -> Iterator[Timed]:
        """All checkpoints of a fit that changed something, with the seconds spent so far."""
        from harness.running.seeding import FitRandomness

        debiaser = self._registry.create("debiaser", fit.debiaser.use, fit.debiaser.config)
        probe = _probe(model)
        request = DebiasRequest(
            model=model,
            domain=fit.source.domain if fit.source and debiaser.inputs - {"neutral"} else NO_DOMAIN,
            passages=inputs.passages,
            masked=inputs.masked,
            neutral=inputs.neutral,
            steps=fit.steps,
            seed=fit.seed,
            data=self._data,
            progress=self._reporter.progress,
        )
        entry = self._registry.get("debiaser", fit.debiaser.use)
        checkpoints = run_debiaser(entry, debiaser, request)
        randomness = FitRandomness(fit.seed)
        spent = 0.0
        while True:
            self._reporter.phase(f"{title}: fitting")
            started = time.perf_counter()
            with randomness.active():
                checkpoint = next(checkpoints, None)
            spent += time.perf_counter() - started
            if checkpoint is None:
                return
            checkpoint.model.forget_scores()
            if debiaser.control != "identity":
                _check_changed(checkpoint, probe, fit)
            yield checkpoint, {"mask": inputs.seconds, "fit": spent}

    def _keep(self, fit: Fit, checkpoint: Checkpoint, before: str | None) -> Event:
        from harness.lm.saving.checkpoint import save_checkpoint

        assert self._scratch is not None
        folder = self._scratch / f"{fit.key}-{checkpoint.step}"
        try:
            save_checkpoint(checkpoint.model, folder, before)
        except StoreError:
            raise
        except HarnessError as error:  # its scores are still worth having
            return Note(f"checkpoint not kept: {error}")
        return Kept(fit.key, checkpoint.step, folder)

    # -- measuring ---------------------------------------------------------------------------

    def _remembered(
        self, tasks: Iterable[MeasureTask], model: LanguageModel, inputs: Inputs
    ) -> dict[str, object]:
        """What each evaluator must know of the base model, by its label.

        An exception takes the place of what could not be worked out: it fails the tasks of its
        evaluator alone.
        """
        remembered: dict[str, object] = {}
        for task in tasks:
            label = task.evaluator.label
            if label in remembered or task.problem is not None:
                continue
            evaluator = self._registry.create(
                "evaluator", task.evaluator.use, task.evaluator.config
            )
            entry = self._registry.get("evaluator", task.evaluator.use)
            try:
                remembered[label] = remember(entry, evaluator, self._request(task, model, inputs))
            except Exception as error:  # one evaluator's failure must not cost the others
                remembered[label] = error
        return remembered

    def _measured(self, unit: Unit, task: MeasureTask, point: _Point) -> Event:
        model = point.model
        title = unit.name(task)
        self._reporter.phase(title)
        started = time.perf_counter()
        tokens = model.tokens_scored
        try:
            if task.problem is not None:
                raise DebiasError(task.problem)
            measurements = self._measure(task, point)
        except StoreError:
            raise
        except Exception as error:  # one task's failure, whatever it is, must not cost the others
            return _failed(unit, task, error)
        spent = time.perf_counter() - started
        record = Record(
            key=task.key,
            inputs=task.inputs,
            measurements=measurements,
            fit_log=dict(point.log),
            provenance=provenance(_device(self._spec, model), self._plugins(unit, task)),
            created_at=_now(),
            seconds={**point.seconds, "measure": spent},
            tokens=model.tokens_scored - tokens,
            masks=point.inputs.masks,
        )
        return Measured(task.evaluator.label, title, record)

    def _measure(self, task: MeasureTask, point: _Point) -> tuple[Measurement, ...]:
        remembered = point.remembered.get(task.evaluator.label)
        if isinstance(remembered, Exception):
            raise remembered
        evaluator = self._registry.create("evaluator", task.evaluator.use, task.evaluator.config)
        request = self._request(task, point.model, point.inputs)
        entry = self._registry.get("evaluator", task.evaluator.use)
        measurements = measure(
            entry, evaluator, request.model_copy(update={"remembered": remembered})
        )
        _check_finite(measurements, task)
        return measurements

    def _request(
        self, task: MeasureTask, model: LanguageModel, inputs: Inputs
    ) -> EvaluationRequest:
        unlearned, unseen = inputs.texts.get(task.key, ((), ()))
        return EvaluationRequest(
            model=model,
            domains=task.domains,
            limit=self._spec.limits.items,
            seed=self._spec.limits.item_seed,
            unlearned=unlearned,
            unseen=unseen,
            neutral=inputs.held_out if task.neutral is not None else (),
            masked=inputs.masked_texts.get(task.key, ()),
            data=self._data,
            progress=self._reporter.progress,
        )

    def _plugins(self, unit: Unit, task: MeasureTask) -> Iterable[Registered]:
        registry, fit = self._registry, unit.fit
        yield registry.get("model", unit.model.use)
        yield registry.get("evaluator", task.evaluator.use)
        if task.masked is not None:
            yield registry.get("corpus", task.masked.corpus.use)
            yield registry.get("masker", task.masked.masker.use)
        source = task.source or (fit.source if fit else None)
        if source is not None:
            yield registry.get("corpus", source.corpus.use)
        if fit is not None:
            yield registry.get("debiaser", fit.debiaser.use)
            if fit.masker is not None:
                yield registry.get("masker", fit.masker.use)
            if fit.neutral is not None:
                yield registry.get("corpus", fit.neutral.use)


def failures(unit: Unit, tasks: Iterable[MeasureTask], error: Exception) -> Iterator[Failed]:
    """Return one failure for each of some tasks of a unit."""
    for task in tasks:
        yield _failed(unit, task, error)


def _failed(unit: Unit, task: MeasureTask, error: Exception) -> Failed:
    expected = isinstance(error, HarnessError)
    reason = str(error) if expected else f"{type(error).__name__}: {error}"
    trace = None if expected else "".join(traceback.format_exception(error))
    if isinstance(error, PluginCrashError):
        trace = error.trace()
    elif task.problem is not None:
        trace = task.problem.trace
    failure = Failure(key=task.key, reason=reason, trace=trace, created_at=_now())
    return Failed(task.evaluator.label, unit.name(task), failure)


def _device(spec: Spec, model: LanguageModel) -> str:
    """The device as the spec names it; where it says ``auto``, with what that came to."""
    if spec.device != "auto" or not hasattr(model, "module"):
        return spec.device
    from harness.lm.loading.placement import devices

    return f"auto: {devices(model.module)}"


def _probe(model: LanguageModel) -> list[list[float]]:
    return [list(scores.logprobs[1:]) for scores in model.token_scores(PROBE_TEXTS)]


def _check_changed(checkpoint: Checkpoint, before: list[list[float]], fit: Fit) -> None:
    """A debiaser that changed no output is an error, not a result."""
    if _probe(checkpoint.model) == before:
        raise DebiasError(
            f"debiaser '{fit.debiaser.label}' changed no output by step {checkpoint.step}: the "
            "debiased model scores like the base model to the last bit"
        )


def _check_finite(measurements: Iterable[Measurement], task: MeasureTask) -> None:
    for measurement in measurements:
        for item in measurement.items:
            for name, value in item.values.items():
                if not math.isfinite(value):
                    raise DebiasError(
                        f"the model at step {task.step} gives {name} = {value} for item "
                        f"'{item.id}': it has diverged; lower the learning rate or the steps"
                    )


def _words(steps: Iterable[int]) -> str:
    return ", ".join(map(str, steps))


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
