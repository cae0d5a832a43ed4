"""Infill unlearning: forgetting a masked word given the words on both sides of it.

MLM unlearning (Lu et al. 2024, Eq. 1) lowers ``P(a | p)``, the probability of a masked word a after
its left context p. In a causal model the words after the mask do not enter the loss. Infill
unlearning lowers the posterior of the word given both contexts, within a candidate set B::

    g(b) = log P(b | p) + log P(s | p, b)        pi(a) = exp g(a) / sum over b in B of exp g(b)

The gradient of ``log pi(a)`` is ``grad g(a) - sum over b of pi(b) grad g(b)``. The second term
removes what makes the right context s likely after any filler.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from pydantic import Field, JsonValue

from harness.arrays import Floats
from harness.data.places import DataStore
from harness.errors import DebiasError
from harness.lm.handle import LanguageModel
from harness.lm.infill import (
    MarkedText,
    Slot,
    Tokens,
    log_sum_exp,
    outside_share,
    score_fillers,
    slots_of,
    softmax,
    tail_log_mass,
    with_right,
    word_filler,
)
from harness.types import Checkpoint, DebiasRequest
from harness_debiasers.infill_candidates import CandidateChooser, CandidateSource
from harness_debiasers.training import TrainedDebiaser, TrainingConfig, train

if TYPE_CHECKING:
    import torch

Form = Literal["ce-u", "ascent", "npo", "equalise"]
Suffix = Literal["normalised", "plain", "left", "none"]


class InfillUnlearningConfig(TrainingConfig):
    """The loss on the posterior of a masked word, and the candidates it is normalised over."""

    form: Form = Field(
        "ce-u",
        description="loss on the posterior: ce-u (cross entropy towards the posterior without the "
        "word; bounded), ascent (minimise log pi(a)), npo (ascent that saturates against the base "
        "model), equalise (KL from the posterior to the prior of a neutral template)",
    )
    suffix: Suffix = Field(
        "normalised",
        description="what the loss sees of the words after the mask: normalised (the posterior "
        "above), plain (ascent on log P(a|p) + log P(s|p,a), not normalised), left (the posterior "
        "with the left context alone), none (Eq. 1 of the paper: ascent on log P(a|p))",
    )
    slots: Literal["one", "all"] = Field(
        "one",
        description="masked words of a passage that a step unlearns: one, drawn anew each time, "
        "or all; the expected gradient is the same up to the weight of passages with many",
    )
    candidates: tuple[CandidateSource, ...] = Field(
        ("group-words", "left-context"),
        min_length=1,
        description="where candidates come from, taken in turn: group-words (terms of all "
        "domains), left-context (likeliest tokens after p), both-contexts (tokens that a "
        "first-order guess finds likeliest between p and s; a backward pass a word), or "
        "vocabulary (every token: exact for words of one token, and slow)",
    )
    count: int = Field(8, ge=2, description="candidates of a slot, the masked word included")
    negatives: int | None = Field(
        1,
        ge=1,
        description="candidates drawn at each step for the negative part of the gradient, which "
        "stays unbiased; null: all of them",
    )
    longest_suffix: int = Field(
        12, ge=1, description="tokens of the right context that are used at most"
    )
    checked: int = Field(
        8,
        ge=0,
        description="masked words for which the posterior mass outside the candidates is "
        "estimated before training, and logged by passage",
    )
    draws: int = Field(8, ge=1, description="draws a word behind each of these estimates")
    beta: float = Field(0.1, gt=0, description="inverse temperature of npo")
    template: str = Field(
        "This text is about {}.", description="neutral text whose prior equalise aims at"
    )


class Example(NamedTuple):
    """A slot with its candidates; the masked word comes first.

    Attributes:
        slot: the masked word between its contexts.
        fillers: tokens of each candidate.
        base: ``log pi(a)`` under the base model, for npo.
        prior: log of the prior over the candidates, for equalise; None in other forms.
    """

    slot: Slot
    fillers: tuple[Tokens, ...]
    base: float = 0.0
    prior: Floats | None = None


class InfillUnlearning(TrainedDebiaser[InfillUnlearningConfig]):
    """Lowers the posterior of masked words given the text on both sides."""

    name = "infill-unlearning"
    summary = "Unlearns masked words of a causal model given the words on both sides."
    reference = "this project, docs/after-mask.md; extends Lu et al. 2024, Eq. 1"
    inputs = frozenset({"masks"})
    kinds = frozenset({"causal"})
    every_domain = True

    def fingerprint(self, data: DataStore) -> Mapping[str, JsonValue]:
        """Return a hash of the terms of all domains, where they are candidates."""
        if "group-words" not in self.config.candidates:
            return {}
        return {"terms": data.domains.terms_digest()}

    def debias(self, request: DebiasRequest) -> Iterator[Checkpoint]:
        """See `Debiaser.debias`."""
        config = self.config
        texts = [
            MarkedText(answer.passage.text, tuple((s.start, s.end) for s in answer.spans))
            for answer in request.masked
        ]
        located = slots_of(request.model, texts)
        seen = config.longest_suffix if config.suffix in ("normalised", "plain") else 0
        slots = [with_right(slot, seen) for slot in located.slots]
        groups: dict[int, list[Slot]] = {}
        for slot in slots:
            groups.setdefault(slot.passage, []).append(slot)
        facts: dict[str, JsonValue] = {
            "passages": len(groups),
            "passages_without_mask": len(request.masked) - len(groups),
            "words": len(slots),
            "words_lost": located.lost,
            "suffixes_cut": located.cut,
        }
        rng = np.random.default_rng(request.seed)
        examples = None
        if config.suffix in ("normalised", "left") and slots:
            examples = _Examples(request, config)
            facts |= examples.check(slots, np.random.default_rng(request.seed))

        def objective(
            model: LanguageModel, batch: Sequence[Sequence[Slot]]
        ) -> tuple[torch.Tensor, Mapping[str, float]]:
            chosen = [slot for group in batch for slot in _drawn(group, config.slots, rng)]
            if examples is None:
                return _ascent(model, chosen, by_piece=config.suffix == "none")
            return posterior_loss(model, examples.of(model, chosen), config, rng)

        yield from train(request, config, list(groups.values()), objective, facts)


def _drawn(
    slots: Sequence[Slot], how: Literal["one", "all"], rng: np.random.Generator
) -> Sequence[Slot]:
    return slots if how == "all" else [slots[int(rng.integers(len(slots)))]]


class _Examples:
    """Candidates of slots, chosen when a slot is first drawn, with the model as it is then."""

    def __init__(self, request: DebiasRequest, config: InfillUnlearningConfig) -> None:
        self._config = config
        self._request = request
        self._source = CandidateChooser(
            request.model, request.data.domains, config.candidates, config.count
        )
        self._known: dict[Slot, Example] = {}
        needs_base = config.form in ("npo", "equalise")
        self._base = request.model.copy() if needs_base else None
        self._template = (
            template_slot(request.model, config.template) if config.form == "equalise" else None
        )

    def check(self, slots: Sequence[Slot], rng: np.random.Generator) -> dict[str, JsonValue]:
        """Return facts about the candidates of some slots: their number, and what they leave out.

        Raises:
            DebiasError: none of the slots has a candidate other than the masked word.
        """
        count = min(len(slots), self._config.checked or 1)
        part = [slots[int(k)] for k in rng.choice(len(slots), size=count, replace=False)]
        model = self._request.model
        fillers, tables = self._source.choose(model, part)
        if all(len(candidates) < 2 for candidates in fillers) and not self._any_choice(slots):
            raise DebiasError(
                "no masked word has a candidate beside itself; add a source to 'candidates' or "
                "raise 'count'"
            )
        facts: dict[str, JsonValue] = {
            "candidates_mean": float(np.mean([len(candidates) for candidates in fillers]))
        }
        if self._config.checked:
            scores = score_fillers(model, part, fillers)
            tails = tail_log_mass(model, part, fillers, tables, self._config.draws, rng)
            shares = [
                outside_share(scored, tail) for scored, tail in zip(scores, tails, strict=True)
            ]
            by_passage: dict[str, JsonValue] = {
                self._request.masked[slot.passage].passage.id: share
                for slot, share in zip(part, shares, strict=True)
            }
            facts |= {
                "mass_outside": by_passage,
                "mass_outside_median": float(np.median(shares)),
                "share_with_mass_outside_above_0.05": float(np.mean(np.array(shares) > 0.05)),
            }
        return facts

    def _any_choice(self, slots: Sequence[Slot]) -> bool:
        """Whether any slot has a candidate other than its word."""
        return any(
            len(candidates) > 1
            for slot in slots
            for candidates in self._source.choose(self._request.model, [slot])[0]
        )

    def of(self, model: LanguageModel, slots: Sequence[Slot]) -> list[Example]:
        """Return the slots with their candidates.

        A slot without any but its word stays: its posterior is 1 and its gradient 0.
        """
        new = [slot for slot in dict.fromkeys(slots) if slot not in self._known]
        if new:
            fillers, _ = self._source.choose(model, new)
            made = [
                Example(slot, candidates) for slot, candidates in zip(new, fillers, strict=True)
            ]
            if self._base is not None:
                made = self._with_base(self._base, made)
            self._known |= {example.slot: example for example in made}
        return [self._known[slot] for slot in slots]

    def _with_base(self, base: LanguageModel, examples: Sequence[Example]) -> list[Example]:
        if self._template is not None:
            distinct = list(dict.fromkeys(f for example in examples for f in example.fillers))
            (scores,) = score_fillers(base, [self._template], [distinct])
            scores_of_base = dict(zip(distinct, scores.both, strict=True))
            return [
                example._replace(
                    prior=np.log(softmax(np.array([scores_of_base[f] for f in example.fillers])))
                )
                for example in examples
            ]
        scored = score_fillers(base, [e.slot for e in examples], [e.fillers for e in examples])
        return [
            example._replace(base=float(scores.both[0] - log_sum_exp(scores.both)))
            for example, scores in zip(examples, scored, strict=True)
        ]


def template_slot(model: LanguageModel, template: str) -> Slot:
    """Return the slot of a neutral template in which ``{}`` marks the word.

    Raises:
        DebiasError: there is no ``{}``, or the tokenizer merges the words around it.
    """
    before, brace, after = template.partition("{}")
    if not brace:
        raise DebiasError(f"template {template!r} has no {{}} where a word goes")
    text = before + "people" + after
    span = (len(before), len(before) + len("people"))
    slots = slots_of(model, [MarkedText(text, (span,))]).slots
    if not slots or word_filler(model, slots[0], "people") != slots[0].word:
        raise DebiasError(f"the tokenizer merges the words of template {template!r}; change it")
    return slots[0]


def gradient_weights(
    posterior: Floats,
    form: Form,
    *,
    beta: float = 0.1,
    base: float = 0.0,
    prior: Floats | None = None,
) -> tuple[float, Floats]:
    """Return a form's loss and its derivative by each ``g(b)``.

    The weights of every form sum to zero, because the posterior does not change when the same
    number is added to every ``g(b)``.

    Args:
        posterior: ``pi(b)``, the masked word first, shape ``(fillers,)``.
        form: the loss.
        beta: of npo.
        base: ``log pi(a)`` under the base model, for npo.
        prior: log of the distribution that equalise aims at, shape ``(fillers,)``.

    Returns:
        The loss in nats, and weights of shape ``(fillers,)``.
    """
    tiny = np.finfo(np.float64).tiny
    logs = np.log(np.maximum(posterior, tiny))
    masked = np.zeros_like(posterior)
    masked[0] = 1.0
    if form == "ascent":
        return float(logs[0]), masked - posterior
    if form == "npo":
        moved = beta * (logs[0] - base)
        return float(2.0 / beta * np.logaddexp(0.0, moved)), (
            2.0 / (1.0 + np.exp(-moved)) * (masked - posterior)
        )
    if form == "ce-u":
        others = posterior * (1.0 - masked)
        target = others / max(float(others.sum()), tiny)
        return float(-(target * logs).sum()), posterior - target
    assert prior is not None
    excess = logs - prior
    divergence = float((posterior * excess).sum())
    return divergence, posterior * (excess - divergence)


def posterior_loss(
    model: LanguageModel,
    batch: Sequence[Example],
    config: InfillUnlearningConfig,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, Mapping[str, float]]:
    """Return the mean loss over the slots of a batch, with an unbiased gradient.

    The posterior is computed without a graph over all candidates. The gradient is ``sum over b of
    w(b) grad g(b)``; with ``negatives`` set, all terms but the masked word's are estimated from
    that many draws with probability proportional to ``|w(b)|``.
    """
    import torch

    slots = [example.slot for example in batch]
    scored = score_fillers(model, slots, [example.fillers for example in batch])
    losses, rows, weights = [], [], []
    logs = []
    for example, scores in zip(batch, scored, strict=True):
        posterior = scores.posterior()
        loss, by_filler = gradient_weights(
            posterior, config.form, beta=config.beta, base=example.base, prior=example.prior
        )
        losses.append(loss)
        logs.append(scores.both[0] - log_sum_exp(scores.both))
        for k, weight in drawn_weights(by_filler, config.negatives, rng).items():
            rows.append((example.slot, example.fillers[k]))
            weights.append(weight)
    sums = filler_logprobs(model, rows)
    surrogate = (torch.tensor(weights, device=sums.device, dtype=sums.dtype) * sums).sum()
    surrogate = surrogate / len(batch)
    # The surrogate has the right gradient but another value: log the loss itself.
    value = surrogate - surrogate.detach() + sum(losses) / len(losses)
    return value, {"masked_word_logposterior": float(np.mean(logs))}


def drawn_weights(
    weights: Floats, negatives: int | None, rng: np.random.Generator
) -> dict[int, float]:
    """Return weights by filler, of which the first is exact and the others are drawn.

    Args:
        weights: of all fillers, the masked word's first.
        negatives: how many others to draw; None or enough for all: every weight as it is.
        rng: source of the draws.

    Returns:
        Weights whose expectation is ``weights``; fillers that were not drawn are absent.
    """
    others = weights[1:]
    total = float(np.abs(others).sum())
    if negatives is None or negatives >= len(others) or total == 0.0:
        return {k: float(weight) for k, weight in enumerate(weights) if weight != 0.0}
    kept = {0: float(weights[0])}
    for k in rng.choice(len(others), size=negatives, p=np.abs(others) / total):
        share = float(np.sign(others[k])) * total / negatives
        kept[int(k) + 1] = kept.get(int(k) + 1, 0.0) + share
    return kept


def filler_logprobs(model: LanguageModel, rows: Sequence[tuple[Slot, Tokens]]) -> torch.Tensor:
    """Return ``g(b)`` of each slot and filler with a graph, in nats, shape ``(rows,)``."""
    import torch

    index, positions, targets, owners = [], [], [], []
    windows = []
    for number, (slot, filler) in enumerate(rows):
        window = slot.window(filler)
        windows.append(window)
        for position in range(len(slot.left), len(window)):
            index.append(number)
            positions.append(position - 1)
            targets.append(window[position])
            owners.append(number)
    logits = model.training_logits(windows, index, positions)
    table = torch.log_softmax(logits.float(), dim=-1)
    wanted = torch.tensor(targets, device=table.device).unsqueeze(-1)
    scores = table.gather(-1, wanted).squeeze(-1)
    owner = torch.tensor(owners, device=table.device)
    return torch.zeros(len(rows), device=table.device).index_add(0, owner, scores)


def _ascent(
    model: LanguageModel, slots: Sequence[Slot], *, by_piece: bool
) -> tuple[torch.Tensor, Mapping[str, float]]:
    """Return the mean of ``g(a)`` over words; ``by_piece``: of ``g(a)`` a token of the word."""
    import torch

    sums = filler_logprobs(model, [(slot, slot.word) for slot in slots])
    if by_piece:
        pieces = [len(slot.word) for slot in slots]
        sums = sums / torch.tensor(pieces, device=sums.device)
    loss = sums.mean()
    return loss, {"masked_word_logprob": float(loss.detach())}
