"""MLM unlearning (Lu et al. 2024, Eq. 1): gradient ascent on masked words, context kept.

The loss is ``+ log P(x_i | X \\ x_i)`` of the masked words, minimised. A causal model sees only
the words before ``x_i``; a masked model sees the whole text with a mask token for each piece.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import Field, JsonValue

from harness.lm.handle import LanguageModel
from harness.types import Checkpoint, DebiasRequest, MaskedPassage
from harness_debiasers.training import TrainedDebiaser, TrainingConfig, train

if TYPE_CHECKING:
    import torch

LITERAL_MASK = "[MASK]"


class MlmUnlearningConfig(TrainingConfig):
    """Every choice that the paper leaves open, with the default declared for it."""

    pieces: Literal["mean", "sum"] = Field(
        "mean", description="log-probability of a word of several pieces: their mean or sum"
    )
    reduction: Literal["word", "passage"] = Field(
        "word",
        description="average of a batch over its masked words, or over passages of the mean "
        "over each one's words",
    )
    first_word: Literal["start-token", "skip"] = Field(
        "start-token",
        description="a causal model's masked word at position 0: predicted from the start token, "
        "or left out",
    )
    earlier_masks: Literal["words", "literal"] = Field(
        "words",
        description="what a masked word sees of earlier masked words of its text: the true "
        "words, or the string [MASK] (causal models)",
    )
    other_masks: Literal["visible", "masked"] = Field(
        "visible",
        description="what a masked word sees of the text's other masked words, in a masked LM",
    )


class Word(NamedTuple):
    """Token positions of one masked word in an example."""

    positions: tuple[int, ...]


class Example(NamedTuple):
    """Tokens to run and the words to unlearn; position k is predicted from the output at k - 1
    by a causal model, at k by a masked one. ``targets`` are the true tokens."""

    ids: tuple[int, ...]
    targets: tuple[int, ...]
    words: tuple[Word, ...]
    passage: int


class MlmUnlearning(TrainedDebiaser[MlmUnlearningConfig]):
    """Unlearns masked words by gradient ascent."""

    name = "mlm-unlearning"
    summary = "Gradient ascent on the masked words of hateful passages (the paper's method)."
    reference = "Lu et al. 2024, Towards Transfer Unlearning, Eq. 1"
    inputs = frozenset({"masks"})

    def debias(self, request: DebiasRequest) -> Iterator[Checkpoint]:
        """See `Debiaser.debias`."""
        build = causal_examples if request.model.kind == "causal" else masked_examples
        examples, lost = build(request.model, request.masked, self.config)
        facts: dict[str, JsonValue] = {
            "passages": len({example.passage for example in examples}),
            "passages_without_mask": sum(not m.spans for m in request.masked),
            "words": sum(len(example.words) for example in examples),
            "words_lost": lost,
        }
        batches = group_by_passage(examples)

        def objective(
            model: LanguageModel, batch: Sequence[Sequence[Example]]
        ) -> tuple[torch.Tensor, Mapping[str, float]]:
            flat = [example for group in batch for example in group]
            return unlearning_loss(model, flat, self.config)

        yield from train(request, self.config, batches, objective, facts)


def group_by_passage(examples: Sequence[Example]) -> list[list[Example]]:
    """Put the examples of a passage together: a batch counts passages, as the paper's does."""
    groups: dict[int, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.passage, []).append(example)
    return list(groups.values())


def unlearning_loss(
    model: LanguageModel, batch: Sequence[Example], config: MlmUnlearningConfig
) -> tuple[torch.Tensor, Mapping[str, float]]:
    """Return the mean log-probability of a batch's masked words, to be minimised (Eq. 1)."""
    import torch

    flat = token_logprobs(model, batch)
    by_word, passages, start = [], [], 0
    for example in batch:
        for word in example.words:
            pieces = flat[start : start + len(word.positions)]
            start += len(word.positions)
            by_word.append(pieces.mean() if config.pieces == "mean" else pieces.sum())
            passages.append(example.passage)
    words = torch.stack(by_word)
    if config.reduction == "word":
        loss = words.mean()
    else:
        owner = torch.tensor(passages, device=words.device)
        loss = torch.stack([words[owner == p].mean() for p in dict.fromkeys(passages)]).mean()
    return loss, {"masked_word_logprob": float(words.detach().mean())}


