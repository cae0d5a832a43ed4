"""Carrying out a plan: what is stored is not done again, what is done is stored at once.

One model is in memory at a time. Each fit starts from a freshly loaded model (the first one
from the model on which the base was measured), and checkpoints are measured as the debiaser
passes them. A task that fails leaves its reason in the store and the others go on.
"""

from __future__ import annotations

import math
import time
import traceback
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone

from pydantic import JsonValue

from harness.boundary import load_model, mask_passages, measure, run_debiaser
from harness.data import DataStore
from harness.domains import NO_DOMAIN
from harness.errors import DebiasError, HarnessError, StoreError
from harness.families import Debiaser, Evaluator, Masker, Model
from harness.lm.handle import LanguageModel
from harness.plan import Fit, MeasureTask, ModelPlan, Plan
from harness.plugins import Registered, Registry
from harness.provenance import provenance
from harness.records import Failure, Record
from harness.reporting import Reporter
from harness.spec import PluginUse, Spec
from harness.store import Store
from harness.texts import Texts
from harness.types import (
    Checkpoint,
    DebiasRequest,
    EvaluationRequest,
    LoadRequest,
    MaskedPassage,
    MaskRequest,
    Measurement,
    Passage,
)

PROBE_TEXTS = (
    "The committee met on Tuesday to discuss the budget for the coming year.",
    "She said that he had left the keys on the table by the door.",
    "People from many countries and religions live in this town.",
)
"""Scored before and after a fit to see whether it changed anything."""


@dataclass
class Outcome:
    """How a run ended, in numbers of measure tasks."""

    reused: int = 0
    measured: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    """Title and reason of each failed task."""


class Runner:
    """Carries out plans into a store; see the module's first lines."""

    def __init__(
        self, registry: Registry, data: DataStore, texts: Texts, store: Store, reporter: Reporter
    ) -> None:
        self._registry = registry
        self._data = data
        self._texts = texts
        self._store = store
        self._reporter = reporter

    def run(self, plan: Plan) -> Outcome:
        """Do everything that the store does not have yet.

        Raises:
            StoreError: results cannot be written; what was written before stays.
        """
        self._store.prepare()
        self._store.write_index(plan.index)
        tasks = plan.tasks()
        missing = {key for key in tasks if not self._store.has_record(key)}
        outcome = Outcome(reused=len(tasks) - len(missing))
        pending = Counter(tasks[key].evaluator.label for key in missing)
        self._reporter.begin(dict(pending), outcome.reused)
        for model in plan.models:
            _ModelRun(self, plan.spec, model, outcome).run(missing)
        return outcome

    # -- used by _ModelRun ------------------------------------------------------------------

    def _load(self, use: PluginUse, spec: Spec) -> LanguageModel:
        self._reporter.phase(f"{use.label}: loading")
        plugin = self._registry.create("model", use.use, use.config)
        assert isinstance(plugin, Model)
        request = LoadRequest(
            device=spec.device, dtype=spec.dtype, cache_dir=self._data.cache_dir / "models"
        )
        return load_model(self._registry.get("model", use.use), plugin, request)

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

    def _measure(
        self, task: MeasureTask, model: LanguageModel, spec: Spec
    ) -> tuple[Measurement, ...]:
        evaluator = self._registry.create("evaluator", task.evaluator.use, task.evaluator.config)
        assert isinstance(evaluator, Evaluator)
        unlearned: tuple[Passage, ...] = ()
        unseen: tuple[Passage, ...] = ()
        if task.source is not None:
            unlearned = self._texts.unlearned(task.source)
            unseen = self._texts.unseen(task.source, task.domains)
        request = EvaluationRequest(
            model=model,
            domains=task.domains,
            limit=spec.limits.items,
            seed=spec.limits.seed,
            unlearned=unlearned,
            unseen=unseen,
            data=self._data,
            progress=self._reporter.progress,
        )
        entry = self._registry.get("evaluator", task.evaluator.use)
        measurements = measure(entry, evaluator, request)
        _check_finite(measurements, task)
        return measurements


