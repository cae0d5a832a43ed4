"""Preparing the inputs of a unit: passages, masks, neutral text."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator

from harness.boundary import mask_passages
from harness.data.places import DataStore
from harness.errors import DebiasError
from harness.planning.passages import MaskedTexts, Source, Texts
from harness.planning.plan import Fit
from harness.planning.spec import PluginUse
from harness.plugins import Registry
from harness.running.reporting import Reporter
from harness.running.spending import Spending
from harness.running.units import Inputs, Unit
from harness.storage.masks import StoredMasks
from harness.types import MaskedPassage, MaskRequest, Passage


class Preparer:
    """Chooses and masks the texts of units."""

    def __init__(
        self, registry: Registry, data: DataStore, texts: Texts, reporter: Reporter
    ) -> None:
        self._registry = registry
        self._data = data.knowing(registry.domains)
        self._texts = texts
        self._reporter = reporter
        self._masked: dict[Hashable, tuple[MaskedPassage, ...]] = {}
        self.spending = Spending()
        """What the maskers used of services so far."""

    def prepare(self, unit: Unit, masks: StoredMasks | None = None) -> Inputs:
        """Read and mask; services may be asked.

        Args:
            unit: what is prepared.
            masks: use these instead of asking the masker.

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
            masked = self.masks(fit) if masks is None else self._stored(fit, masks)
            if fit.source is not None and plugin.inputs & {"masks", "passages"}:
                passages = self._texts.unlearned(fit.source)
            if fit.neutral is not None:
                neutral = self._texts.neutral(fit.neutral, fit.seed)
        return Inputs(
            passages=passages,
            masked=masked,
            neutral=neutral,
            held_out=self._held_out(unit),
            texts=dict(self._read(unit)),
            masked_texts={
                task.key: self.masked_texts(task.masked)
                for task in unit.tasks
                if task.masked is not None and task.problem is None
            },
            seconds=time.perf_counter() - started,
        )

    def _held_out(self, unit: Unit) -> tuple[Passage, ...]:
        """Plain text for the dose of the fit, or for evaluators that read it."""
        if unit.fit is not None and unit.fit.stop_texts is not None:
            return self._texts.held_out(unit.fit.stop_texts)
        corpora = (task.neutral for task in unit.tasks if task.problem is None)
        corpus = next((corpus for corpus in corpora if corpus is not None), None)
        return () if corpus is None else self._texts.held_out(corpus)

    def _read(
        self, unit: Unit
    ) -> Iterator[tuple[str, tuple[tuple[Passage, ...], tuple[Passage, ...]]]]:
        for task in unit.tasks:
            if task.source is not None and task.problem is None:
                unseen = self._texts.unseen(task.source, task.domains)
                yield task.key, (self._texts.unlearned(task.source), unseen)

    def masked_texts(self, asked: MaskedTexts) -> tuple[MaskedPassage, ...]:
        """Mask test passages of target domains, once for all units.

        Raises:
            HarnessError: there is nothing to read, or the masker fails.
        """
        name = (asked.corpus.label, asked.masker.label, asked.domains)
        if name not in self._masked:
            self._reporter.phase(f"{asked.masker.label}: masking test passages")
            entry = self._registry.get("masker", asked.masker.use)
            masker = self._registry.create("masker", asked.masker.use, asked.masker.config)
            self._masked[name] = tuple(
                answer
                for request in self.test_requests(asked)
                for answer in mask_passages(entry, masker, request)
            )
        return self._masked[name]

    def test_requests(self, asked: MaskedTexts) -> Iterator[MaskRequest]:
        """Yield what the masker of test passages is asked, by domain."""
        for domain, passages in self._texts.to_mask(asked).items():
            yield MaskRequest(
                passages=passages,
                domain=domain,
                seed=self._texts.mask_seed,
                data=self._data,
                progress=self._reporter.progress,
                account=self.spending.account(asked.masker.label),
            )

    def _stored(self, fit: Fit, masks: StoredMasks) -> tuple[MaskedPassage, ...]:
        return () if fit.source is None else masks.apply(self._texts.unlearned(fit.source))

    def mask_request(self, masker: PluginUse, source: Source, seed: int) -> MaskRequest:
        """Return what the masker of a fit is asked."""
        return MaskRequest(
            passages=self._texts.unlearned(source),
            domain=source.domain,
            seed=seed,
            data=self._data,
            progress=self._reporter.progress,
            account=self.spending.account(masker.label),
        )

    def masks(self, fit: Fit) -> tuple[MaskedPassage, ...]:
        """Ask the masker of a fit; empty if it needs no masks.

        Raises:
            HarnessError: the masker fails, or masks nothing.
        """
        if fit.masker is None or fit.source is None:
            return ()
        masker = self._registry.create("masker", fit.masker.use, fit.masker.config)
        request = self.mask_request(fit.masker, fit.source, fit.seed)
        masked = mask_passages(self._registry.get("masker", fit.masker.use), masker, request)
        if not any(answer.spans for answer in masked):
            raise DebiasError(
                f"masker '{fit.masker.label}' masked nothing in the {len(masked)} passages of "
                f"'{fit.source.domain}'; look at them with `harness mask`"
            )
        return masked