def token_logprobs(model: LanguageModel, batch: Sequence[Example]) -> torch.Tensor:
    """Return log-probabilities of all tokens of masked words with a graph, ``(tokens,)``.

    Only the positions asked for go through the output layer.
    """
    import torch

    before = 1 if model.kind == "causal" else 0
    index = [i for i, ex in enumerate(batch) for w in ex.words for _ in w.positions]
    position = [p - before for ex in batch for w in ex.words for p in w.positions]
    target = [ex.targets[p] for ex in batch for w in ex.words for p in w.positions]
    logits = model.training_logits([ex.ids for ex in batch], index, position)
    logprobs = torch.log_softmax(logits.float(), dim=-1)
    wanted = torch.tensor(target, device=logprobs.device).unsqueeze(-1)
    return logprobs.gather(-1, wanted).squeeze(-1)


def causal_examples(
    model: LanguageModel, masked: Sequence[MaskedPassage], config: MlmUnlearningConfig
) -> tuple[list[Example], int]:
    """Return prefixes that end with a masked word, and the number of words lost.

    A start token precedes every text where ``first_word`` is ``start-token``, or where
    the tokenizer puts one there. Tokens
    after the last masked word are cut: no loss depends on them. Lost are words beyond the
    context, and words at position 0 where they are to be skipped.
    """
    front = model.start_ids if config.first_word == "start-token" else model.front
    examples: list[Example] = []
    lost = 0
    for number, answer in enumerate(masked):
        if not answer.spans:
            continue
        if config.earlier_masks == "literal":
            pairs = _literal_prefixes(model, answer)
        else:
            ids, offsets = model.encode_with_offsets(answer.passage.text)
            pairs = [(ids, words_of(answer, offsets))]
        for ids, words in pairs:
            run = (*front, *ids)
            moved = [Word(tuple(p + len(front) for p in w.positions)) for w in words]
            kept = [w for w in moved if w.positions[0] > 0 and w.positions[-1] < model.max_tokens]
            lost += len(moved) - len(kept)
            if kept:
                end = max(w.positions[-1] for w in kept) + 1
                examples.append(Example(run[:end], run[:end], tuple(kept), number))
    return examples, lost


def _literal_prefixes(
    model: LanguageModel, answer: MaskedPassage
) -> list[tuple[list[int], list[Word]]]:
    """Return a text for each masked word, with the string ``[MASK]`` for each earlier one."""
    text, texts = answer.passage.text, []
    for k, span in enumerate(answer.spans):
        prefix, at = "", 0
        for earlier in answer.spans[:k]:
            prefix += text[at : earlier.start] + LITERAL_MASK
            at = earlier.end
        prefix += text[at : span.start]
        ids, offsets = model.encode_with_offsets(prefix + text[span.start : span.end])
        word = _overlapping(offsets, len(prefix), len(prefix) + span.end - span.start)
        if word is not None:
            texts.append((ids, [word]))
    return texts


def masked_examples(
    model: LanguageModel, masked: Sequence[MaskedPassage], config: MlmUnlearningConfig
) -> tuple[list[Example], int]:
    """Return an example for each masked word, with mask tokens for its pieces (Eq. 1)."""
    examples: list[Example] = []
    lost = 0
    for number, answer in enumerate(masked):
        ids, offsets = model.encode_with_offsets(answer.passage.text)
        words = words_of(answer, offsets)
        room = model.max_tokens - 2
        kept = [w for w in words if w.positions[-1] < room]
        lost += len(words) - len(kept)
        for word in kept:
            hidden = [word] if config.other_masks == "visible" else kept
            positions = {p for w in hidden for p in w.positions}
            run, first = model.masked_input(ids[:room], sorted(positions))
            targets, _ = model.masked_input(ids[:room], [])
            moved = Word(tuple(p + first for p in word.positions))
            examples.append(Example(tuple(run), tuple(targets), (moved,), number))
    return examples, lost


def words_of(answer: MaskedPassage, offsets: Sequence[tuple[int, int]]) -> list[Word]:
    """Return the tokens of each span; a token counts for the first span that it overlaps."""
    words, taken = [], -1
    for span in answer.spans:
        word = _overlapping(offsets, span.start, span.end, after=taken)
        if word is not None:
            words.append(word)
            taken = word.positions[-1]
    return words


def _overlapping(
    offsets: Sequence[tuple[int, int]], start: int, end: int, after: int = -1
) -> Word | None:
    positions = tuple(
        i for i, (a, b) in enumerate(offsets) if i > after and a < end and b > start and a < b
    )
    return Word(positions) if positions else None
