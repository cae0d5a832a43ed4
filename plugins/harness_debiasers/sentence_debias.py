"""SentenceDebias (Liang et al. 2020), as in Meade et al. 2022."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pydantic import Field, JsonValue

from harness.data.places import DataStore
from harness.errors import DebiasError
from harness.families import Debiaser, PluginConfig
from harness.types import Checkpoint, DebiasRequest
from harness_debiasers.counterfactual import Swapper
from harness_debiasers.projection_fit import complement, mean_states, sentences_of
from harness_debiasers.word_lists import WordListFile, rows_fingerprint, word_rows

if TYPE_CHECKING:
    import numpy as np


class SentenceDebiasConfig(PluginConfig):
    """Which sentences span the subspace, and how much of it is removed."""

    layer: int = Field(
        -1, description="hidden states that are projected; -1: the final ones (as published)"
    )
    components: int = Field(1, ge=1, description="principal components that are removed")
    centred: bool = Field(
        False, description="remove the components around the mean hidden state, not the origin"
    )
    max_sentences: int = Field(10_000, ge=2, description="most sentences with an attribute word")
    min_sentences: int = Field(40, ge=2, description="fewer end in an error")
    lower_case: bool = Field(True, description="fit on lower-cased sentences (as published)")
    word_lists: WordListFile = None


class SentenceDebias(Debiaser[SentenceDebiasConfig]):
    """Removes the main direction along which sentences differ from their counterfactuals."""

    name = "sentence-debias"
    summary = "Removes the bias subspace of counterfactual sentences from hidden states."
    reference = "Liang et al. 2020, https://aclanthology.org/2020.acl-main.488"
    inputs = frozenset({"neutral", "domain"})
    stepwise = False
    seeded = False

    def fingerprint(self, data: DataStore) -> Mapping[str, JsonValue]:
        """Return the version of the built-in word lists, or the words of your file."""
        return rows_fingerprint(self.config.word_lists, data.domains)

    def debias(self, request: DebiasRequest) -> Iterator[Checkpoint]:
        """See `Debiaser.debias`."""
        import numpy as np

        config = self.config
        swapper = Swapper(word_rows(request.domain, config.word_lists, request.data.domains))
        groups: list[list[str]] = []
        for text in sentences_of([p.text for p in request.neutral]):
            plain = text.lower() if config.lower_case else text
            if others := swapper.counterfactuals(plain):
                groups.append([plain, *others])
        groups = groups[: config.max_sentences]
        if len(groups) < config.min_sentences:
            raise DebiasError(
                f"{len(groups)} sentences hold an attribute word of '{request.domain}', "
                f"{config.min_sentences} are needed; choose another neutral corpus, raise "
                "limits.neutral or lower min_sentences"
            )
        request.progress(0, 1, f"{len(groups)} sentences")
        flat = mean_states(
            request.model, [text for group in groups for text in group], config.layer
        )
        vectors = flat.reshape(len(groups), -1, flat.shape[1])
        directions, explained = subspace(vectors, config.components)
        matrix = complement(directions)
        mean = flat.mean(axis=0)
        bias = mean - matrix @ mean if config.centred else None
        request.model.project(matrix, bias, layer=config.layer)
        cosine = float(np.abs(directions[0] @ mean) / np.linalg.norm(mean))
        log: dict[str, JsonValue] = {
            "layer": config.layer,
            "sentences": len(groups),
            "rank_removed": len(directions),
            "variance_explained": explained,
            "cosine_with_mean_state": cosine,
        }
        request.progress(1, 1, "projected")
        for step in request.steps:
            yield Checkpoint(step, request.model, log)


def subspace(vectors: np.ndarray, components: int) -> tuple[np.ndarray, float]:
    """Return the first principal components of differences within groups of counterfactuals.

    Each vector is scaled to unit length, and the mean of its group subtracted (Liang et al. 2020,
    Algorithm 1).

    Args:
        vectors: ``(groups, members, width)``.
        components: how many are returned.

    Returns:
        Orthonormal rows, ``(components, width)``, and the share of the variance they explain.
    """
    import numpy as np

    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    centred = (unit - unit.mean(axis=1, keepdims=True)).reshape(-1, vectors.shape[-1])
    centred = centred - centred.mean(axis=0)
    _, singular, rows = np.linalg.svd(centred, full_matrices=False)
    share = float((singular[:components] ** 2).sum() / (singular**2).sum())
    return rows[:components], share
