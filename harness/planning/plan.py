"""Make a plan of tasks from a spec, each with a content key. This does not load a model.

A *fit* debiases one private copy of a model and passes checkpoints; a *measure task* is one
evaluator at one checkpoint. Step 0 is the base model, measured once and shared by every cell.
A task whose data is missing is planned with its problem, so that the other cells can run.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from itertools import product
from typing import Any, NamedTuple

from pydantic import JsonValue

from harness.boundary import guarded
from harness.data.places import DataStore
from harness.families import Debiaser, Evaluator
from harness.garbage import uncollected
from harness.planning.key_parts import KeyParts, Part, Problem, place_of, unknown
from harness.planning.keys import ENGINE, OF_MEASURING, KeyMaker
from harness.planning.narrowing import Narrowing
from harness.planning.passages import MaskedTexts, Source, Texts
from harness.planning.spec import (
    PluginUse,
    Spec,
    StopAt,
    known_data,
    masker_of_words,
    measured_domains,
)
from harness.plugins import Registry
from harness.storage.cells import Cell, Identity, MeasureRef
from harness.storage.records import SCHEMA_VERSION, RunIndex
from harness.types import ControlKind, Label

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
    neutral: PluginUse | None = None
    """The corpus of the held-out plain text that it reads, if it reads any."""
    masked: MaskedTexts | None = None
    """What the masked test passages that it reads come from, if it reads any."""
    problem: Problem | None = None


@dataclass(frozen=True)
class Fit:
    """One debiased model, and the measurements to take as it passes its checkpoints."""

    key: str
    identity: Identity
    """Identity of the first cell that it is fitted for."""
    debiaser: PluginUse
    source: Source | None
    masker: PluginUse | None
    neutral: PluginUse | None
    seed: int
    steps: tuple[int, ...]
    tasks: tuple[MeasureTask, ...]
    stop_at: StopAt | None = None
    """The dose at which it stops. Its tasks are then measured at the step that reaches the dose,
    under the name of the last step."""
    stop_texts: PluginUse | None = None
    """The corpus of the held-out plain text on which the dose is measured."""
    problem: Problem | None = None


@dataclass(frozen=True)
class ModelPlan:
    """Everything that one model takes part in.

    ``model`` is what is keyed and loaded: a hub's branch is written out as its commit.
    """

    model: PluginUse
    base: tuple[MeasureTask, ...]
    fits: tuple[Fit, ...]
    problem: Problem | None = None

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
    planner = _Planner(spec, registry, known_data(spec, registry, data), texts)
    with uncollected():  # nothing of a plan is garbage, and there is a lot of it
        return planner.plan()


class _Setting(NamedTuple):
    """What the seeds and sources of a method share."""

    model: PluginUse
    lineage: dict[str, JsonValue]
    plugin: type[Debiaser[Any]]
    debiaser: PluginUse
    masker: PluginUse | None
    problem: Problem | None


@dataclass
class _Planner:
    spec: Spec
    registry: Registry
    data: DataStore
    texts: Texts
    _parts: KeyParts = field(init=False)
    _keys: KeyMaker = field(init=False, default_factory=KeyMaker)
    _domains: dict[str, list[JsonValue]] = field(init=False, default_factory=dict)
    """Domains that an evaluator is asked for, by its label."""
    _items: dict[str, JsonValue] = field(init=False)
    _bases: dict[Hashable, list[MeasureTask]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        limits = self.spec.limits
        self._parts = KeyParts(self.spec, self.registry, self.data, self.texts)
        self._items = {"limit": limits.items, "seed": limits.item_seed}
        for use in self.spec.evaluators:
            # sorted: the answer does not depend on the order in which a spec names its targets
            domains = sorted(measured_domains(self.spec, use, self.registry))
            self._domains[use.label] = list(domains)

    def plan(self) -> Plan:
        cells: list[Cell] = []
        models = []
        for model in self.spec.model:
            plan, model_cells = self._model(model)
            models.append(plan)
            cells += model_cells
        index = RunIndex(
            name=self.spec.name,
            created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            spec=self.spec.model_dump(mode="json"),
            targets=self.spec.targets,
            cells=tuple(cells),
        )
        return Plan(self.spec, index, tuple(models))

    # -- models ------------------------------------------------------------------------------

    def _model(self, model: PluginUse) -> tuple[ModelPlan, list[Cell]]:
        lineage: dict[str, JsonValue] = {
            "schema": SCHEMA_VERSION,
            "engine": ENGINE,
            "dtype": self.spec.dtype,
        }
        model, part = self._pinned(model)
        lineage["model"] = part.inputs
        base = self._measures(lineage, 0, None, part.problem)
        tasks = {task.key: task for task in base}
        cells = [Cell(model=model.label, measures=_refs(base))]
        fits: dict[str, Fit] = {}
        for cell, fit, compared in self._fits(model, lineage, part.problem):
            planned = fits.get(fit.key)
            if planned is not None:  # one computation behind several cells
                keys = {task.key for task in planned.tasks}
                more = tuple(task for task in fit.tasks if task.key not in keys)
                fit = replace(planned, tasks=planned.tasks + more)
            fits[fit.key] = fit
            tasks.update({task.key: task for task in compared})
            cells.append(cell)
        return ModelPlan(model, tuple(tasks.values()), tuple(fits.values()), part.problem), cells

    def _pinned(self, model: PluginUse) -> tuple[PluginUse, Part]:
        try:
            pinned = self._parts.pinned(model)
        except Exception as error:  # one model's failure must not cost the others
            return model, unknown({"name": model.use}, error)
        return pinned, self._parts.plugin("model", pinned)

    # -- fits --------------------------------------------------------------------------------

    def _fits(
        self, model: PluginUse, lineage: dict[str, JsonValue], problem: Problem | None
    ) -> Iterator[tuple[Cell, Fit, list[MeasureTask]]]:
        for debiaser in self.spec.debiaser:
            plugin = self.registry.get("debiaser", debiaser.use).plugin
            only = debiaser.only or Narrowing({})
            if not only.allows("models", model.label):
                continue
            maskers: list[PluginUse | None] = [None]
            if "masks" in plugin.inputs:
                maskers = [use for use in self.spec.masker if only.allows("maskers", use.label)]
            for place, masker in product(self._places(only), maskers):
                yield from self._seeds(
                    _Setting(model, lineage, plugin, debiaser, masker, problem), place, only
                )

    def _places(self, only: Narrowing) -> list[tuple[PluginUse, str, Label] | None]:
        """Corpus, source domain and label of each source; a None alone where there is none."""
        spec = self.spec
        if not (spec.corpus and spec.source and spec.label):
            return [None]
        return [
            (corpus, domain, label)
            for corpus, domain, label in product(spec.corpus, spec.source, spec.label)
            if only.allows("corpora", corpus.label)
            and only.allows("sources", domain)
            and only.allows("labels", label)
        ]

    def _seeds(
        self, setting: _Setting, place: tuple[PluginUse, str, Label] | None, only: Narrowing
    ) -> Iterator[tuple[Cell, Fit, list[MeasureTask]]]:
        """Cells of the seeds; a seed that changes nothing has none of its own."""
        seen: set[str] = set()
        for seed in self.spec.seed:
            if not only.allows("seeds", seed):
                continue
            source = None if place is None else self.texts.source(*place, seed)
            identity = Identity(
                model=setting.model.label,
                debiaser=setting.debiaser.label,
                masker=setting.masker.label if setting.masker else None,
                corpus=source.corpus.label if source else None,
                source=source.domain if source else None,
                label=source.label if source else None,
                seed=seed,
            )
            fit = self._fit(setting, identity, source, seed)
            if fit.key in seen:
                continue
            seen.add(fit.key)
            base = self._base(setting, source)
            cell = Cell(
                **identity._asdict(),
                control_kind=self._control_kind(setting, source),
                fit_key=fit.key,
                measures=_refs([*base, *fit.tasks]),
            )
            yield cell, fit, base

    def _base(self, setting: _Setting, source: Source | None) -> list[MeasureTask]:
        """The measurements of the base model that a cell is compared with."""
        name = (setting.model.label, None if source is None else place_of(source))
        if name not in self._bases:
            self._bases[name] = self._measures(setting.lineage, 0, source, setting.problem)
        return self._bases[name]

    def _control_kind(self, setting: _Setting, source: Source | None) -> ControlKind | None:
        plugin, masker = setting.plugin, setting.masker
        if plugin.control is not None:
            return plugin.control
        if masker is not None:
            kind = self.registry.get("masker", masker.use).plugin.control
            if kind is not None:
                return kind
        if source is not None and source.label == "non-hateful":
            return "texts" if plugin.inputs & {"masks", "passages"} else None
        return None

    def _fit(self, setting: _Setting, identity: Identity, source: Source | None, seed: int) -> Fit:
        plugin = setting.plugin
        steps = self.spec.steps if plugin.stepwise else (ONE_SHOT_STEP,)
        stop_at = self.spec.stop_at if plugin.stepwise else None
        neutral = self.spec.neutral[0] if "neutral" in plugin.inputs else None
        parts = dict(self._fit_parts(setting, source, neutral, seed))
        if stop_at is not None:
            parts["stop_at"] = self._parts.stop(stop_at)
        problems = (setting.problem, *(part.problem for part in parts.values()))
        problem = next((problem for problem in problems if problem is not None), None)
        lineage = {**setting.lineage, **{name: part.inputs for name, part in parts.items()}}
        measured = steps if stop_at is None else steps[-1:]
        tasks = [t for step in measured for t in self._measures(lineage, step, source, problem)]
        return Fit(
            key=self._keys.key(lineage),
            identity=identity,
            debiaser=setting.debiaser,
            source=source,
            masker=setting.masker,
            neutral=neutral,
            seed=seed,
            steps=steps,
            tasks=tuple(tasks),
            stop_at=stop_at,
            stop_texts=self.spec.neutral[0] if stop_at is not None else None,
            problem=problem,
        )

    def _fit_parts(
        self, setting: _Setting, source: Source | None, neutral: PluginUse | None, seed: int
    ) -> Iterator[tuple[str, Part]]:
        """Everything that a fit depends on except the model, by name."""
        plugin, debiaser, masker = setting.plugin, setting.debiaser, setting.masker
        domain = source.domain if source else None
        yield "debiaser", self._parts.plugin("debiaser", debiaser, domain)
        if plugin.seeded or (masker is not None and self._is_seeded(masker)):
            yield "seed", Part(seed)
        if plugin.stepwise and self._depends_on_last_step(debiaser):
            yield "total_steps", Part(self.spec.steps[-1])
        if source is not None and plugin.inputs & {"masks", "passages"}:
            yield "source", self._parts.source(source)
        elif source is not None and "domain" in plugin.inputs:
            yield "source", Part({"domain": source.domain})
        if masker is not None:
            yield "masker", self._parts.plugin("masker", masker, domain)
        if neutral is not None:
            yield "neutral", self._parts.neutral(neutral, seed)

    def _is_seeded(self, masker: PluginUse) -> bool:
        return self.registry.get("masker", masker.use).plugin.seeded

    def _depends_on_last_step(self, use: PluginUse) -> bool:
        entry = self.registry.get("debiaser", use.use)
        with guarded(entry, "depends_on_last_step"):
            plugin = self.registry.create("debiaser", use.use, use.config)
            return plugin.depends_on_last_step()

    # -- measure tasks -----------------------------------------------------------------------

    def _measures(
        self,
        lineage: dict[str, JsonValue],
        step: int,
        source: Source | None,
        problem: Problem | None,
    ) -> list[MeasureTask]:
        return [
            self._measure(lineage, use, step, source, problem)
            for use in self.spec.evaluators
            if source is not None or not self._evaluator(use).reads_source
        ]

    def _evaluator(self, use: PluginUse) -> type[Evaluator[Any]]:
        return self.registry.get("evaluator", use.use).plugin

    def _measure(
        self,
        lineage: dict[str, JsonValue],
        use: PluginUse,
        step: int,
        source: Source | None,
        problem: Problem | None,
    ) -> MeasureTask:
        plugin = self._evaluator(use)
        domains = tuple(map(str, self._domains[use.label]))
        parts = {"evaluator": self._parts.plugin("evaluator", use)}
        source = source if plugin.reads_source else None
        if source is not None:
            parts["texts"] = self._parts.texts(source, domains)
        neutral = self.spec.neutral[0] if plugin.reads_neutral and self.spec.neutral else None
        if neutral is not None:
            needed = self.registry.create("evaluator", use.use, use.config).least_neutral()
            parts["neutral_texts"] = self._parts.held_out(neutral, needed)
        masked = self._to_mask(domains) if plugin.reads_masks else None
        if masked is not None:
            parts["masked_texts"] = self._parts.masked_texts(masked)
        problems = (part.problem for part in parts.values())
        problem = next((p for p in (problem, *problems) if p is not None), None)
        inputs: dict[str, JsonValue] = {
            **lineage,
            **{name: part.inputs for name, part in parts.items()},
            "step": step,
            "domains": self._domains[use.label],
            "items": self._items,
        }
        assert inputs.keys() - lineage.keys() <= OF_MEASURING, "harness verify must know them"
        key = self._keys.key(inputs)
        return MeasureTask(key, inputs, use, step, domains, source, neutral, masked, problem)

    def _to_mask(self, domains: tuple[str, ...]) -> MaskedTexts | None:
        masker = masker_of_words(self.spec, self.registry)
        if masker is None or not self.spec.corpus:
            return None
        return MaskedTexts(self.spec.corpus[0], masker, domains)


def _refs(tasks: list[MeasureTask]) -> tuple[MeasureRef, ...]:
    return tuple(
        MeasureRef(step=task.step, evaluator=task.evaluator.label, key=task.key) for task in tasks
    )
