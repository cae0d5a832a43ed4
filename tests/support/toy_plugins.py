"""Small plugins for tests of the core: no torch, instant, each with a fault that can be set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from harness_corpora.domains import BUILT_IN
from pydantic import Field

from harness.data.domains import Domain
from harness.errors import DebiasError
from harness.families import Corpus, Debiaser, Evaluator, Masker, Model, PluginConfig
from harness.hookspecs import hookimpl
from harness.lm.handle import LanguageModel, TokenScores
from harness.metrics import TOWARDS_50, Item, Metric
from harness.plugins import Origin, Registry, build_registry
from harness.types import (
    Checkpoint,
    DebiasRequest,
    EvaluationRequest,
    LoadRequest,
    MaskedPassage,
    MaskRequest,
    Measurement,
    Passage,
    PassageRequest,
    Span,
)


class ToyModel(LanguageModel):
    """A 'model' of one number: every token's log-probability."""

    def __init__(self, level: float = -1.0) -> None:
        self.kind = "causal"
        self.name = "toy"
        self.level = level
        self.max_tokens = 64
        self.tokens_scored = 0
        self.scored_texts = 0

    def token_scores(self, texts: Sequence[str], *, start: bool | int = False) -> list[TokenScores]:
        scores = []
        for text in texts:
            ids = np.array(self.encode(text))
            self.tokens_scored += len(ids)
            self.scored_texts += 1
            scores.append(TokenScores(ids, np.full(len(ids), self.level)))
        return scores

    def window_scores(self, windows: Sequence[Sequence[int]]) -> list[np.ndarray]:
        return [np.full(len(window), self.level) for window in windows]

    def masked_scores(self, ids: Sequence[int], positions: Sequence[int]) -> np.ndarray:
        return np.full(len(positions), self.level)

    def hidden_states(
        self, texts: Sequence[str], *, layer: int = -1, special: bool = False
    ) -> list[np.ndarray]:
        return [np.zeros((len(self.encode(text)), 2)) for text in texts]

    def generate(self, prompts: Sequence[str], *, max_new_tokens: int = 20) -> list[str]:
        return ["" for _ in prompts]

    def encode(self, text: str) -> list[int]:
        return [len(word) for word in text.split()]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        raise NotImplementedError

    @property
    def start_id(self) -> int:
        return 0

    def training_logits(self, rows: Any, index: Any, position: Any) -> Any:
        raise NotImplementedError

    def masked_input(self, ids: Any, positions: Any) -> Any:
        raise NotImplementedError

    def copy(self) -> ToyModel:
        return ToyModel(self.level)

    def forget_scores(self) -> None:
        pass


class ToyModelPlugin(Model["ToyModelPlugin.Config"]):
    """Loads a ToyModel; counts how often."""

    name = "toy"
    summary = "A model of one number."
    reference = "tests"
    loads: ClassVar[list[str]] = []

    class Config(PluginConfig):
        """Where the number starts."""

        level: float = Field(-1.0, description="log-probability of every token")

    def load(self, request: LoadRequest) -> LanguageModel:
        self.loads.append(request.device)
        return ToyModel(self.config.level)


class ToyCorpus(Corpus["ToyCorpus.Config"]):
    """Ten passages a domain and split."""

    name = "toy-corpus"
    summary = "Ten made-up passages a domain."
    reference = "tests"
    domains = frozenset({"gender", "race"})

    class Config(PluginConfig):
        """A domain may be empty."""

        empty: str | None = Field(None, description="domain for which there is nothing")

    def passages(self, request: PassageRequest) -> Sequence[Passage]:
        if request.domain == self.config.empty:
            return []
        return [
            Passage(
                id=f"{request.domain}-{request.split}-{i}",
                text=f"people of {request.domain} number {i}",
                domain=request.domain,
                label=request.label,
                split=request.split,
            )
            for i in range(10)
        ][: request.limit]


class ToyMasker(Masker["ToyMasker.Config"]):
    """Masks the first word, or nothing."""

    name = "toy-masker"
    summary = "Masks the first word."
    reference = "tests"

    class Config(PluginConfig):
        """Whether to mask at all."""

        nothing: bool = Field(False, description="mask no word")

    def mask(self, request: MaskRequest) -> Sequence[MaskedPassage]:
        span = Span(start=0, end=6, kind="first", reason="it is the first")
        spans = () if self.config.nothing else (span,)
        return [MaskedPassage(passage=passage, spans=spans) for passage in request.passages]


