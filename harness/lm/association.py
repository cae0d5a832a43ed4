"""What the words after a mask say about the masked word.

For a masked word a with left context p and right context s, and a set B of words that could take
its place (the word included)::

    prefix = log P(a | p, B)        full = log P(a | p, s, B)        G = full - prefix

G is the pointwise mutual information of a and s given p among the words of B, in nats. A loss that
lowers ``P(a | p)`` alone cannot see it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

from harness.data.domains import Domains
from harness.lm.handle import LanguageModel
from harness.lm.infill import (
    MarkedText,
    Slot,
    Tokens,
    log_sum_exp,
    score_fillers,
    slots_of,
    with_right,
    word_filler,
)

COUNT = 16
"""Candidates of a masked word, itself included."""

LONGEST_SUFFIX = 16
"""Tokens of the right context that are read at most."""

LONGEST_CANDIDATE = 8
"""Tokens that a candidate may be longer than the masked word."""


class Scored(NamedTuple):
    """A masked word with its two log-probabilities, in nats.

    Attributes:
        slot: the word between its contexts.
        candidates: how many candidates it has, itself included.
        prefix: ``log P(a | p, B)``.
        full: ``log P(a | p, s, B)``.
    """

    slot: Slot
    candidates: int
    prefix: float
    full: float

    @property
    def gap(self) -> float:
        """The information about the word that only the right context gives, in nats."""
        return self.full - self.prefix


class Gaps(NamedTuple):
    """Scored words, and how many masked words were left out, by reason."""

    words: list[Scored]
    left_out: Mapping[str, int]

    def note(self) -> str | None:
        """Say what was left out; None: nothing."""
        parts = [f"{why}: {count}" for why, count in self.left_out.items() if count]
        return f"masked words left out: {'; '.join(parts)}" if parts else None


def association_gaps(
    model: LanguageModel,
    texts: Sequence[MarkedText],
    domain: str,
    domains: Domains,
    *,
    count: int = COUNT,
    longest_suffix: int = LONGEST_SUFFIX,
) -> Gaps:
    """Score every masked word of some texts with and without the words after it.

    The candidates depend on the text, the tokenizer and the term lists alone, so that a debiased
    model is read with the same candidates as its base.

    Args:
        model: a causal model.
        texts: texts of one domain with their masked words.
        domain: the domain, whose terms are half of the candidates.
        domains: all domains, whose terms are the candidates.
        count: candidates of a word, itself included.
        longest_suffix: tokens of the right context that are read at most.

    Raises:
        ModelError: the model is not causal.
    """
    words = candidate_words(domain, domains)
    located = slots_of(model, texts, room=LONGEST_CANDIDATE)
    slots, fillers, alone = [], [], 0
    for slot in (with_right(slot, longest_suffix) for slot in located.slots):
        candidates = _candidates(model, slot, words, count)
        if len(candidates) < 2:
            alone += 1
            continue
        slots.append(slot)
        fillers.append(candidates)
    scored = []
    scores_of = score_fillers(model, slots, fillers)
    for slot, candidates, scores in zip(slots, fillers, scores_of, strict=True):
        prefix = float(scores.left[0] - log_sum_exp(scores.left))
        full = float(scores.both[0] - log_sum_exp(scores.both))
        scored.append(Scored(slot, len(candidates), prefix, full))
    lost = {"beyond the model's context": located.lost, "without another candidate": alone}
    return Gaps(scored, lost)


def candidate_words(domain: str, domains: Domains) -> tuple[str, ...]:
    """Return all terms, each once: those of a domain in turn with those of all others."""
    terms = {name: _in_turn(listed.terms.values()) for name, listed in domains.items()}
    others = _in_turn([words for name, words in sorted(terms.items()) if name != domain])
    return _in_turn([terms.get(domain, ()), others])


def _in_turn(streams: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """Take one word of each stream in turn, each word once."""
    rounds = zip_longest(*streams)
    return tuple(dict.fromkeys(word for row in rounds for word in row if word is not None))


def _candidates(
    model: LanguageModel, slot: Slot, words: Sequence[str], count: int
) -> tuple[Tokens, ...]:
    """The masked word and the first words that the tokenizer can place in its slot."""
    chosen = {slot.word: None}
    for word in words:
        if len(chosen) == count:
            break
        filler = word_filler(model, slot, word)
        if filler is not None and len(filler) <= len(slot.word) + LONGEST_CANDIDATE:
            chosen[filler] = None
    return tuple(chosen)
