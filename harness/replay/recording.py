"""A handle that remembers a model's answers, and can give them again a little shifted."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from harness.errors import ModelError
from harness.lm.handle import LanguageModel, TokenScores

if TYPE_CHECKING:
    import torch

A = TypeVar("A")


class Recorder(LanguageModel):
    """Passes questions on to a model, once each; adds ``shift`` to every log-probability.

    What an evaluator makes of shifted answers shows the unit of its values: a mean over tokens
    moves by the shift, a sum over n of them by n times as much.
    """

    shift: float = 0.0
    """Nats, added to every answer from now on."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._answers: dict[Hashable, Any] = {}
        self.kind = model.kind
        self.name = model.name
        self.max_tokens = model.max_tokens

    def __getattr__(self, name: str) -> Any:  # of what is not part of the contract
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._model, name)

    def _once(self, key: Hashable, ask: Callable[[], A]) -> A:
        if key not in self._answers:
            self._answers[key] = ask()
        found: A = self._answers[key]
        return found

    # -- answers that are shifted ------------------------------------------------------------

    def token_scores(self, texts: Sequence[str], *, start: bool | int = False) -> list[TokenScores]:
        """See `LanguageModel.token_scores`."""
        how = (type(start), start)  # True and 1 are equal, and not the same question
        new = [t for t in dict.fromkeys(texts) if ("token", t, how) not in self._answers]
        if new:
            for text, scores in zip(new, self._model.token_scores(new, start=start), strict=True):
                self._answers["token", text, how] = scores
        found = [self._answers["token", text, how] for text in texts]
        return [TokenScores(own.ids, own.logprobs + self.shift) for own in found]

    def window_scores(self, windows: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """See `LanguageModel.window_scores`."""
        key = ("window", *map(tuple, windows))
        return [o + self.shift for o in self._once(key, lambda: self._model.window_scores(windows))]

    def masked_scores(self, ids: Sequence[int], positions: Sequence[int]) -> np.ndarray:
        """See `LanguageModel.masked_scores`."""
        key = ("masked", tuple(ids), tuple(positions))
        return self._once(key, lambda: self._model.masked_scores(ids, positions)) + self.shift

    def masked_scores_of(
        self, texts: Sequence[tuple[Sequence[int], Sequence[int]]]
    ) -> list[np.ndarray]:
        """See `LanguageModel.masked_scores_of`."""
        key = ("masked-of", *((tuple(ids), tuple(positions)) for ids, positions in texts))
        return [
            o + self.shift for o in self._once(key, lambda: self._model.masked_scores_of(texts))
        ]

    # -- answers that are not log-probabilities ----------------------------------------------

    def hidden_states(
        self, texts: Sequence[str], *, layer: int = -1, special: bool = False
    ) -> list[np.ndarray]:
        """See `LanguageModel.hidden_states`."""
        key = ("hidden", layer, special, *texts)
        ask = self._model.hidden_states
        return self._once(key, lambda: ask(texts, layer=layer, special=special))

    def generate(self, prompts: Sequence[str], *, max_new_tokens: int = 20) -> list[str]:
        """See `LanguageModel.generate`."""
        key = ("generate", max_new_tokens, *prompts)
        ask = self._model.generate
        return self._once(key, lambda: ask(prompts, max_new_tokens=max_new_tokens))

    def encode(self, text: str) -> list[int]:
        """See `LanguageModel.encode`."""
        return self._model.encode(text)

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """See `LanguageModel.encode_with_offsets`."""
        return self._model.encode_with_offsets(text)

    @property
    def start_id(self) -> int:
        """See `LanguageModel.start_id`."""
        return self._model.start_id

    @property
    def front(self) -> tuple[int, ...]:
        """See `LanguageModel.front`."""
        return self._model.front

    @property
    def bos_id(self) -> int:
        """See `LanguageModel.bos_id`."""
        return self._model.bos_id

    @property
    def separator_id(self) -> int:
        """See `LanguageModel.separator_id`."""
        return self._model.separator_id

    def token_text(self, token: int) -> str:
        """See `LanguageModel.token_text`."""
        return self._model.token_text(token)

    def masked_input(self, ids: Sequence[int], positions: Sequence[int]) -> tuple[list[int], int]:
        """See `LanguageModel.masked_input`."""
        return self._model.masked_input(ids, positions)

    # -- what would change the model ---------------------------------------------------------

    def training_logits(
        self, rows: Sequence[Sequence[int]], index: Sequence[int], position: Sequence[int]
    ) -> torch.Tensor:
        """Not what it is for."""
        raise ModelError(f"model '{self.name}' is only measured here, not trained")

    def copy(self) -> LanguageModel:
        """A copy of the model itself."""
        return self._model.copy()

    def forget_scores(self) -> None:
        """The model has not changed: nothing is forgotten."""
