"""Redoing parts of a stored run: its base models, fits and evaluators. Nothing is written to it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from harness.boundary import guarded, list_items, measure, remember
from harness.data.places import DataStore
from harness.data.sampling import nested_sample
from harness.errors import DebiasError, StoreError, did_you_mean, first_problem
from harness.families import Evaluator
from harness.lm.handle import LanguageModel
from harness.planning.plan import Fit, MeasureTask, Plan
from harness.planning.spec import PluginUse, Spec, stored_limits
from harness.plugins import Registered, Registry
from harness.replay.input_changes import input_changes
from harness.running.experiment import Experiment
from harness.running.preparing import Preparer
from harness.running.reporting import Reporter
from harness.running.units import Unit
from harness.running.worker import Worker
from harness.storage.cells import Cell
from harness.storage.masks import StoredMasks
from harness.storage.records import RunIndex
from harness.storage.store import Store
from harness.types import (
    EvaluationRequest,
    ItemsRequest,
    ItemTexts,
    MaskedPassage,
    MaskRequest,
    Measurement,
    Passage,
)

Text = TypeVar("Text", Passage, MaskedPassage)


class Rerun:
    """A stored run whose spec is planned again with the current code, data and plugins.

    These may differ from those of the run: `changes` lists how.

    Args:
        store: the run.
        registry: the plugins.
        data: where data is looked for.
        reporter: is told what is being done.
        device: where models are put; None: where the run had them.
        server: the only service that a masker may ask; None: none is asked.

    Raises:
        StoreError: the index or the spec in it cannot be read.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        data: DataStore,
        reporter: Reporter,
        *,
        device: str | None = None,
        server: str | None = None,
    ) -> None:
        self.store = store
        self._server = server
        self.index: RunIndex = store.index()
        self.spec = stored_spec(store, self.index, device)
        self._experiment = Experiment(self.spec, registry=registry, data=data)
        self._registry = registry
        self._data = self._experiment.data
        self._reporter = reporter

    # -- what was measured -------------------------------------------------------------------

    def measured(self, cell: Cell, step: int) -> Iterator[tuple[str, MeasureTask]]:
        """Yield the key of each record of a cell at a step, with the task that gives it now."""
        planned = {(ref.step, ref.evaluator): ref.key for ref in self._planned_cell(cell).measures}
        for ref in cell.measures:
            if ref.step == step and self.store.has_record(ref.key):
                yield ref.key, self._plan.tasks()[planned[ref.step, ref.evaluator]]

    def base_measured(self, model: str) -> dict[str, MeasureTask]:
        """Return the records of a base model by key, each with the task that gives it now."""
        cells = [cell for cell in self.index.cells if cell.model == model]
        return {key: task for cell in cells for key, task in self.measured(cell, 0)}

    def changes(self, key: str, task: MeasureTask) -> list[str]:
        """List the inputs of a record that differ now, as ``path: before, now after``."""
        record = self.store.record(key, items=False)
        return [] if record is None else list(input_changes(record.inputs, task.inputs))

    # -- models ------------------------------------------------------------------------------

    def kept(self, cell: Cell, step: int) -> Path | None:
        """Return the folder of a checkpoint that the run kept; None if it kept none."""
        return None if cell.fit_key is None else self.store.checkpoints.find(cell.fit_key, step)

    def base(self, model: str, dtype: str | None = None) -> LanguageModel:
        """Load a base model.

        Args:
            model: its label in the spec.
            dtype: instead of the run's.

        Raises:
            ModelError: it is missing or cannot be loaded.
        """
        return self._worker(dtype).load(self._use(model))

    def refit(self, cell: Cell, step: int) -> tuple[LanguageModel, str | None]:
        """Fit a cell again up to a step, as the run did.

        Returns:
            The debiased model, and the hash of the base model's weights.

        Raises:
            HarnessError: data or model is missing, or the fit fails.
        """
        fit = self._fit(cell)
        if fit.problem is not None:
            raise DebiasError(fit.problem)
        unit = Unit(self._use(cell.model), fit, ())
        masks = self._stored_masks(cell)
        if masks is None and fit.masker is not None and fit.source is not None:
            request = self._preparer.mask_request(fit.masker, fit.source, fit.seed)
            self._refuse_unnamed_server(fit.masker, [request])
        inputs = self._preparer.prepare(unit, masks)
        checkpoint, before = self._worker().checkpoint(unit, inputs, step)
        return checkpoint.model, before

    def _stored_masks(self, cell: Cell) -> StoredMasks | None:
        """Read the masks that a cell was fitted with; None if the run did not store them."""
        for ref in cell.measures:
            if ref.step > 0 and (record := self.store.record(ref.key, items=False)) is not None:
                return None if record.masks is None else self.store.masks(record.masks)
        return None

    def _refuse_unnamed_server(self, use: PluginUse, requests: Iterable[MaskRequest]) -> None:
        """Refuse to send passages, and with them a key, to a server that only the run names."""
        entry = self._registry.get("masker", use.use)
        masker = self._registry.create("masker", use.use, use.config)
        with guarded(entry, "server"):
            server = masker.server()
        if server is None or server.rstrip("/") == (self._server or "").rstrip("/"):
            return
        with guarded(entry, "estimate"):
            calls = sum(masker.estimate(request).calls for request in requests)
        if calls:
            raise StoreError(
                f"this run did not store its masks, and masker '{use.label}' would ask "
                f"{server} about {calls} passages; if you trust that server, add --server {server}"
            )

    def open(self, folder: Path, cell: Cell, dtype: str | None = None) -> LanguageModel:
        """Load a saved checkpoint of a cell.

        Raises:
            ModelError: it cannot be read.
        """
        from harness.lm.saving.checkpoint import open_saved

        return open_saved(
            folder,
            lambda: self.base(cell.model, dtype),
            dtype=dtype or self.spec.dtype,
            device=self.spec.device,
            name=cell.model,
        )

    def debiased(
        self, cell: Cell, step: int, *, dtype: str | None = None, refit: bool = False
    ) -> LanguageModel:
        """Return the model of a cell: its kept checkpoint, or fitted again if that is allowed.

        Args:
            cell: of the index.
            step: one it has.
            dtype: of the weights when they are scored; the fit uses the run's.
            refit: fit again if no checkpoint was kept.

        Raises:
            StoreError: none was kept, and ``refit`` is False.
            HarnessError: it cannot be read or fitted.
        """
        from harness.lm.saving.checkpoint import save_checkpoint

        kept = self.kept(cell, step)
        if kept is not None:
            return self.open(kept, cell, dtype)
        if not refit:
            raise StoreError(
                f"{cell.title()}: the run kept no checkpoint of step {step}; --refit fits it "
                "again, `keep_checkpoints: true` in a spec keeps them"
            )
        model, before = self.refit(cell, step)
        if dtype in (None, self.spec.dtype):
            return model
        with tempfile.TemporaryDirectory() as scratch:
            save_checkpoint(model, Path(scratch) / "fitted", before)
            return self.open(Path(scratch) / "fitted", cell, dtype)

    # -- measuring ---------------------------------------------------------------------------

    def measure(
        self,
        task: MeasureTask,
        model: LanguageModel,
        sample: int | None = None,
        remembered: Mapping[str, object] | None = None,
    ) -> tuple[Measurement, ...]:
        """Ask an evaluator as the run did, or for a sample of its items.

        Args:
            task: what is measured.
            model: on which model.
            sample: about so many items a domain are wanted.
            remembered: what evaluators know of the base model, by label; see `remembered`.

        Raises:
            HarnessError: its data is missing, or the evaluator fails.
        """
        if task.problem is not None:
            raise DebiasError(task.problem)
        self._reporter.phase(f"{model.name} / {task.evaluator.label}")
        entry, evaluator = self._evaluator(task)
        known = (remembered or {}).get(task.evaluator.label)
        return measure(entry, evaluator, self._request(task, model, sample, known))

    def remembered(
        self,
        tasks: Iterable[MeasureTask],
        base: Callable[[], LanguageModel],
        sample: int | None = None,
    ) -> dict[str, object]:
        """Return what evaluators know of the base model when they measure a debiased one, by label.

        Args:
            tasks: what will be measured.
            base: gives the base model; not called where no evaluator asks about it.
            sample: as it will be given to `measure`.

        Raises:
            HarnessError: the model or data is missing, or an evaluator fails.
        """
        known: dict[str, object] = {}
        model: LanguageModel | None = None
        for task in tasks:
            entry, evaluator = self._evaluator(task)
            asks = type(evaluator).remember is not Evaluator.remember
            if not asks or task.problem is not None or task.evaluator.label in known:
                continue
            model = base() if model is None else model
            request = self._request(task, model, sample)
            known[task.evaluator.label] = remember(entry, evaluator, request)
        return known

    def listed(self, task: MeasureTask, sample: int | None = None) -> tuple[ItemTexts, ...]:
        """List the items that `measure` scores, with their texts.

        Raises:
            HarnessError: the evaluator's data is missing.
        """
        entry, evaluator = self._evaluator(task)
        return list_items(entry, evaluator, self._asked(task, sample))

    def _evaluator(self, task: MeasureTask) -> tuple[Registered, Evaluator[Any]]:
        name = task.evaluator.use
        evaluator = self._registry.create("evaluator", name, task.evaluator.config)
        return self._registry.get("evaluator", name), evaluator

    def _request(
        self,
        task: MeasureTask,
        model: LanguageModel,
        sample: int | None,
        remembered: object = None,
    ) -> EvaluationRequest:
        asked = self._asked(task, sample)
        neutral = () if task.neutral is None else self._experiment.texts.held_out(task.neutral)
        return EvaluationRequest(
            **dict(asked),
            model=model,
            sample=sample,
            neutral=neutral,
            remembered=remembered,
            progress=self._reporter.progress,
        )

    def _asked(self, task: MeasureTask, sample: int | None) -> ItemsRequest:
        limits = self.spec.limits
        if task.masked is not None and task.problem is None:
            requests = self._preparer.test_requests(task.masked)
            self._refuse_unnamed_server(task.masked.masker, requests)
        unit = Unit(self.spec.model[0], None, (task,))
        inputs = self._preparer.prepare(unit)
        unlearned, unseen = inputs.texts.get(task.key, ((), ()))
        masked = inputs.masked_texts.get(task.key, ())
        known = [n for n in (limits.items, sample) if n is not None]
        return ItemsRequest(
            domains=task.domains,
            limit=min(known, default=None),
            seed=limits.item_seed,
            unlearned=_some(unlearned, sample, limits.sample_seed),
            unseen=_some(unseen, sample, limits.sample_seed),
            masked=_some(masked, sample, limits.sample_seed),
            data=self._data,
        )

    # -- the plan ----------------------------------------------------------------------------

    @cached_property
    def _plan(self) -> Plan:
        self._reporter.phase("planning")
        return self._experiment.plan()

    @cached_property
    def _preparer(self) -> Preparer:
        return Preparer(self._registry, self._data, self._experiment.texts, self._reporter)

    def _worker(self, dtype: str | None = None) -> Worker:
        spec = self.spec if dtype is None else self.spec.model_copy(update={"dtype": dtype})
        return Worker(self._registry, self._data, spec, self._reporter)

    def _use(self, model: str) -> PluginUse:
        for planned in self._plan.models:
            if planned.model.label == model:
                return planned.model
        known = [use.label for use in self.spec.model]
        raise StoreError(f"this run has no model '{model}'{did_you_mean(model, known)}")

    def _planned_cell(self, cell: Cell) -> Cell:
        """Return the cell of the plan with the identity of a stored one."""
        for planned in self._plan.index.cells:
            if planned.identity == cell.identity:
                return planned
        raise StoreError(
            f"{cell.title()}: the spec of this run no longer gives this cell; a plugin has "
            "changed what it learns from: run the spec again"
        )

    def _fit(self, cell: Cell) -> Fit:
        key = self._planned_cell(cell).fit_key
        for model in self._plan.models:
            for fit in model.fits:
                if fit.key == key and model.model.label == cell.model:
                    return fit
        raise StoreError(f"{cell.title()}: nothing is fitted for this cell")


def stored_spec(store: Store, index: RunIndex, device: str | None = None) -> Spec:
    """Return the spec of a stored run.

    Args:
        store: the run.
        index: of the run.
        device: where models are put; None: where the run had them.

    Raises:
        StoreError: this version cannot read it.
    """
    raw = {**index.spec, "limits": stored_limits(index.spec.get("limits"))}
    try:
        spec = Spec.model_validate(raw)
    except ValidationError as error:
        raise StoreError(
            f"{store.folder}: the spec of this run cannot be read by this version: "
            f"{first_problem(error)}; run the spec again"
        ) from None
    return spec if device is None else spec.model_copy(update={"device": device})


def _some(texts: Iterable[Text], sample: int | None, seed: int) -> tuple[Text, ...]:
    """Take a nested sample of the texts of each domain and label."""
    groups: dict[tuple[str, str], list[Text]] = {}
    for text in texts:
        passage = _passage(text)
        groups.setdefault((passage.domain, passage.label), []).append(text)
    return tuple(
        text
        for group in groups.values()
        for text in nested_sample(group, sample, seed, lambda t: _passage(t).id)
    )


def _passage(text: Passage | MaskedPassage) -> Passage:
    return text if isinstance(text, Passage) else text.passage
