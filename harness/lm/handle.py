"""The one handle through which debiasers and evaluators see a model.

The abstract class is separate from its torch implementation (`harness.lm.transformers_model`),
so that the plugin contract can be imported without torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from harness.errors import ModelError
from harness.lm.continuation import continued

if TYPE_CHECKING:
    import torch

    from harness.lm.prompt_contrast import PromptContrast

ModelKind = Literal["causal", "masked"]


class TokenScores(NamedTuple):
    """Log-probabilities of one text's own tokens.

    Attributes:
        ids: token ids of the text, shape ``(tokens,)``; special tokens are never among them.
        logprobs: natural-log probabilities in float64, shape ``(tokens,)``. ``nan`` where the
            model gives none: the first token of a causal model scored without a start token.
    """

    ids: np.ndarray
    logprobs: np.ndarray


class LanguageModel(ABC):
    """A causal or masked language model with its tokenizer.

    All log-probabilities are natural logarithms. Scores are kept in memory until
    `forget_scores` is called, so several scorers share one forward pass; whoever changes the
    weights (a debiaser, through the runner) must call it.
    """

    kind: ModelKind
    name: str
    module: torch.nn.Module
    tokenizer: Any
    max_tokens: int
    """Longest input in tokens, a start token included."""
    tokens_scored: int
    """Tokens that went through the model for scores so far."""

    @abstractmethod
    def token_scores(self, texts: Sequence[str], *, start: bool | int = False) -> list[TokenScores]:
        """Score every token of every text.

        Causal: ``log p(x_i | x_<i)``. In front of a text stands what ``start`` says: False, what
        the tokenizer itself puts there (`front`); True, `start_ids`; a number, that token. Where
        there is nothing before it, the first token's score is ``nan``. Masked:
        pseudo-log-likelihood, each token masked in turn (``start`` has no effect, as the model's
        own special tokens always surround the text).

        Raises:
            ModelError: a text is empty, or longer than the model's context.
            DataError: a text holds half of a character (a lone surrogate).
        """

    def continuation_scores(
        self, contexts: Sequence[str], continuations: Sequence[str], *, start: bool | int = False
    ) -> list[TokenScores]:
        """Score the tokens of ``continuations[k]`` given ``contexts[k]``.

        Each pair is tokenised as one text, and white space at the end of a context is counted to
        its continuation. Pass a context as often as it has continuations: a causal model runs it
        once. A context may be empty; see ``start``.

        Args:
            contexts: the text before each continuation.
            continuations: as many texts as contexts.
            start: as in `token_scores`.

        Returns:
            Token ids and natural-log probabilities of each continuation, both ``(tokens,)``.
            Causal: given the context and the tokens before. Masked: each token masked in turn,
            given all others.

        Raises:
            ModelError: a continuation has no token, the tokenizer makes one token of the end of a
                context and the start of its continuation, or both are longer than the model takes.
        """
        pairs = [
            continued(context, continuation, self.encode, self.name)
            for context, continuation in zip(contexts, continuations, strict=True)
        ]
        if self.kind == "masked":
            rows = [(pair.ids, range(pair.first, len(pair.ids))) for pair in pairs]
            scored = self.masked_scores_of(rows)
        else:
            whole = self.token_scores([pair.text for pair in pairs], start=start)
            scored = [
                scores.logprobs[pair.first :] for pair, scores in zip(pairs, whole, strict=True)
            ]
        return [
            TokenScores(np.array(pair.ids[pair.first :]), logprobs)
            for pair, logprobs in zip(pairs, scored, strict=True)
        ]

    def start_scores(self, ids: Sequence[int], *, start: int | None = None) -> np.ndarray:
        """Return ``log p(id | start token)`` for each id alone, shape ``(len(ids),)``.

        Args:
            ids: token ids.
            start: the token in front; None: `start_id`.
        """
        first = self.start_id if start is None else start
        return np.array([logprobs[1] for logprobs in self.window_scores([[first, i] for i in ids])])

    @abstractmethod
    def window_scores(self, windows: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Score windows of tokens as they are; nothing is put in front.

        The first position has no score and is ``nan``. A window may have one token more than
        `max_tokens`, because its last token is not run.

        One array of natural-log probabilities a window, shape ``(len(window),)``.
        """

    def are_likeliest(self, windows: Sequence[Sequence[int]], counts: Sequence[int]) -> list[bool]:
        """Say of each window whether each of its last ``counts[k]`` tokens is the likeliest one
        after those before it: what greedy generation would write.

        Args:
            windows: as in `window_scores`.
            counts: how many tokens of each, at least 1 and less than the window has.

        Raises:
            ModelError: the model is masked, or the handle does not say.
        """
        raise ModelError(f"model '{self.name}' does not say which token is the likeliest")

    @abstractmethod
    def masked_scores(self, ids: Sequence[int], positions: Sequence[int]) -> np.ndarray:
        """Masked models: log p of ``ids[k]`` with position k alone masked, for each position.

        ``ids`` are the text's own tokens; the handle adds the special ones.

        Raises:
            ModelError: the model is causal.
        """

    def masked_scores_of(
        self, texts: Sequence[tuple[Sequence[int], Sequence[int]]]
    ) -> list[np.ndarray]:
        """`masked_scores` of many texts, each as its ids and positions, in common batches."""
        return [self.masked_scores(ids, positions) for ids, positions in texts]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Score every text by itself within the block: no batch, no shared prefix, nothing kept.

        Slow; for checking that scores do not depend on what else is scored.

        Raises:
            ModelError: the handle has no such mode.
        """
        raise ModelError(f"model '{self.name}' cannot score texts one at a time")
        yield

    @abstractmethod
    def hidden_states(
        self, texts: Sequence[str], *, layer: int = -1, special: bool = False
    ) -> list[np.ndarray]:
        """Hidden states of the tokens of each text.

        A text is run between the special tokens that its tokenizer adds (`front`; [CLS] and [SEP]
        of masked models). Layer 0 is what the first block reads, k what block k gives, and the
        last (``-1``) the body's answer after the final norm.

        Args:
            texts: what is run.
            layer: which hidden states.
            special: return the states of the special tokens too.

        Returns:
            One float32 array a text, shape ``(tokens, width)``.
        """

    def project(
        self, matrix: np.ndarray, bias: np.ndarray | None = None, *, layer: int = -1
    ) -> None:
        """Map a layer's hidden states to ``matrix @ h + bias`` at every position from now on.

        Scores, hidden states, generation and training all see it; a copy carries its own. Maps
        of one layer are applied in the order of the calls.

        Args:
            matrix: shape ``(width, width)``.
            bias: shape ``(width,)``.
            layer: as in `hidden_states`, but not 0.

        Raises:
            ModelError: the shapes or the layer do not fit, or the handle offers no projections.
        """
        raise ModelError(f"model '{self.name}' offers no projections of hidden states")

    def rescore(self, contrast: PromptContrast | None) -> None:
        """Correct every next-token distribution by what the model says behind prompts, from now on.

        Scores and generation see it; hidden states and training do not. A copy carries its own.
        None takes the correction back.

        Raises:
            ModelError: the handle offers no re-scoring.
        """
        raise ModelError(f"model '{self.name}' offers no re-scoring behind prompts")

    def generate(self, prompts: Sequence[str], *, max_new_tokens: int = 20) -> list[str]:
        """Greedy continuations of the prompts (causal models).

        Raises:
            ModelError: the model is masked, or the handle generates no text.
        """
        raise ModelError(f"model '{self.name}' generates no text")

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens."""

    @abstractmethod
    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids and each token's half-open character span in the text."""

    @property
    @abstractmethod
    def start_id(self) -> int:
        """The start token, for protocols and methods that put one in front of a text.

        It is what the tokenizer itself puts there, else what the model's plugin or its field
        ``start_token`` names, else BOS, else EOS, else CLS.

        Raises:
            ModelError: the model has none, or ``start_token`` is ``none``.
        """

    @property
    def front(self) -> tuple[int, ...]:
        """Special tokens in front of every text: those that the tokenizer itself puts there."""
        return ()

    @property
    def start_ids(self) -> tuple[int, ...]:
        """The tokens before a text that has a start token: `front`, else `start_id`.

        Raises:
            ModelError: as for `start_id`.
        """
        return self.front or (self.start_id,)

    @property
    def bos_id(self) -> int:
        """The tokenizer's BOS token, else EOS, else CLS, whatever ``start_token`` says.

        Raises:
            ModelError: the tokenizer has none of them.
        """
        return self.start_id

    @property
    def separator_id(self) -> int:
        """The token that separated documents in pre-training, where known, else `start_id`.

        Raises:
            ModelError: there is no such token.
        """
        return self.start_id

    def token_text(self, token: int) -> str:
        """A token as the tokenizer's vocabulary writes it, for messages and notes."""
        return str(token)

    @abstractmethod
    def training_logits(
        self, rows: Sequence[Sequence[int]], index: Sequence[int], position: Sequence[int]
    ) -> torch.Tensor:
        """Logits, with a graph, of row ``index[k]`` at ``position[k]``: ``(len(index), vocab)``.

        Rows are raw token ids as they are run, special tokens included.
        """

    @abstractmethod
    def masked_input(self, ids: Sequence[int], positions: Sequence[int]) -> tuple[list[int], int]:
        """Masked models: the text between its special tokens with positions masked.

        Returns the ids to run and the position of the text's first token in them.
        """

    @abstractmethod
    def copy(self) -> LanguageModel:
        """Return an independent copy: changing its weights leaves this one as it is."""

    @abstractmethod
    def forget_scores(self) -> None:
        """Drop every kept score: the model has changed."""
