"""The LM interface of lm-evaluation-harness over a language-model handle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from lm_eval.api.model import LM
from lm_eval.utils import get_rolling_token_windows

from harness.errors import ModelError
from harness.lm.handle import LanguageModel

NEW_TOKENS = 256
"""Tokens generated where a task names no number."""


class HandleLM(LM):  # type: ignore[misc]
    """Answers lm-eval's requests with a causal language-model handle.

    Requests are tokenised as lm-eval's own ``hf`` model does: white space at the end of a context
    is counted to the continuation, the continuation's tokens are those of the whole text after
    as many as the context has, and an empty context is replaced by a start token. What is longer
    than the model's context is cut on the left. Contexts that several requests share run once.
    """

    def __init__(self, model: LanguageModel, greedy: bool) -> None:
        """Wrap a handle.

        Args:
            model: a causal model.
            greedy: whether a task asks if a continuation is the greedy one, which costs another
                run of each request.
        """
        super().__init__()
        self._model = model
        self._greedy = greedy

    def loglikelihood(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Return the summed log-probability of each continuation, and whether it is greedy."""
        pairs = [self._encoded(*request.args) for request in requests]
        windows, counts = self._windows(pairs)
        greedy = [False] * len(pairs)
        if self._greedy:
            greedy = self._model.are_likeliest(windows, counts)
        return [
            (float(scores.sum()), is_greedy)
            for scores, is_greedy in zip(self._scores(windows, counts), greedy, strict=True)
        ]

    def loglikelihood_rolling(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[float]:
        """Return the log-probability of each text in windows of the model's context."""
        pairs, owners = [], []
        for number, request in enumerate(requests):
            ids = self._model.encode(request.args[0])
            windows = get_rolling_token_windows(
                ids, self._start(), max_seq_len=self._model.max_tokens, context_len=1
            )
            for context, predicted in windows:
                whole = [*context, predicted[-1]]
                first = len(whole) - len(predicted)
                pairs.append((whole[:first], whole[first:]))
                owners.append(number)
        totals = np.zeros(len(requests))
        for owner, scores in zip(owners, self._scores(*self._windows(pairs)), strict=True):
            totals[owner] += scores.sum()
        return [float(total) for total in totals]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Return greedy continuations, each cut at the first of its stop strings."""
        answers = []
        for request in requests:
            context, settings = request.args
            if settings.get("do_sample") and settings.get("temperature", 1.0) != 0.0:
                raise ModelError(
                    f"lm-eval task '{request.task_name}' samples its answers; the evaluator "
                    "'lm-eval' generates greedily"
                )
            count = int(settings.get("max_gen_toks") or settings.get("max_length") or NEW_TOKENS)
            (text,) = self._model.generate([context], max_new_tokens=count)
            stops = settings.get("until") or []
            for stop in [stops] if isinstance(stops, str) else stops:
                text = text.split(stop)[0] if stop else text
            answers.append(text)
        return answers

    def _start(self) -> int:
        return self._model.bos_id

    def _encoded(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Tokens of a context and of its continuation."""
        if not context:
            return [self._start()], self._model.encode(continuation)
        stripped = context.rstrip()
        whole = self._model.encode(context + continuation)
        before = self._model.encode(stripped)
        return [*self._model.front, *before], whole[len(before) :]

    def _windows(
        self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]
    ) -> tuple[list[list[int]], list[int]]:
        """Contexts with their continuations, cut on the left, and how long the latter are.

        The last token is not run, so a window has room for one more than the model's context.
        """
        longest = self._model.max_tokens
        for _, continuation in pairs:
            if not 0 < len(continuation) <= longest:
                raise ModelError(
                    f"an answer of {len(continuation)} tokens does not fit model "
                    f"'{self._model.name}' (1 to {longest})"
                )
        windows = [[*context, *continuation][-longest - 1 :] for context, continuation in pairs]
        return windows, [len(continuation) for _, continuation in pairs]

    def _scores(self, windows: Sequence[Sequence[int]], counts: Sequence[int]) -> list[np.ndarray]:
        """Log-probabilities of the continuations' tokens, which end the windows."""
        scored = self._model.window_scores(windows)
        return [scores[len(scores) - count :] for scores, count in zip(scored, counts, strict=True)]
