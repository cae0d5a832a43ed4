"""StereoSet, dev set, both tasks (Nadeem et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from harness.data.pins import Pin
from harness.data.tabular import parse_json, read_utf8
from harness.errors import DataError, ModelError
from harness.families import PinnedConfig, pinned_rows
from harness.lm.handle import LanguageModel, ModelKind
from harness.metrics import Item
from harness.quantities import LogProb, Probability
from harness.types import ItemsRequest
from harness_evaluators.categories import sampled
from harness_evaluators.scorers import DEFAULT, with_start
from harness_evaluators.triples import (
    NEUTRAL,
    Triple,
    TripleConfig,
    TripleEvaluator,
    neutral,
    triple_item,
)

DOMAINS = ("gender", "profession", "race", "religion")
LABELS = ("stereotype", "anti-stereotype", "unrelated")


Task = Literal["intrasentence", "intersentence"]
CONDITIONAL = "clm_conditional"
"""Scorer of `intersentence`: mean log-probability of a sentence's tokens given the context."""


def parse(path: Path, task: Task = "intrasentence") -> Iterator[tuple[str, ...]]:
    """Rows (id, bias_type, target, context, stereotype, anti-stereotype, unrelated) of a task."""
    try:
        for example in parse_json(read_utf8(path), str(path))["data"][task]:
            yield _row(example, path)
    except KeyError as error:
        raise DataError(f"{path}: not StereoSet's dev.json: {error} is missing") from None
    except (TypeError, AttributeError):
        raise DataError(
            f"{path}: not StereoSet's dev.json: a list, object or text has the wrong type"
        ) from None


def parse_intersentence(path: Path) -> Iterator[tuple[str, ...]]:
    """Parse the intersentence task, whose context is a sentence of its own."""
    return parse(path, "intersentence")