@dataclass
class _ModelRun:
    """One model's share of a run."""

    runner: Runner
    spec: Spec
    plan: ModelPlan
    outcome: Outcome
    _fresh: LanguageModel | None = None

    def run(self, missing: set[str]) -> None:
        base = [task for task in self.plan.base if task.key in missing]
        fits = [
            (fit, [task for task in fit.tasks if task.key in missing]) for fit in self.plan.fits
        ]
        title = self.plan.model.label
        if not base and not any(tasks for _, tasks in fits):
            return
        try:
            if self.plan.problem is not None:
                raise DebiasError(self.plan.problem)
            self._fresh = self.runner._load(self.plan.model, self.spec)
        except HarnessError as error:
            everything = [*base, *(task for _, tasks in fits for task in tasks)]
            self._fail(everything, title, error)
            return
        for task in base:
            self._store_measure(task, self._fresh, f"{title} / base", {}, None)
        for fit, tasks in fits:
            if tasks:
                self._fit(fit, tasks)

    def _fit(self, fit: Fit, tasks: list[MeasureTask]) -> None:
        title = _title(self.plan.model, fit)
        left = list(tasks)
        try:
            if fit.problem is not None:
                raise DebiasError(fit.problem)
            self._carry_out(fit, left, title)
        except StoreError:
            raise
        except Exception as error:  # one cell's failure, whatever it is, must not cost the others
            self._fail(left, title, error)

    def _carry_out(self, fit: Fit, left: list[MeasureTask], title: str) -> None:
        """Fit and measure; every task taken up is removed from ``left``."""
        from harness.lm.seeding import seeded

        runner, reporter = self.runner, self.runner._reporter
        debiaser = runner._registry.create("debiaser", fit.debiaser.use, fit.debiaser.config)
        assert isinstance(debiaser, Debiaser)
        started = time.perf_counter()
        reporter.phase(f"{title}: choosing passages and masks")
        masked = runner._mask(fit)
        takes_passages = fit.source is not None and debiaser.inputs & {"masks", "passages"}
        passages = runner._texts.unlearned(fit.source) if takes_passages and fit.source else ()
        neutral = runner._texts.neutral(fit.neutral) if fit.neutral else ()
        masking = time.perf_counter() - started

        model = self._take_fresh()
        probe = _probe(model)
        request = DebiasRequest(
            model=model,
            domain=fit.source.domain if fit.source and debiaser.inputs - {"neutral"} else NO_DOMAIN,
            passages=passages,
            masked=masked,
            neutral=neutral,
            steps=fit.steps,
            seed=fit.seed,
            data=runner._data,
            progress=reporter.progress,
        )
        entry = runner._registry.get("debiaser", fit.debiaser.use)
        checkpoints = run_debiaser(entry, debiaser, request)
        fitting = 0.0
        while left:
            reporter.phase(f"{title}: fitting")
            started = time.perf_counter()
            with seeded(fit.seed):
                checkpoint = next(checkpoints, None)
            fitting += time.perf_counter() - started
            if checkpoint is None:
                break
            checkpoint.model.forget_scores()
            if not debiaser.control:
                _check_changed(checkpoint, probe, fit)
            for task in [task for task in left if task.step == checkpoint.step]:
                left.remove(task)
                seconds = {"mask": masking, "fit": fitting}
                self._store_measure(
                    task,
                    checkpoint.model,
                    f"{title} / step {checkpoint.step}",
                    seconds,
                    fit,
                    dict(checkpoint.log),
                )

    def _take_fresh(self) -> LanguageModel:
        """The model as loaded, for a fit to change; the handle kept so far is given away."""
        model, self._fresh = self._fresh, None
        if model is None:
            model = self.runner._load(self.plan.model, self.spec)
        return model

    def _store_measure(
        self,
        task: MeasureTask,
        model: LanguageModel,
        title: str,
        seconds: dict[str, float],
        fit: Fit | None,
        log: dict[str, JsonValue] | None = None,
    ) -> None:
        runner = self.runner
        name = f"{title} / {task.evaluator.label}"
        runner._reporter.phase(name)
        started = time.perf_counter()
        tokens = model.tokens_scored
        try:
            if task.problem is not None:
                raise DebiasError(task.problem)
            measurements = runner._measure(task, model, self.spec)
        except StoreError:
            raise
        except Exception as error:  # one task's failure, whatever it is, must not cost the others
            self._fail([task], title, error)
            return
        spent = time.perf_counter() - started
        record = Record(
            key=task.key,
            inputs=task.inputs,
            measurements=measurements,
            fit_log=log or {},
            provenance=provenance(self.spec.device, self._plugins(task, fit)),
            created_at=_now(),
            seconds={**seconds, "measure": spent},
            tokens=model.tokens_scored - tokens,
        )
        runner._store.write_record(record)
        self.outcome.measured += 1
        runner._reporter.measured(task.evaluator.label, name, spent)

    def _plugins(self, task: MeasureTask, fit: Fit | None) -> Iterable[Registered]:
        registry = self.runner._registry
        yield registry.get("model", self.plan.model.use)
        yield registry.get("evaluator", task.evaluator.use)
        source = task.source or (fit.source if fit else None)
        if source is not None:
            yield registry.get("corpus", source.corpus.use)
        if fit is not None:
            yield registry.get("debiaser", fit.debiaser.use)
            if fit.masker is not None:
                yield registry.get("masker", fit.masker.use)
            if fit.neutral is not None:
                yield registry.get("corpus", fit.neutral.use)

    def _fail(self, tasks: Iterable[MeasureTask], title: str, error: Exception) -> None:
        known = isinstance(error, HarnessError)
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        trace = None if known else "".join(traceback.format_exception(error))
        for task in tasks:
            failure = Failure(key=task.key, reason=reason, trace=trace, created_at=_now())
            self.runner._store.write_failure(failure)
            name = f"{title} / step {task.step} / {task.evaluator.label}"
            self.outcome.failures.append((name, reason))
            self.runner._reporter.failed(task.evaluator.label, name, reason)


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


def _title(model: PluginUse, fit: Fit) -> str:
    parts = [model.label, fit.debiaser.label]
    if fit.masker is not None:
        parts.append(fit.masker.label)
    if fit.source is not None:
        parts += [fit.source.corpus.label, fit.source.domain]
    return " / ".join([*parts, f"seed {fit.seed}"])


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
