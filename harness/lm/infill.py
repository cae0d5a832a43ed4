"""Fillers of a masked slot, scored with the words on both sides of it.

A causal model gives ``P(b | p)``, the probability of a filler b after its left context p. With the
right context s, Bayes' rule gives the posterior of b among a candidate set B::

    g(b) = log P(b | p) + log P(s | p, b)        pi(b) = exp g(b) / sum over B of exp g(b')

All probabilities are natural; log-probabilities are in nats. Left contexts are run once for all
fillers of a slot, because `LanguageModel.window_scores` shares prefixes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.arrays import Floats
from harness.lm.handle import LanguageModel

if TYPE_CHECKING:
    import torch

Tokens = tuple[int, ...]


class MarkedText(NamedTuple):
    """A text and the half-open character ranges of its masked words, in order."""

    text: str
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Slot:
    """A masked word between its contexts, as token ids.

    Attributes:
        passage: number of the text it is from.
        text: the text.
        start, end: the word's half-open character range in the text.
        left: the start token and the tokens before the word.
        word: the word's tokens.
        right: the tokens after the word; empty if it is the last.
    """

    passage: int
    text: str
    start: int
    end: int
    left: Tokens
    word: Tokens
    right: Tokens

    def window(self, filler: Tokens) -> Tokens:
        """Return the tokens of the text with a filler in place of the word."""
        return self.left + filler + self.right


class Slots(NamedTuple):
    """Slots of texts, and what did not fit.

    Attributes:
        slots: in the order of texts and words.
        lost: words that cover no token, or that end beyond the model's context.
        cut: slots whose right context was cut at the model's context.
    """

    slots: list[Slot]
    lost: int
    cut: int


def slots_of(model: LanguageModel, texts: Sequence[MarkedText], room: int = 1) -> Slots:
    """Find the slots of texts with masked words.

    Every other word stays as it is, other masked words included. A token belongs to the first
    word that it overlaps.

    Args:
        model: a causal model.
        texts: the texts.
        room: tokens that a filler may be longer than the word; the right context is cut so that
            it still fits.
    """
    slots: list[Slot] = []
    lost = cut = 0
    front = (model.start_id,)
    for number, (text, spans) in enumerate(texts):
        ids, offsets = model.encode_with_offsets(text)
        taken = 0
        for first_character, past in spans:
            inside = [
                i
                for i, (start, end) in enumerate(offsets)
                if i >= taken and start < end and start < past and end > first_character
            ]
            if not inside or len(front) + inside[-1] + 1 + room > model.max_tokens:
                lost += 1
                continue
            first, taken = inside[0], inside[-1] + 1
            left, right = (*front, *ids[:first]), tuple(ids[taken:])
            longest = model.max_tokens - len(left) - (taken - first) - room
            cut += len(right) > longest
            word = tuple(ids[first:taken])
            slots.append(Slot(number, text, first_character, past, left, word, right[:longest]))
    return Slots(slots, lost, cut)


def with_right(slot: Slot, longest: int) -> Slot:
    """Return the slot with at most so many tokens of its right context."""
    return replace(slot, right=slot.right[:longest])


def word_filler(model: LanguageModel, slot: Slot, word: str) -> Tokens | None:
    """Return the tokens of a word in the slot, or None if the tokenizer cannot place it there.

    The whole text is encoded with the word in place. It fits if the tokens on both sides are
    those of the original text, and the word has no unknown token. The word takes the capital of
    the word that it replaces.
    """
    original = slot.text[slot.start : slot.end]
    if original[:1].isupper() and not word[:1].isupper():
        word = word[:1].upper() + word[1:]
    ids = model.encode(slot.text[: slot.start] + word + slot.text[slot.end :])
    whole = model.encode(slot.text)
    before = len(slot.left) - 1
    after = len(whole) - before - len(slot.word)
    filler = tuple(ids[before : len(ids) - after])
    same_left = tuple(ids[:before]) == slot.left[1:]
    same_right = ids[len(ids) - after :] == whole[len(whole) - after :] if after else True
    in_vocabulary = model.tokenizer.unk_token_id not in filler
    return filler if filler and in_vocabulary and same_left and same_right else None


class FillerScores(NamedTuple):
    """Scores of the fillers of a slot, each of shape ``(fillers,)``, in nats.

    Attributes:
        left: ``log P(b | p)``, summed over the tokens of b.
        right: ``log P(s | p, b)``, summed over the tokens of s; 0 where s is empty.
    """

    left: Floats
    right: Floats

    @property
    def both(self) -> Floats:
        """``g(b)``: the two added up."""
        return self.left + self.right

    def posterior(self) -> Floats:
        """``pi(b)`` within these fillers, shape ``(fillers,)``; sums to 1."""
        return softmax(self.both)


def softmax(scores: Floats) -> Floats:
    """Return probabilities from log scores."""
    shifted = np.exp(scores - scores.max())
    return np.asarray(shifted / shifted.sum())


def log_sum_exp(scores: Floats) -> float:
    """Return ``log sum exp`` of log scores."""
    top = scores.max()
    return float(top + np.log(np.exp(scores - top).sum()))


def score_fillers(
    model: LanguageModel, slots: Sequence[Slot], fillers: Sequence[Sequence[Tokens]]
) -> list[FillerScores]:
    """Score the fillers of each slot with both contexts, in common batches.

    Args:
        model: a causal model, as it is now.
        slots: the slots.
        fillers: the fillers of each slot, in its order.

    Raises:
        ModelError: the model is not causal, or a slot with a filler exceeds its context.
    """
    windows = [
        slot.window(filler)
        for slot, of_slot in zip(slots, fillers, strict=True)
        for filler in of_slot
    ]
    scored = iter(model.window_scores(windows))
    answers = []
    for slot, candidates in zip(slots, fillers, strict=True):
        left, right = np.zeros(len(candidates)), np.zeros(len(candidates))
        for k, filler in enumerate(candidates):
            scores = next(scored)
            end = len(slot.left) + len(filler)
            left[k] = scores[len(slot.left) : end].sum()
            right[k] = scores[end:].sum()
        answers.append(FillerScores(left, right))
    return answers


def left_logprobs(model: LanguageModel, slots: Sequence[Slot], size: int = 32) -> Iterator[Floats]:
    """Yield ``log P(token | p)`` over the vocabulary for each slot, shape ``(vocabulary,)``."""
    import torch

    for begin in range(0, len(slots), size):
        part = slots[begin : begin + size]
        with torch.no_grad():
            logits = model.training_logits(
                [slot.left for slot in part],
                range(len(part)),
                [len(slot.left) - 1 for slot in part],
            )
            table = torch.log_softmax(logits.double(), dim=-1).cpu().numpy()
        yield from table


def two_sided_proposal(model: LanguageModel, slot: Slot, left: Floats) -> Floats:
    """Score one-token fillers with a first-order guess of what the right context says.

    ``log P(b | p) + (e_b - e_a) . grad of log P(s | p, a) by e_a``, where e are the outputs of the
    model's embedding layer and a is the first token of the word: one backward pass for the whole
    vocabulary (Gibbs-with-gradients, Grathwohl et al. 2021).

    Args:
        model: a causal model.
        slot: the slot.
        left: ``log P(token | p)``, as `left_logprobs` gives it.

    Returns:
        Scores of shape ``(vocabulary,)``, not normalised.
    """
    import torch

    if not slot.right:
        return left
    module = model.module
    embed = module.get_input_embeddings()  # type: ignore[operator]  # torch types it as a Tensor
    device = next(module.parameters()).device
    ids = torch.tensor([slot.window(slot.word)], device=device)
    kept: list[torch.Tensor] = []

    def keep(layer: torch.nn.Module, given: object, output: torch.Tensor) -> torch.Tensor:
        watched = output.detach().requires_grad_()
        kept.append(watched)
        return watched

    training = module.training
    module.eval()
    handle = embed.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            logits = module(input_ids=ids, use_cache=False).logits[0]
            end = len(slot.left) + len(slot.word)
            table = torch.log_softmax(logits[end - 1 : -1].float(), dim=-1)
            total = table.gather(-1, ids[0, end:].unsqueeze(-1)).sum()
            (gradient,) = torch.autograd.grad(total, kept[0])
    finally:
        handle.remove()
        module.train(training)
    with torch.no_grad():
        vectors = embed(torch.arange(len(left), device=device))
        position = len(slot.left)
        moved = (vectors - kept[0][0, position]) @ gradient[0, position]
    return np.asarray(left + moved.double().cpu().numpy())


def tail_log_mass(
    model: LanguageModel,
    slots: Sequence[Slot],
    fillers: Sequence[Sequence[Tokens]],
    left: Sequence[Floats],
    draws: int,
    rng: np.random.Generator,
) -> list[float]:
    """Estimate the posterior mass outside each slot's fillers, before normalisation.

    For one-token fillers outside B::

        (1 - P(B | p)) * mean over j of P(s | p, b_j),    b_j ~ P(. | p) outside B

    This is an unbiased estimate of ``sum over b outside B of P(b | p) P(s | p, b)``.

    Args:
        model: a causal model.
        slots: the slots.
        fillers: each slot's candidate set B; those of several tokens are not excluded, because
            the draws are single tokens.
        left: ``log P(token | p)`` of each slot over the vocabulary.
        draws: how many b_j to draw for each slot.
        rng: source of the draws.

    Returns:
        The logarithm of the estimate for each slot, in nats; ``-inf`` if B is the vocabulary.
    """
    chosen: list[list[Tokens]] = []
    masses: list[float] = []
    for candidates, table in zip(fillers, left, strict=True):
        outside = np.exp(table)
        outside[[filler[0] for filler in candidates if len(filler) == 1]] = 0.0
        mass = float(outside.sum())
        masses.append(mass)
        count = draws if mass > 0 else 0
        tokens = rng.choice(len(outside), size=count, p=outside / mass if count else None)
        chosen.append([(int(token),) for token in tokens])
    scored = score_fillers(model, slots, chosen)
    return [
        float(np.log(mass) + log_sum_exp(scores.right) - np.log(draws)) if mass > 0 else -np.inf
        for mass, scores in zip(masses, scored, strict=True)
    ]


def outside_share(scores: FillerScores, tail: float) -> float:
    """Return the share of the posterior mass outside the candidate set, between 0 and 1.

    Args:
        scores: of the candidate set.
        tail: the logarithm of the mass outside it, as `tail_log_mass` estimates it.
    """
    return float(np.exp(tail - np.logaddexp(tail, log_sum_exp(scores.both))))