def _row(example: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    by_label = {s["gold_label"]: s["sentence"] for s in example["sentences"]}
    if sorted(by_label) != sorted(LABELS):
        raise DataError(f"{path}: example {example['id']} has labels {sorted(by_label)}")
    texts = [by_label[label] for label in LABELS]
    if any(not text.strip() for text in texts):
        raise DataError(f"{path}: example {example['id']} has an empty sentence")
    return (example["id"], example["bias_type"], example["target"], example["context"], *texts)


PIN = Pin(
    name="stereoset",
    filename="stereoset/dev.json",
    url="https://raw.githubusercontent.com/moinnadeem/StereoSet/"
    "ead7d086a64a192a1eca88e0dd2fd163de375218/data/dev.json",
    sha256=None,
    git_blob="637b1e3d284a3c629b74a4659c583b8eca9bd13e",
    items_sha256="493359c51c1150e8a66a378468e0fae2467669ddc65efcc87766e192aca99369",
    parse=parse,
    licence="CC-BY-SA-4.0",
    citation="Nadeem et al. 2021, StereoSet, ACL",
    defects="unrelated fillers are often ungrammatical; 2,379 stored sentences differ from the "
    "filled context in letter case (the stored sentence is scored)",
    n_items=2106,
)


PIN_INTERSENTENCE = replace(
    PIN,
    name="stereoset-intersentence",
    items_sha256="9f5dab32a7eb937d5b14bec97af0482d731163410530050ea34cbe4adb0abe67",
    parse=parse_intersentence,
    defects="",
    n_items=2123,
)

PINS: Mapping[Task, Pin] = {"intrasentence": PIN, "intersentence": PIN_INTERSENTENCE}


class StereoSetConfig(TripleConfig, PinnedConfig):
    """Which task and scorers, and where the data is."""

    task: Task = Field(
        "intrasentence",
        description="intrasentence: a word in a sentence; intersentence: a sentence after a "
        f"context, scored by {CONDITIONAL} (causal models only)",
    )
    overall: bool = Field(
        True,
        description="also measure all four domains together, as the paper's LM score does "
        "(scores the profession items whatever the targets are)",
    )


class StereoSet(TripleEvaluator[StereoSetConfig]):
    """Preference for stereotypes, and for meaningful over unrelated words."""

    name = "stereoset"
    summary = "StereoSet dev, either task: stereotype score, LM score, ICAT; four domains."
    reference = "Nadeem et al. 2021, https://aclanthology.org/2021.acl-long.416"
    pins = tuple(PINS.values())
    domains = frozenset(DOMAINS)

    def reads(self) -> Sequence[tuple[Pin, str | None]]:
        """Return the items of the task; see `Plugin.reads`."""
        return [(PINS[self.config.task], self.config.path)]

    @property
    def overall(self) -> bool:
        """Whether all four domains are also measured together."""
        return self.config.overall

    def triples(self, request: ItemsRequest) -> Mapping[str, Sequence[Triple]]:
        """Return the triples of each domain; see `TripleEvaluator.triples`."""
        return self._triples(request, request.domains)

    def scored(self, request: ItemsRequest) -> Mapping[str, Sequence[Triple]]:
        """Return the triples of all four domains if they are also measured together."""
        return self._triples(request, DOMAINS if self.config.overall else request.domains)

    def resolve(self, scorer: str, kind: ModelKind) -> str:
        """Return the name of a scorer of the task.

        Raises:
            ModelError: it is not for the task, or not for this kind of model.
        """
        if self.config.task == "intrasentence":
            return super().resolve(scorer, kind)
        if scorer not in (DEFAULT, CONDITIONAL) or kind != "causal":
            raise ModelError(
                f"intersentence StereoSet is scored by '{CONDITIONAL}' on causal models, not by "
                f"'{scorer}' on a {kind} one"
            )
        return CONDITIONAL

    def protocol(self, scorer: str, model: LanguageModel) -> str:
        """Return the name of the protocol that a scorer follows on a model."""
        if scorer == CONDITIONAL:
            return with_start(scorer, model)
        return super().protocol(scorer, model)

    def score_quantity(self, protocol: str) -> LogProb | Probability:
        """Return what the scores of a protocol are."""
        if protocol.startswith(CONDITIONAL):
            return LogProb(per="token")
        return super().score_quantity(protocol)

    def score(self, model: LanguageModel, triples: Sequence[Triple], scorer: str) -> list[Item]:
        """Score triples with a scorer of the task."""
        if scorer == CONDITIONAL:
            return conditional_items(model, triples, neutrals=self.config.neutrals)
        return super().score(model, triples, scorer)

    def _triples(
        self, request: ItemsRequest, domains: Sequence[str]
    ) -> Mapping[str, Sequence[Triple]]:
        rows = pinned_rows(PINS[self.config.task], self.config, request.data)
        by_domain = {
            domain: [_triple(row) for row in rows if row[1] == domain] for domain in domains
        }
        return sampled(self, by_domain, request, lambda triple: triple.id)


def conditional_items(
    model: LanguageModel, triples: Sequence[Triple], *, neutrals: bool
) -> list[Item]:
    """Score the sentences of triples after their context, with a causal model.

    Args:
        model: which model.
        triples: their contexts are sentences of their own.
        neutrals: also score the related sentences with the target replaced in the context, and in
            the sentence where it has the target. A context without its target has no such scores.
    """
    places: list[tuple[int, str]] = []
    contexts: list[str] = []
    sentences: list[str] = []
    for k, triple in enumerate(triples):
        wanted = {name: (triple.context, text) for name, text in triple.texts().items()}
        context = neutral(triple.context, triple.term) if neutrals else None
        if context is not None:
            related = (triple.stereotype, triple.antistereotype)
            for name, text in zip(NEUTRAL, related, strict=True):
                wanted[name] = context, neutral(text, triple.term) or text
        for name, (front, text) in wanted.items():
            places.append((k, name))
            contexts.append(f"{front} ")
            sentences.append(text)
    scores: list[dict[str, float]] = [{} for _ in triples]
    tokens = model.continuation_scores(contexts, sentences)
    for (k, name), of_text in zip(places, tokens, strict=True):
        scores[k][name] = float(of_text.logprobs.mean())
    return [
        triple_item(triple, of_triple) for triple, of_triple in zip(triples, scores, strict=True)
    ]


def _triple(row: tuple[str, ...]) -> Triple:
    identifier, domain, term, context, stereotype, anti, unrelated = row
    return Triple(f"stereoset/{identifier}", domain, term, context, stereotype, anti, unrelated)