class ToyDebiaser(Debiaser["ToyDebiaser.Config"]):
    """Lowers the model's number by a rate a step; may fail on purpose."""

    name = "toy-debiaser"
    summary = "Lowers the level."
    reference = "tests"
    fits: ClassVar[list[str]] = []
    interrupt_at: ClassVar[int | None] = None
    """Step at which Ctrl-C comes; not in the config, so that keys stay the same."""

    class Config(PluginConfig):
        """How fast, and where it breaks."""

        rate: float = Field(0.01, description="nats a step")
        diverge_at: int | None = Field(None, description="step at which it reports divergence")
        crash_at: int | None = Field(None, description="step at which it has a bug")
        nan_at: int | None = Field(None, description="step from which scores are nan")

    def debias(self, request: DebiasRequest) -> Iterator[Checkpoint]:
        self.fits.append(request.domain)
        model = request.model
        assert isinstance(model, ToyModel)
        start = model.level
        for step in request.steps:
            if step == self.config.diverge_at:
                raise DebiasError(f"diverged at step {step}")
            if step == self.config.crash_at:
                raise RuntimeError("a bug in the plugin")
            if step == self.interrupt_at:
                raise KeyboardInterrupt
            model.level = start - self.config.rate * step
            if self.config.nan_at is not None and step >= self.config.nan_at:
                model.level = float("nan")
            yield Checkpoint(step, model, {"level": model.level})


class ToyIdentity(Debiaser[PluginConfig]):
    """Does nothing."""

    name = "toy-identity"
    summary = "Does nothing."
    reference = "tests"
    inputs = frozenset()
    stepwise = False
    seeded = False
    control = "identity"

    def debias(self, request: DebiasRequest) -> Iterator[Checkpoint]:
        for step in request.steps:
            yield Checkpoint(step, request.model, {})


class ToyEvaluator(Evaluator["ToyEvaluator.Config"]):
    """Two items a domain: prefers the stereotype while the level is above -1.25."""

    name = "toy-evaluator"
    summary = "Two items a domain."
    reference = "tests"
    domains = frozenset({"gender", "race", "religion"})

    class Config(PluginConfig):
        """A switch that changes the key."""

        version: int = Field(1, description="anything")

    def evaluate(self, request: EvaluationRequest) -> Sequence[Measurement]:
        answers = []
        for domain in request.domains:
            scores = request.model.token_scores([f"{domain} one", f"{domain} two"])
            items = tuple(
                Item(
                    id=f"{domain}-{i}",
                    stratum="stereo",
                    values={
                        "score": float(score.logprobs.mean()),
                        "prefers": float(score.logprobs.mean() > -1.25),
                    },
                )
                for i, score in enumerate(scores)
            )
            metric = Metric.of_items(
                "stereotype_score",
                items,
                estimator="percent",
                of=("prefers",),
                direction=TOWARDS_50,
                primary=True,
            )
            answers.append(
                Measurement(domain=domain, protocol="toy", metrics=(metric,), items=items)
            )
        return answers


class ToySourceReader(Evaluator[PluginConfig]):
    """Counts the texts it is given, to show which ones those are."""

    name = "toy-reader"
    summary = "Counts unlearned and unseen texts."
    reference = "tests"
    reads_source = True

    def evaluate(self, request: EvaluationRequest) -> Sequence[Measurement]:
        answers = []
        for protocol, texts in (("unlearned", request.unlearned), ("unseen", request.unseen)):
            items = tuple(Item(id=text.id, values={"one": 1.0}) for text in texts)
            metric = Metric.of_items(
                "mean_one", items, estimator="mean", of=("one",), direction=TOWARDS_50
            )
            answers.append(
                Measurement(domain="none", protocol=protocol, metrics=(metric,), items=items)
            )
        return answers


class ToyPlugin:
    """The module-like object that offers the toys."""

    @hookimpl
    def harness_models(self) -> list[type[Model[Any]]]:
        return [ToyModelPlugin]

    @hookimpl
    def harness_domains(self) -> list[Domain]:
        return list(BUILT_IN.values())

    @hookimpl
    def harness_corpora(self) -> list[type[Corpus[Any]]]:
        return [ToyCorpus]

    @hookimpl
    def harness_maskers(self) -> list[type[Masker[Any]]]:
        return [ToyMasker]

    @hookimpl
    def harness_debiasers(self) -> list[type[Debiaser[Any]]]:
        return [ToyDebiaser, ToyIdentity]

    @hookimpl
    def harness_evaluators(self) -> list[type[Evaluator[Any]]]:
        return [ToyEvaluator, ToySourceReader]


def toy_registry() -> Registry:
    """A registry of the toys alone."""
    return build_registry([(ToyPlugin(), Origin("toys", "toy-distribution", "1.0"))], strict=True)


TOY_SPEC = {
    "name": "toy",
    "model": "toy",
    "corpus": "toy-corpus",
    "source": ["gender", "race"],
    "masker": "toy-masker",
    "debiaser": ["toy-debiaser", "toy-identity"],
    "evaluators": ["toy-evaluator", "toy-reader"],
    "targets": ["gender", "race", "religion"],
    "steps": [10, 20, 30],
}
"""Two sources, a method and a control, two evaluators, three steps."""
