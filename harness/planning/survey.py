"""What a plan amounts to before it runs: passages, work, calls and cost, data and licences."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from harness.boundary import guarded
from harness.data.pins import Pin
from harness.data.places import DataStore
from harness.errors import HarnessError
from harness.families import Family, Plugin
from harness.planning.passages import Texts
from harness.planning.plan import Fit, MeasureTask, Plan
from harness.planning.run_time import estimated_seconds
from harness.planning.spec import PluginUse
from harness.plugins import Registered, Registry
from harness.storage.store import Store
from harness.types import MaskEstimate, MaskRequest, Passage, no_progress

TOKENS_PER_WORD = 1.35
"""English subword tokens a word, roughly; a plan loads no tokenizer."""


class Work(NamedTuple):
    """Measure tasks of one evaluator."""

    evaluator: str
    total: int
    there: int


class SourceSize(NamedTuple):
    """Passages that one source offers to be unlearned."""

    corpus: str
    domain: str
    label: str
    passages: int
    words: int

    @property
    def tokens(self) -> int:
        """Estimated subword tokens."""
        return round(self.words * TOKENS_PER_WORD)


class MaskingCost(NamedTuple):
    """What a masker would ask of a service, over all sources and test passages."""

    masker: str
    estimate: MaskEstimate


class DataUse(NamedTuple):
    """A pinned data set and where it was found; None: it would have to be fetched."""

    pin: Pin
    path: Path | None


class ModelTerms(NamedTuple):
    """A model and the terms under which it may be used."""

    model: str
    terms: str


@dataclass(frozen=True)
class Survey:
    """Everything that `harness plan` shows."""

    work: tuple[Work, ...]
    fits: int
    fits_there: int
    sources: tuple[SourceSize, ...]
    masking: tuple[MaskingCost, ...]
    data: tuple[DataUse, ...]
    terms: tuple[ModelTerms, ...]
    problems: tuple[str, ...]
    """What cannot be done, and what is missing on this machine; one line each."""
    seconds: float | None = None
    """Estimated time of what is to do, on one worker; None: no stored result tells."""


def survey(
    plan: Plan, registry: Registry, data: DataStore, texts: Texts, store: Store | None
) -> Survey:
    """Look at a plan without loading a model or calling a service."""
    tasks = plan.tasks()
    there = {key for key in tasks if store is not None and store.has_record(key)}
    work = []
    for use in plan.spec.evaluators:
        of_use = [task for task in tasks.values() if task.evaluator.label == use.label]
        work.append(Work(use.label, len(of_use), sum(task.key in there for task in of_use)))
    fits = [fit for model in plan.models for fit in model.fits]
    masking = tuple(_masking(fits, tasks.values(), registry, data, texts))
    return Survey(
        work=tuple(work),
        fits=len(fits),
        fits_there=sum(all(task.key in there for task in fit.tasks) for fit in fits),
        sources=tuple(_sources(fits, texts)),
        masking=masking,
        data=tuple(_data_uses(plan, registry, data)),
        terms=tuple(_terms(plan, registry)),
        problems=(*_problems(plan), *_obstacles(plan, registry, masking)),
        seconds=_seconds(plan, set(tasks) - there, store),
    )


def _terms(plan: Plan, registry: Registry) -> Iterator[ModelTerms]:
    for use in plan.spec.model:
        terms = registry.get("model", use.use).plugin.terms
        if terms is not None:
            yield ModelTerms(use.label, terms)


def _sources(fits: list[Fit], texts: Texts) -> Iterator[SourceSize]:
    seen = set()
    for fit in fits:
        source = fit.source
        if source is None:
            continue
        key = (source.corpus.label, source.domain, source.label)
        if key in seen:
            continue
        seen.add(key)
        try:
            passages: tuple[Passage, ...] = texts.unlearned(source)
        except HarnessError:
            passages = ()  # listed among the problems
        words = sum(len(passage.text.split()) for passage in passages)
        yield SourceSize(*key, len(passages), words)


def _masking(
    fits: list[Fit], tasks: Iterable[MeasureTask], registry: Registry, data: DataStore, texts: Texts
) -> Iterator[MaskingCost]:
    totals: dict[str, MaskEstimate] = {}
    seen: set[Hashable] = set()
    for fit in fits:
        if fit.masker is None or fit.source is None or fit.problem is not None:
            continue
        key = (fit.masker.label, fit.source.corpus.label, *fit.source[1:])
        if key not in seen:
            seen.add(key)
            passages = texts.unlearned(fit.source)
            cost = _estimate(fit.masker, passages, fit.source.domain, fit.seed, registry, data)
            totals[fit.masker.label] = _add(totals.get(fit.masker.label, MaskEstimate()), cost)
    for task in tasks:
        asked = task.masked
        if asked is None or task.problem is not None:
            continue
        for domain, passages in texts.to_mask(asked).items():
            name = (asked.masker.label, asked.corpus.label, domain)
            if name not in seen:
                seen.add(name)
                cost = _estimate(asked.masker, passages, domain, texts.mask_seed, registry, data)
                totals[asked.masker.label] = _add(
                    totals.get(asked.masker.label, MaskEstimate()), cost
                )
    for label, estimate in totals.items():
        yield MaskingCost(label, estimate)


def _estimate(
    use: PluginUse,
    passages: tuple[Passage, ...],
    domain: str,
    seed: int,
    registry: Registry,
    data: DataStore,
) -> MaskEstimate:
    request = MaskRequest(
        passages=passages, domain=domain, seed=seed, data=data, progress=no_progress
    )
    with guarded(registry.get("masker", use.use), "estimate"):
        return registry.create("masker", use.use, use.config).estimate(request)


def _add(one: MaskEstimate, other: MaskEstimate) -> MaskEstimate:
    priced = one.cost is not None and other.cost is not None
    return MaskEstimate(
        calls=one.calls + other.calls,
        tokens_in=one.tokens_in + other.tokens_in,
        tokens_out=one.tokens_out + other.tokens_out,
        cost=(one.cost or 0.0) + (other.cost or 0.0) if priced else None,
    )


def _data_uses(plan: Plan, registry: Registry, data: DataStore) -> Iterator[DataUse]:
    seen = set()
    for entry, plugin in _plugins(plan, registry):
        with guarded(entry, "reads"):
            pins = list(plugin.reads())
        for pin, override in pins:
            if pin.name in seen:
                continue
            seen.add(pin.name)
            try:
                path: Path | None = DataStore(data.data_dir, data.cache_dir, offline=True).locate(
                    pin, override
                )
            except HarnessError:
                path = None
            yield DataUse(pin, path)


def _plugins(plan: Plan, registry: Registry) -> Iterator[tuple[Registered, Plugin[Any]]]:
    spec = plan.spec
    families: list[tuple[Family, str]] = [
        ("corpus", "corpus"),
        ("corpus", "neutral"),
        ("masker", "masker"),
        ("debiaser", "debiaser"),
        ("evaluator", "evaluators"),
    ]
    for family, key in families:
        for use in getattr(spec, key):
            yield registry.get(family, use.use), registry.create(family, use.use, use.config)


def _problems(plan: Plan) -> Iterator[str]:
    seen = set()
    for model in plan.models:
        problems = [model.problem, *(task.problem for task in model.tasks())]
        for problem in problems:
            if problem is not None and problem not in seen:
                seen.add(problem)
                yield problem


def _obstacles(plan: Plan, registry: Registry, masking: tuple[MaskingCost, ...]) -> Iterator[str]:
    """What this machine lacks for the plan: a device, a package, a key."""
    if (problem := _device_problem(plan.spec.device)) is not None:
        yield problem
    asking = {cost.masker for cost in masking if cost.estimate.calls}
    for use in plan.spec.masker:
        if use.label in asking:
            yield from _obstacles_of("masker", use, registry)
    others: list[tuple[Family, tuple[PluginUse, ...]]] = [
        ("model", plan.spec.model),
        ("debiaser", plan.spec.debiaser),
        ("evaluator", plan.spec.evaluators),
    ]
    for family, uses in others:
        for use in uses:
            yield from _obstacles_of(family, use, registry)


def _obstacles_of(family: Family, use: PluginUse, registry: Registry) -> list[str]:
    with guarded(registry.get(family, use.use), "obstacles"):
        lines = list(registry.create(family, use.use, use.config).obstacles())
    return [f"{family} '{use.label}': {line}" for line in lines]


def _device_problem(device: str) -> str | None:
    """Why a device cannot be used. The usual ones are not tried: torch is slow to import."""
    if device in ("cpu", "auto"):
        return None
    import torch

    try:
        chosen = torch.device(device)
    except RuntimeError:
        return f"unknown device '{device}'; use cpu, cuda, cuda:1, … or auto"
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        return f"device '{device}': this machine has {torch.cuda.device_count()} CUDA devices"
    return None


def _seconds(plan: Plan, missing: set[str], store: Store | None) -> float | None:
    return None if store is None else estimated_seconds(plan, missing, store)
