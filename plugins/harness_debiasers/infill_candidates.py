"""Choosing the candidates of a masked slot: what else could be there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.arrays import Floats
from harness.lm.handle import LanguageModel
from harness.lm.infill import Slot, Tokens, left_logprobs, two_sided_proposal, word_filler

if TYPE_CHECKING:
    from harness.data.domains import Domains

CandidateSource = Literal["group-words", "left-context", "both-contexts", "vocabulary"]

TRIED = 8
"""Group words that are placed in a slot for each one that is wanted: some do not fit."""


class CandidateChooser:
    """Chooses candidates for slots from several sources, taken in turn until there are enough."""

    def __init__(
        self,
        model: LanguageModel,
        domains: Domains,
        sources: Sequence[CandidateSource],
        count: int,
    ) -> None:
        """Prepare the sources.

        Args:
            model: its tokenizer places words in texts.
            domains: whose terms ``group-words`` offers.
            sources: where candidates come from; ``vocabulary`` takes every token.
            count: candidates of a slot, the masked word included.
        """
        self._sources = sources
        self._count = count
        self._words = _GroupWords(model, domains) if "group-words" in sources else None

    def choose(
        self, model: LanguageModel, slots: Sequence[Slot]
    ) -> tuple[list[tuple[Tokens, ...]], list[Floats]]:
        """Choose candidates with the model as it is.

        Returns:
            The candidates of each slot, the masked word first, and ``log P(token | p)`` of each
            slot over the vocabulary.
        """
        tables = list(left_logprobs(model, slots))
        chosen = [self._choose(model, *pair) for pair in zip(slots, tables, strict=True)]
        return chosen, tables

    def _choose(self, model: LanguageModel, slot: Slot, left: Floats) -> tuple[Tokens, ...]:
        if "vocabulary" in self._sources:
            return tuple(dict.fromkeys([slot.word, *((token,) for token in range(len(left)))]))
        ranked = [self._ranked(source, model, slot, left) for source in self._sources]
        chosen = {slot.word: None}
        longest = model.max_tokens - len(slot.left) - len(slot.right)
        while ranked and len(chosen) < self._count:
            for candidates in list(ranked):
                fitting = (filler for filler in candidates if len(filler) <= longest)
                new = next((filler for filler in fitting if filler not in chosen), None)
                if new is None:
                    ranked.remove(candidates)
                elif len(chosen) < self._count:
                    chosen[new] = None
        return tuple(chosen)

    def _ranked(
        self, source: CandidateSource, model: LanguageModel, slot: Slot, left: Floats
    ) -> Iterator[Tokens]:
        if source == "group-words":
            assert self._words is not None
            return self._words.ranked(slot, left, self._count)
        if source == "left-context":
            return _best(left, self._count)
        return _best(two_sided_proposal(model, slot, left), self._count)


def _best(scores: Floats, count: int) -> Iterator[Tokens]:
    """Yield the likeliest tokens as fillers, best first."""
    count = min(count, len(scores))
    top = np.argpartition(-scores, count - 1)[:count]
    return ((int(token),) for token in top[np.argsort(-scores[top], kind="stable")])


class _GroupWords:
    """Terms of all domains that the tokenizer knows, with the token that each begins with."""

    def __init__(self, model: LanguageModel, domains: Domains) -> None:
        self._model = model
        terms = dict.fromkeys(
            term for domain in domains.values() for words in domain.terms.values() for term in words
        )
        self._by_token: list[tuple[int, str]] = []
        before = len(model.encode("the"))
        unknown = model.tokenizer.unk_token_id
        for term in terms:
            ids = model.encode(f"the {term}")
            if len(ids) > before and unknown not in ids[before:]:
                self._by_token.append((ids[before], term))

    def ranked(self, slot: Slot, left: Floats, count: int) -> Iterator[Tokens]:
        """Yield terms that fit the slot, those with the likeliest first token first."""
        order = sorted(self._by_token, key=lambda pair: -left[pair[0]])
        fillers = (word_filler(self._model, slot, term) for _, term in islice(order, TRIED * count))
        return (filler for filler in fillers if filler is not None)
