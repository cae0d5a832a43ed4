"""The parts of a content key: what each of them contains, or why it cannot be known."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Hashable
from typing import NamedTuple

from pydantic import JsonValue

from harness.data.places import DataStore
from harness.errors import HarnessError, PluginCrashError
from harness.families import Family
from harness.planning.keys import PluginInputs
from harness.planning.passages import MaskedTexts, Source, Texts
from harness.planning.spec import FASTEST_GROWTH, PluginUse, Spec, StopAt
from harness.plugins import Registry


class Problem(str):
    """Why something cannot be done, in one line; with the trace where it is a plugin's fault."""

    trace: str | None = None

    @classmethod
    def of(cls, error: Exception) -> Problem:
        """Describe an error."""
        if isinstance(error, HarnessError):
            problem = cls(error)
            problem.trace = error.trace() if isinstance(error, PluginCrashError) else None
        else:
            problem = cls(" ".join(f"{type(error).__name__}: {error}".split()))
            problem.trace = "".join(traceback.format_exception(error))
        return problem


class Part(NamedTuple):
    """A part of a key.

    Attributes:
        inputs: what the key contains.
        problem: why the part cannot be known; None if it is known.
    """

    inputs: JsonValue
    problem: Problem | None = None


class KeyParts:
    """Computes the parts of the keys of a spec, each once.

    Args:
        spec: what is planned.
        registry: its plugins.
        data: where data is looked for.
        texts: reads passages.
    """

    def __init__(self, spec: Spec, registry: Registry, data: DataStore, texts: Texts) -> None:
        self._spec = spec
        self._texts = texts
        self._registry = registry
        self._inputs = PluginInputs(registry, data)
        self._parts: dict[Hashable, Part] = {}

    def pinned(self, model: PluginUse) -> PluginUse:
        """Return a model with its hub branch resolved to a commit."""
        return self._inputs.pinned(model)

    def plugin(self, family: Family, use: PluginUse, domain: str | None = None) -> Part:
        """Return the name, version, config and code of a plugin, and what it reads."""

        def of() -> JsonValue:
            return self._inputs.of(family, use, domain)

        return self._part((family, id(use), domain), {"name": use.use}, of)

    def source(self, source: Source) -> Part:
        """Return the passages that a fit learns from, with their corpus, domain and label."""
        known: dict[str, JsonValue] = {
            "corpus": {"name": source.corpus.use},
            "domain": source.domain,
            "label": source.label,
        }

        def of() -> JsonValue:
            return {**known, "passages": self._texts.hash_of(self._texts.unlearned(source))}

        return self._part(("source", *place_of(source)), known, of)

    def neutral(self, use: PluginUse, seed: int) -> Part:
        """Return the neutral texts that a fit learns from."""
        known: dict[str, JsonValue] = {"corpus": {"name": use.use}}

        def of() -> JsonValue:
            return {**known, "passages": self._texts.hash_of(self._texts.neutral(use, seed))}

        return self._part(("neutral", id(use), seed), known, of)

    def texts(self, source: Source, domains: tuple[str, ...]) -> Part:
        """Return the unlearned and the unseen passages that an evaluator reads."""

        def of() -> JsonValue:
            return {
                "unlearned": self._texts.hash_of(self._texts.unlearned(source)),
                "unseen": self._texts.hash_of(self._texts.unseen(source, domains)),
            }

        return self._part(("texts", *place_of(source), domains), {}, of)

    def held_out(self, use: PluginUse, needed: int) -> Part:
        """Return the held-out plain text on which a dose or a divergence is measured.

        Args:
            use: the corpus.
            needed: texts that are needed at least.
        """

        def of() -> JsonValue:
            return self._texts.hash_of(self._texts.held_out(use))

        part = self._part(("held out", id(use)), {}, of)
        if part.problem is not None or (found := len(self._texts.held_out(use))) >= needed:
            return part
        problem = Problem(
            f"corpus '{use.label}' has {found} held-out neutral texts, {needed} are needed; choose "
            "another 'neutral'"
        )
        return part._replace(problem=problem)

    def masked_texts(self, asked: MaskedTexts) -> Part:
        """Return the test passages that an evaluator reads, and what masks them."""
        seeded = self._registry.get("masker", asked.masker.use).plugin.seeded

        def of() -> JsonValue:
            return {
                domain: {
                    "passages": self._texts.hash_of(passages),
                    "masker": self._inputs.of("masker", asked.masker, domain),
                    "seed": self._texts.mask_seed if seeded else 0,
                }
                for domain, passages in self._texts.to_mask(asked).items()
            }

        name = ("masked texts", id(asked.corpus), id(asked.masker), asked.domains)
        return self._part(name, {}, of)

    def stop(self, stop_at: StopAt) -> Part:
        """Return the dose at which a fit stops, and what decides at which step it is reached."""
        texts = self.held_out(self._spec.neutral[0], stop_at.windows)

        def of() -> JsonValue:
            return {
                **stop_at.model_dump(mode="json"),
                "checked": list(self._spec.steps),
                "fastest_growth": FASTEST_GROWTH,
                "texts": texts.inputs,
            }

        part = self._part("stop", {}, of)
        return Part(part.inputs, texts.problem or part.problem)

    def _part(
        self, name: Hashable, known: dict[str, JsonValue], of: Callable[[], JsonValue]
    ) -> Part:
        """Compute a part once. An error becomes the problem of this part alone."""
        if name not in self._parts:
            try:
                self._parts[name] = Part(of())
            except Exception as error:  # third-party code may raise anything
                self._parts[name] = unknown(known, error)
        return self._parts[name]


def place_of(source: Source) -> tuple[Hashable, ...]:
    """Return what identifies a source in the dictionaries of a plan."""
    return id(source.corpus), *source[1:]


def unknown(known: dict[str, JsonValue], error: Exception) -> Part:
    """Return a part that cannot be known because of an error."""
    problem = Problem.of(error)
    return Part({**known, "problem": str(problem)}, problem)
