"""Choosing the candidates of a masked slot: what else could stand there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from harness.arrays import Floats
from harness.data.domains import DOMAINS
from harness.data.terms import attribute_terms
from harness.lm.handle import LanguageModel
from harness.lm.infill import (
    FillerScores,
    Slot,
    Tokens,
    left_logprobs,
    outside_share,
    score_fillers,
    tail_log_mass,
    two_sided_proposal,
    word_filler,
)

if TYPE_CHECKING:
    from harness.types import Progress

CandidateSource = Literal["group-words", "left-context", "both-contexts", "vocabulary"]

TRIED = 8
"""Group words that are placed in a slot for each one that is wanted: some do not fit."""

AT_ONCE = 32
"""Slots whose candidates are chosen and scored together."""


class Candidates(NamedTuple):
    """Candidates of each slot, the masked word first.

    Attributes:
        fillers: tokens of each candidate, slot by slot.
        scores: their scores under the model that chose them.
        outside: estimated share of the posterior mass that the candidates leave out, by slot;
            None if it was not estimated.
    """

    fillers: list[tuple[Tokens, ...]]
    scores: list[FillerScores]
    outside: list[float] | None


def choose_candidates(
    model: LanguageModel,
    slots: Sequence[Slot],
    *,
    sources: Sequence[CandidateSource],
    count: int,
    draws: int,
    seed: int,
    progress: Progress,
) -> Candidates:
    """Choose candidates for each slot with the model as it is.

    The sources are asked in turn until there are enough. ``vocabulary`` takes every token.

    Args:
        model: a causal model.
        slots: the slots.
        sources: where candidates come from.
        count: candidates of a slot, the masked word included.
        draws: draws a slot for the mass outside; 0: it is not estimated.
        seed: of the draws.
        progress: is told as slots are done.
    """
    rng = np.random.default_rng(seed)
    words = _GroupWords(model) if "group-words" in sources else None
    fillers: list[tuple[Tokens, ...]] = []
    scores: list[FillerScores] = []
    outside: list[float] = []
    for begin in range(0, len(slots), AT_ONCE):
        part = slots[begin : begin + AT_ONCE]
        tables = list(left_logprobs(model, part))
        chosen = [
            _candidates(model, slot, table, sources, count, words)
            for slot, table in zip(part, tables, strict=True)
        ]
        scored = score_fillers(model, part, chosen)
        if draws:
            tails = tail_log_mass(model, part, chosen, tables, draws, rng)
            outside += [outside_share(own, tail) for own, tail in zip(scored, tails, strict=True)]
        fillers += chosen
        scores += scored
        progress(len(fillers), len(slots), "choosing candidates")
    return Candidates(fillers, scores, outside if draws else None)


def _candidates(
    model: LanguageModel,
    slot: Slot,
    left: Floats,
    sources: Sequence[CandidateSource],
    count: int,
    words: _GroupWords | None,
) -> tuple[Tokens, ...]:
    if "vocabulary" in sources:
        return tuple(dict.fromkeys([slot.word, *((token,) for token in range(len(left)))]))
    ranked: list[Iterator[Tokens]] = []
    for source in sources:
        if source == "group-words":
            assert words is not None
            ranked.append(words.ranked(slot, left, count))
        elif source == "left-context":
            ranked.append(_best(left, count))
        else:
            ranked.append(_best(two_sided_proposal(model, slot, left), count))
    chosen = {slot.word: None}
    while ranked and len(chosen) < count:
        for candidates in list(ranked):
            new = next((filler for filler in candidates if filler not in chosen), None)
            if new is None:
                ranked.remove(candidates)
            elif len(chosen) < count:
                chosen[new] = None
    return tuple(chosen)


def _best(scores: Floats, count: int) -> Iterator[Tokens]:
    """The likeliest tokens as fillers, best first."""
    count = min(count, len(scores))
    top = np.argpartition(-scores, count - 1)[:count]
    return ((int(token),) for token in top[np.argsort(-scores[top], kind="stable")])


class _GroupWords:
    """Terms of all domains with the token that each begins with inside a sentence."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        terms = dict.fromkeys(term for domain in DOMAINS for term in attribute_terms(domain))
        self._by_token: list[tuple[int, str]] = []
        front = len(model.encode("the"))
        for term in terms:
            ids = model.encode(f"the {term}")
            if len(ids) > front:
                self._by_token.append((ids[front], term))

    def ranked(self, slot: Slot, left: Floats, count: int) -> Iterator[Tokens]:
        """Terms that the tokenizer can place in the slot, likeliest first token first."""
        order = sorted(self._by_token, key=lambda pair: -left[pair[0]])
        fillers = (word_filler(self._model, slot, term) for _, term in islice(order, TRIED * count))
        return (filler for filler in fillers if filler is not None)
