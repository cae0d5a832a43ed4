"""What INLP, SentenceDebias and LEACE share: sentences of a domain, their vectors, one projection.

A method is a `ProjectionDebiaser`: from vectors and labels it fits an affine map. Sentences come
from the neutral corpus. Their label is the group of the source domain whose terms they mention.
"""

from __future__ import annotations

import random
import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from pydantic import Field, JsonValue

from harness.data.places import DataStore
from harness.data.terms import term_pattern
from harness.errors import DebiasError
from harness.families import Debiaser, PluginConfig
from harness.lm.handle import LanguageModel
from harness.types import Checkpoint, DebiasRequest

if TYPE_CHECKING:
    import numpy as np

NEUTRAL = "neutral"
MENTION = "mention"


class ProjectionConfig(PluginConfig):
    """Where the projection acts, and which sentences it is fitted on."""

    layer: int = Field(
        -1,
        description="hidden states that are projected: k is what block k gives, -1 the final one "
        "after the last norm (as published)",
    )
    labels: Literal["auto", "groups", "mentions"] = Field(
        "auto",
        description="groups: one class a group of the domain and one for neutral sentences; "
        "mentions: any group against neutral; auto: groups for gender, mentions elsewhere "
        "(as published)",
    )
    max_sentences: int = Field(10_000, ge=2, description="most sentences a class")
    min_sentences: int = Field(40, ge=2, description="fewer a class end in an error")
    min_words: int = Field(5, ge=1, description="shorter sentences are left out")
    lower_case: bool = Field(True, description="fit on lower-cased sentences (as published)")


class Sentences(NamedTuple):
    """Sentences with their class, and the number of each class."""

    texts: list[str]
    labels: list[str]
    counts: dict[str, int]


class Projection(NamedTuple):
    """``h -> matrix @ h + bias``, and what is worth logging about it."""

    matrix: np.ndarray
    bias: np.ndarray | None
    log: dict[str, JsonValue]


ProjectionConfigT = TypeVar("ProjectionConfigT", bound=ProjectionConfig)


class ProjectionDebiaser(Debiaser[ProjectionConfigT]):
    """Base of the methods that fit one projection of hidden states on labelled sentences."""

    inputs = frozenset({"neutral", "domain"})
    stepwise = False

    @abstractmethod
    def fit(self, request: DebiasRequest, vectors: np.ndarray, labels: np.ndarray) -> Projection:
        """Return a projection.

        Args:
            request: kind of the model, and the seed.
            vectors: of the sentences, ``(sentences, width)``.
            labels: class numbers, ``(sentences,)``.
        """

    def fingerprint(self, data: DataStore) -> Mapping[str, JsonValue]:
        """Return a hash of the attribute terms."""
        return {"terms": data.domains.terms_digest()}

    def debias(self, request: DebiasRequest) -> Iterator[Checkpoint]:
        """Fit on the sentences of the request's domain, project the model, yield it.

        Raises:
            DebiasError: the domain has no terms, or a class too few sentences.
            ModelError: the model has no such layer.
        """
        import numpy as np

        layer = self.config.layer
        sentences = labelled_sentences(request, self.config)
        request.progress(0, 1, f"{len(sentences.texts)} sentences")
        vectors = mean_states(request.model, sentences.texts, layer)
        names = sorted(sentences.counts)
        numbers = np.array([names.index(label) for label in sentences.labels])
        projection = self.fit(request, vectors, numbers)
        request.model.project(projection.matrix, projection.bias, layer=layer)
        log: dict[str, JsonValue] = {"layer": layer, **projection.log}
        for name in names:
            log[f"sentences of {name}"] = sentences.counts[name]
        request.progress(1, 1, "projected")
        for step in request.steps:
            yield Checkpoint(step, request.model, log)


def labelled_sentences(request: DebiasRequest, config: ProjectionConfig) -> Sentences:
    """Draw as many sentences of each class as the smallest one has.

    Sentences that mention several groups are left out where groups are the classes.

    Raises:
        DebiasError: the domain has no terms, or a class too few sentences.
    """
    groups = request.data.domains.term_groups(request.domain)
    by_group = config.labels == "groups" or (config.labels == "auto" and request.domain == "gender")
    patterns = {name: term_pattern(terms) for name, terms in groups.items()}
    classes: dict[str, list[str]] = {}
    for text in sentences_of([p.text for p in request.neutral]):
        if len(text.split()) < config.min_words:
            continue
        mentioned = [name for name, pattern in patterns.items() if pattern.search(text)]
        if not mentioned:
            label = NEUTRAL
        elif not by_group:
            label = MENTION
        elif len(mentioned) == 1:
            label = mentioned[0]
        else:
            continue
        classes.setdefault(label, []).append(text.lower() if config.lower_case else text)
    if not by_group:
        wanted = [MENTION, NEUTRAL]
    else:  # a group that the corpus hardly names does not form a class
        wanted = [c for c, sentences in classes.items() if len(sentences) >= config.min_sentences]
    counts = {name: len(classes.get(name, [])) for name in [*wanted, NEUTRAL]}
    if len(counts) < 2 or min(counts.values()) < config.min_sentences:
        told = (
            ", ".join(f"{len(sentences)} of {name}" for name, sentences in sorted(classes.items()))
            or "none"
        )
        raise DebiasError(
            f"too few sentences about '{request.domain}' to fit on: {told}; each class needs "
            f"{config.min_sentences}; choose another neutral corpus, raise limits.neutral or "
            "lower min_sentences"
        )
    size = min(config.max_sentences, *counts.values())
    draw = random.Random(request.seed)
    texts, labels = [], []
    for name in sorted(counts):
        texts += draw.sample(classes[name], size)
        labels += [name] * size
    return Sentences(texts, labels, dict(Counter(labels)))


def sentences_of(texts: Sequence[str]) -> list[str]:
    """Split texts into sentences: after a full stop, ? or ! that white space follows."""
    sentences = [part.strip() for text in texts for part in re.split(r"(?<=[.!?])\s+", text)]
    return list(dict.fromkeys(part for part in sentences if part))


def mean_states(model: LanguageModel, texts: Sequence[str], layer: int) -> np.ndarray:
    """Return each text's mean hidden state over tokens, float64, shape ``(texts, width)``.

    The mean of a masked model counts its special tokens ([CLS], [SEP]), as published. That of a
    causal one does not count a start token, whose state is the same in every text.
    """
    import numpy as np

    if model.kind == "masked":
        states = model.hidden_states(texts, layer=layer, special=True)
    else:
        states = model.hidden_states(texts, layer=layer)
    return np.stack([of_text.astype(np.float64).mean(axis=0) for of_text in states])


def complement(directions: np.ndarray) -> np.ndarray:
    """Return the projection that removes the span of directions, shape ``(width, width)``.

    Symmetric and idempotent; its rank is the width less that of the directions.
    """
    import numpy as np

    _, singular, rows = np.linalg.svd(directions, full_matrices=False)
    kept = rows[singular > 1e-8 * max(singular.max(), 1e-300)]
    projection: np.ndarray = np.eye(directions.shape[1]) - kept.T @ kept
    return projection
