"""The sentences behind item ids, found again through the evaluator that made the items.

Texts are not stored, as the data sets are not ours to copy. An evaluator gives them with its
items, so it is asked once more, with a stand-in for the model that scores everything alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from harness.boundary import measure
from harness.data.places import DataStore
from harness.errors import HarnessError, ModelError, StoreError
from harness.lm.handle import LanguageModel, ModelKind, TokenScores
from harness.plugins import Registry
from harness.storage.records import RunIndex
from harness.types import EvaluationRequest, no_progress


class StandIn(LanguageModel):
    """Answers every question about scores with zeros; tokens are bytes."""

    def __init__(self, kind: ModelKind) -> None:
        self.kind = kind
        self.name = "stand-in"
        self.max_tokens = 1_000_000_000
        self.tokens_scored = 0

    def token_scores(self, texts: Sequence[str], *, start: bool | int = False) -> list[TokenScores]:
        """Zeros."""
        rows = [np.array(self.encode(text)) for text in texts]
        return [TokenScores(row, np.zeros(len(row))) for row in rows]

    def window_scores(self, windows: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Zeros."""
        return [np.zeros(len(window)) for window in windows]

    def masked_scores(self, ids: Sequence[int], positions: Sequence[int]) -> np.ndarray:
        """Zeros."""
        return np.zeros(len(positions))

    def hidden_states(
        self, texts: Sequence[str], *, layer: int = -1, special: bool = False
    ) -> list[np.ndarray]:
        """Ones of width 1."""
        return [np.ones((len(self.encode(text)), 1), np.float32) for text in texts]

    def generate(self, prompts: Sequence[str], *, max_new_tokens: int = 20) -> list[str]:
        """Nothing."""
        return ["" for _ in prompts]

    def encode(self, text: str) -> list[int]:
        """The bytes of a text."""
        return list(text.encode())

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Characters, each of its own span."""
        return [ord(c) for c in text], [(i, i + 1) for i in range(len(text))]

    @property
    def start_id(self) -> int:
        """Zero."""
        return 0

    def training_logits(
        self, rows: Sequence[Sequence[int]], index: Sequence[int], position: Sequence[int]
    ) -> Any:
        """Not what it is for."""
        raise ModelError("a stand-in cannot be trained")

    def masked_input(self, ids: Sequence[int], positions: Sequence[int]) -> tuple[list[int], int]:
        """The ids as they are."""
        return list(ids), 0

    def copy(self) -> LanguageModel:
        """Another one."""
        return StandIn(self.kind)

    def forget_scores(self) -> None:
        """Nothing is kept."""


def find_sentences(
    index: RunIndex, evaluator: str, domain: str, registry: Registry, data: DataStore
) -> dict[str, tuple[str, ...]]:
    """Texts of the items of an evaluator in a domain, by item id, as the run sampled them.

    Raises:
        HarnessError: the evaluator is not installed, its data is not there, or it gives no
            texts; one line that says which.
    """
    use, config = _use_of(index, evaluator)
    entry = registry.get("evaluator", use)
    plugin = registry.create("evaluator", use, config)
    limits = index.spec.get("limits")
    own = limits if isinstance(limits, dict) else {}
    problem: HarnessError | None = None
    kinds: Iterable[ModelKind] = ("causal", "masked")
    for kind in kinds:
        request = EvaluationRequest(
            model=StandIn(kind),
            domains=(domain,),
            limit=own.get("items"),
            seed=own.get("seed", 0),
            unlearned=(),
            unseen=(),
            data=data,
            progress=no_progress,
        )
        try:
            answer = measure(entry, plugin, request)
        except ModelError as error:  # its scorers are for the other kind of model
            problem = error
            continue
        found = {item.id: item.texts for m in answer for item in m.items if item.texts}
        if found:
            return found
    raise problem or StoreError(f"evaluator '{evaluator}' gives no sentences with its items")


def _use_of(index: RunIndex, evaluator: str) -> tuple[str, Any]:
    uses = index.spec.get("evaluators")
    for use in uses if isinstance(uses, list) else []:
        if isinstance(use, dict) and use.get("label") == evaluator:
            return str(use["use"]), use.get("config") or {}
    raise StoreError(f"the spec of this run does not say what evaluator '{evaluator}' is")
