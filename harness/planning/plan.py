"""From a spec to tasks, each with a content key. Loads no model.

A *fit* debiases one private copy of a model and passes checkpoints; a *measure task* is one
evaluator at one checkpoint. Step 0 is the base model, measured once and shared by every cell.
What cannot be done for lack of data is planned with its problem, so that the other cells go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from itertools import product
from typing import Any

from pydantic import JsonValue

from harness.data.places import DataStore
from harness.errors import HarnessError
from harness.families import Debiaser
from harness.planning.keys import PluginInputs, content_key
from harness.planning.narrowing import Narrowing
from harness.planning.passages import Source, Texts, passages_hash
from harness.planning.spec import PluginUse, Spec, known_data, measured_domains
from harness.plugins import Registry
from harness.storage.cells import Cell, Identity, MeasureRef
from harness.storage.records import SCHEMA_VERSION, RunIndex
from harness.types import ControlKind

ONE_SHOT_STEP = 1
"""The only step of a debiaser that is fitted at once."""


@dataclass(frozen=True)
class MeasureTask:
    """One evaluator at one checkpoint, with what its answer depends on."""

    key: str
    inputs: dict[str, JsonValue]
    evaluator: PluginUse
    step: int
    domains: tuple[str, ...]
    source: Source | None
    problem: str | None = None


@dataclass(frozen=True)
class Fit:
    """One debiased model, and the measurements to take as it passes its checkpoints."""

    key: str
    identity: Identity
    """Of the first cell that it is fitted for."""
    debiaser: PluginUse
    source: Source | None
    masker: PluginUse | None
    neutral: PluginUse | None
    seed: int
    steps: tuple[int, ...]
    tasks: tuple[MeasureTask, ...]
    problem: str | None = None


@dataclass(frozen=True)
class ModelPlan:
    """Everything that one model takes part in."""

    model: PluginUse
    base: tuple[MeasureTask, ...]
    fits: tuple[Fit, ...]
    problem: str | None = None

    def tasks(self) -> Iterator[MeasureTask]:
        """Every measure task, the base first."""
        yield from self.base
        for fit in self.fits:
            yield from fit.tasks


@dataclass(frozen=True)
class Plan:
    """A run, laid out: the index that the store will hold, and the work behind it."""

    spec: Spec
    index: RunIndex
    models: tuple[ModelPlan, ...]

    def tasks(self) -> dict[str, MeasureTask]:
        """Measure tasks by key, in the order of the work; shared ones once."""
        return {task.key: task for model in self.models for task in model.tasks()}


def build_plan(spec: Spec, registry: Registry, data: DataStore, texts: Texts) -> Plan:
    """Lay out a spec as tasks with keys. Reads data, loads no model."""
    return _Planner(spec, registry, known_data(spec, registry, data), texts).plan()


@dataclass
class _Planner:
    spec: Spec
    registry: Registry
    data: DataStore
    texts: Texts
    _inputs: PluginInputs = field(init=False)

    def __post_init__(self) -> None:
        self._inputs = PluginInputs(self.registry, self.data)

    def plan(self) -> Plan:
        cells: list[Cell] = []
        models = []
        for model in self.spec.model:
            plan, own_cells = self._model(model)
            models.append(plan)
            cells += own_cells
        index = RunIndex(
            name=self.spec.name,
            created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            spec=self.spec.model_dump(mode="json"),
            targets=self.spec.targets,
            cells=tuple(cells),
        )
        return Plan(self.spec, index, tuple(models))

    def _model(self, model: PluginUse) -> tuple[ModelPlan, list[Cell]]:
        lineage: dict[str, JsonValue] = {"schema": SCHEMA_VERSION, "dtype": self.spec.dtype}
        inputs, problem = self._plugin("model", model)
        lineage["model"] = inputs
        base = self._measures(lineage, 0, None)
        tasks = {task.key: task for task in base}
        cells = [Cell(model=model.label, measures=_refs(base))]
        fits: dict[str, Fit] = {}
        for cell, fit, compared in self._fits(model, lineage):
            known = fits.get(fit.key)
            if known is not None:  # one computation behind several cells
                own = {task.key for task in known.tasks}
                more = tuple(task for task in fit.tasks if task.key not in own)
                fit = replace(known, tasks=known.tasks + more)
            fits[fit.key] = fit
            tasks.update({task.key: task for task in compared})
            cells.append(cell)
        return ModelPlan(model, tuple(tasks.values()), tuple(fits.values()), problem), cells

    def _fits(
        self, model: PluginUse, lineage: dict[str, JsonValue]
    ) -> Iterator[tuple[Cell, Fit, list[MeasureTask]]]:
        spec = self.spec
        sources: list[Source | None] = [
            Source(*parts) for parts in product(spec.corpus, spec.source, spec.label)
        ] or [None]
        for debiaser in spec.debiaser:
            plugin = self.registry.get("debiaser", debiaser.use).plugin
            only = debiaser.only or Narrowing({})
            if not only.allows("models", model.label):
                continue
            maskers: list[PluginUse | None] = [None]
            if "masks" in plugin.inputs:
                maskers = [use for use in spec.masker if only.allows("maskers", use.label)]
            seeds = [seed for seed in spec.seed if only.allows("seeds", seed)]
            seeds = seeds if plugin.seeded else seeds[:1]
            for source, masker, seed in product(sources, maskers, seeds):
                if source is not None and not _allows(only, source):
                    continue
                identity = Identity(
                    model=model.label,
                    debiaser=debiaser.label,
                    masker=masker.label if masker else None,
                    corpus=source.corpus.label if source else None,
                    source=source.domain if source else None,
                    label=source.label if source else None,
                    seed=seed,
                )
                fit = self._fit(lineage, identity, plugin, debiaser, source, masker, seed)
                base = self._measures(lineage, 0, source)
                cell = Cell(
                    **identity._asdict(),
                    control_kind=self._control_kind(plugin, masker, source),
                    fit_key=fit.key,
                    measures=_refs([*base, *fit.tasks]),
                )
                yield cell, fit, base

    def _control_kind(
        self,
        plugin: type[Debiaser],  # type: ignore[type-arg]
        masker: PluginUse | None,
        source: Source | None,
    ) -> ControlKind | None:
        if plugin.control is not None:
            return plugin.control
        if masker is not None:
            own = self.registry.get("masker", masker.use).plugin
            if own.control is not None:
                return own.control
        if source is not None and source.label == "non-hateful":
            return "texts" if plugin.inputs & {"masks", "passages"} else None
        return None

    def _fit(
        self,
        lineage: dict[str, JsonValue],
        identity: Identity,
        plugin: type[Debiaser],  # type: ignore[type-arg]
        debiaser: PluginUse,
        source: Source | None,
        masker: PluginUse | None,
        seed: int,
    ) -> Fit:
        steps = self.spec.steps if plugin.stepwise else (ONE_SHOT_STEP,)
        domain = source.domain if source else None
        inputs, problem = self._plugin("debiaser", debiaser, domain)
        parts: dict[str, JsonValue] = {**lineage, "debiaser": inputs}
        if plugin.seeded:
            parts["seed"] = seed
        if plugin.stepwise and self._create(debiaser).depends_on_last_step():
            parts["total_steps"] = steps[-1]
        neutral = None
        if source is not None and plugin.inputs & {"masks", "passages"}:
            parts["source"], found = self._source(source)
            problem = problem or found
        elif source is not None and "domain" in plugin.inputs:
            parts["source"] = {"domain": source.domain}
        if masker is not None:
            parts["masker"], found = self._plugin("masker", masker, domain)
            problem = problem or found
        if "neutral" in plugin.inputs:
            neutral = self.spec.neutral[0]
            parts["neutral"], found = self._neutral(neutral)
            problem = problem or found
        tasks = [task for step in steps for task in self._measures(parts, step, source, problem)]
        return Fit(
            key=content_key(parts),
            identity=identity,
            debiaser=debiaser,
            source=source,
            masker=masker,
            neutral=neutral,
            seed=seed,
            steps=steps,
            tasks=tuple(tasks),
            problem=problem,
        )

    def _measures(
        self,
        lineage: dict[str, JsonValue],
        step: int,
        source: Source | None,
        problem: str | None = None,
    ) -> list[MeasureTask]:
        return [
            self._measure(lineage, use, step, source, problem)
            for use in self.spec.evaluators
            if source is not None or not self._reads_source(use)
        ]

    def _reads_source(self, use: PluginUse) -> bool:
        evaluator = self.registry.get("evaluator", use.use).plugin
        return evaluator.reads_source

    def _measure(
        self,
        lineage: dict[str, JsonValue],
        use: PluginUse,
        step: int,
        source: Source | None,
        problem: str | None,
    ) -> MeasureTask:
        domains = measured_domains(self.spec, use, self.registry)
        inputs: dict[str, JsonValue] = {**lineage, "step": step}
        inputs["evaluator"], found = self._plugin("evaluator", use)
        problem = problem or found
        inputs["domains"] = list(domains)
        inputs["items"] = {"limit": self.spec.limits.items, "seed": self.spec.limits.seed}
        if source is not None and self._reads_source(use):
            inputs["texts"], found = self._texts(source, domains)
            problem = problem or found
        else:
            source = None
        return MeasureTask(content_key(inputs), inputs, use, step, domains, source, problem)

    def _create(self, use: PluginUse) -> Debiaser[Any]:
        return self.registry.create("debiaser", use.use, use.config)

    # -- parts of a key, each with the problem that keeps it from being known -----------------

    def _plugin(
        self, family: str, use: PluginUse, domain: str | None = None
    ) -> tuple[JsonValue, str | None]:
        try:
            return dict(self._inputs.of(family, use, domain)), None  # type: ignore[arg-type]
        except HarnessError as error:
            return {"name": use.use, "problem": str(error)}, str(error)

    def _source(self, source: Source) -> tuple[JsonValue, str | None]:
        inputs, problem = self._plugin("corpus", source.corpus)
        if problem:
            return inputs, problem
        try:
            unlearned = passages_hash(self.texts.unlearned(source))
        except HarnessError as error:
            return {"corpus": inputs, "problem": str(error)}, str(error)
        return {
            "corpus": inputs,
            "domain": source.domain,
            "label": source.label,
            "passages": unlearned,
        }, None

    def _neutral(self, use: PluginUse) -> tuple[JsonValue, str | None]:
        inputs, problem = self._plugin("corpus", use)
        if problem:
            return inputs, problem
        try:
            return {"corpus": inputs, "passages": passages_hash(self.texts.neutral(use))}, None
        except HarnessError as error:
            return {"corpus": inputs, "problem": str(error)}, str(error)

    def _texts(self, source: Source, domains: tuple[str, ...]) -> tuple[JsonValue, str | None]:
        try:
            return {
                "unlearned": passages_hash(self.texts.unlearned(source)),
                "unseen": passages_hash(self.texts.unseen(source, domains)),
            }, None
        except HarnessError as error:
            return {"problem": str(error)}, str(error)


def _allows(only: Narrowing, source: Source) -> bool:
    return (
        only.allows("corpora", source.corpus.label)
        and only.allows("sources", source.domain)
        and only.allows("labels", source.label)
    )


def _refs(tasks: list[MeasureTask]) -> tuple[MeasureRef, ...]:
    return tuple(
        MeasureRef(step=task.step, evaluator=task.evaluator.label, key=task.key) for task in tasks
    )
