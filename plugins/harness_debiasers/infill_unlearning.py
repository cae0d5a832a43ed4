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
from harness.errors import DebiasError
from harness.families import Debiaser
from harness.lm.handle import LanguageModel
from harness.lm.infill import (
    MarkedText,
    Slot,
    log_sum_exp,
    score_fillers,
    slots_of,
    softmax,
    with_right,
)
from harness.types import Checkpoint, DebiasRequest
from harness_debiasers.infill_candidates import Candidates, CandidateSource, choose_candidates
from harness_debiasers.training import TrainingConfig, train

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
    candidates: tuple[CandidateSource, ...] = Field(
        ("group-words", "left-context", "both-contexts"),
        min_length=1,
        description="where candidates come from, taken in turn: group-words (terms of all "
        "domains), left-context (likeliest tokens after p), both-contexts (tokens that a "
        "first-order guess finds likeliest between p and s), or vocabulary (every token: exact "
        "for words of one token, and slow)",
    )
    count: int = Field(8, ge=2, description="candidates of a slot, the masked word included")
    negatives: int | None = Field(
        2,
        ge=1,
        description="candidates drawn at each step for the negative part of the gradient, which "
        "stays unbiased; null: all of them",
    )
    draws: int = Field(
        8,
        ge=0,
        description="draws a slot from which the posterior mass outside the candidates is "
        "estimated before training; 0: none",
    )
    longest_suffix: int = Field(
        64, ge=1, description="tokens of the right context that are used at most"
    )
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
    fillers: tuple[tuple[int, ...], ...]
    base: float
    prior: Floats | None


class InfillUnlearning(Debiaser[InfillUnlearningConfig]):
    """Lowers the posterior of masked words given the text on both sides."""

    name = "infill-unlearning"
    summary = "Unlearns masked words of a causal model given the words on both sides."
    reference = "this project; posterior as in Hammersley-Clifford-Besag infilling (2402.15020)"
    inputs = frozenset({"masks"})
    kinds = frozenset({"causal"})

    def debias(self, request: DebiasRequest) -> Iterator[Checkpoint]:
        """See `Debiaser.debias`."""
        config = self.config
        texts = [
            MarkedText(answer.passage.text, tuple((s.start, s.end) for s in answer.spans))
            for answer in request.masked
        ]
        located = slots_of(request.model, texts)
        slots = [self._shortened(slot) for slot in located.slots]
        facts: dict[str, JsonValue] = {
            "passages_without_mask": sum(not answer.spans for answer in request.masked),
            "words_lost": located.lost,
            "suffixes_cut": located.cut,
        }
        if config.suffix in ("plain", "none"):
            examples = [Example(slot, (slot.word,), 0.0, None) for slot in slots]
        else:
            chosen = choose_candidates(
                request.model,
                slots,
                sources=config.candidates,
                count=config.count,
                draws=config.draws,
                seed=request.seed,
                progress=request.progress,
            )
            examples = self._examples(request.model, slots, chosen)
            facts |= _candidate_facts(chosen)
        facts |= {
            "passages": len({example.slot.passage for example in examples}),
            "words": len(examples),
        }
        rng = np.random.default_rng(request.seed)

        def objective(
            model: LanguageModel, batch: Sequence[Sequence[Example]]
        ) -> tuple[torch.Tensor, Mapping[str, float]]:
            flat = [example for group in batch for example in group]
            if config.suffix in ("plain", "none"):
                return _ascent(model, flat, by_piece=config.suffix == "none")
            return posterior_loss(model, flat, config, rng)

        yield from train(request, config, _by_passage(examples), objective, facts)

    def _shortened(self, slot: Slot) -> Slot:
        seen = self.config.suffix in ("normalised", "plain")
        return with_right(slot, self.config.longest_suffix if seen else 0)

    def _examples(
        self, model: LanguageModel, slots: Sequence[Slot], chosen: Candidates
    ) -> list[Example]:
        usable = [k for k, fillers in enumerate(chosen.fillers) if len(fillers) > 1]
        if not usable:
            raise DebiasError(
                "no masked word has a candidate beside itself; add a source to 'candidates' or "
                "raise 'count'"
            )
        slots = [slots[k] for k in usable]
        fillers = [chosen.fillers[k] for k in usable]
        scores = [chosen.scores[k] for k in usable]
        priors: list[Floats | None] = [None] * len(slots)
        if self.config.form == "equalise":
            priors = list(_template_priors(model, self.config.template, fillers))
        return [
            Example(slot, own, float(table.both[0] - log_sum_exp(table.both)), prior)
            for slot, own, table, prior in zip(slots, fillers, scores, priors, strict=True)
        ]


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


def filler_logprobs(
    model: LanguageModel, rows: Sequence[tuple[Slot, tuple[int, ...]]]
) -> torch.Tensor:
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
    model: LanguageModel, batch: Sequence[Example], *, by_piece: bool
) -> tuple[torch.Tensor, Mapping[str, float]]:
    """Mean over words of ``g(a)``; ``by_piece``: of its mean over the tokens of the word."""
    import torch

    sums = filler_logprobs(model, [(example.slot, example.slot.word) for example in batch])
    if by_piece:
        pieces = [len(example.slot.word) for example in batch]
        sums = sums / torch.tensor(pieces, device=sums.device)
    loss = sums.mean()
    return loss, {"masked_word_logprob": float(loss.detach())}


def _template_priors(
    model: LanguageModel, template: str, fillers: Sequence[Sequence[tuple[int, ...]]]
) -> Iterator[Floats]:
    """Log of each candidate's probability in the neutral template, normalised over the slot's."""
    before, brace, after = template.partition("{}")
    if not brace:
        raise DebiasError(f"template {template!r} has no {{}} where a candidate goes")
    whole = model.encode(before + "people" + after)
    left = model.encode(before.rstrip())
    right = model.encode(after)
    if whole[: len(left)] != left or (right and whole[len(whole) - len(right) :] != right):
        raise DebiasError(f"the tokenizer merges the words of template {template!r}; change it")
    slot = Slot(0, template, 0, 0, (model.start_id, *left), (), tuple(right))
    distinct = list(dict.fromkeys(filler for own in fillers for filler in own))
    (scores,) = score_fillers(model, [slot], [distinct])
    known = dict(zip(distinct, scores.both, strict=True))
    for own in fillers:
        yield np.log(softmax(np.array([known[filler] for filler in own])))


def _by_passage(examples: Sequence[Example]) -> list[list[Example]]:
    """Examples of one passage together: a batch counts passages, as in `mlm-unlearning`."""
    groups: dict[int, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.slot.passage, []).append(example)
    return list(groups.values())


def _candidate_facts(chosen: Candidates) -> dict[str, JsonValue]:
    """What the log says of the candidates: how many, and how much they leave out."""
    counts = [len(fillers) for fillers in chosen.fillers]
    facts: dict[str, JsonValue] = {
        "candidates_mean": float(np.mean(counts)) if counts else 0.0,
        "words_without_other_candidate": sum(count < 2 for count in counts),
    }
    if chosen.outside is not None and chosen.outside:
        facts |= {
            "mass_outside_median": float(np.median(chosen.outside)),
            "mass_outside_mean": float(np.mean(chosen.outside)),
            "words_with_mass_outside_above_0.05": sum(share > 0.05 for share in chosen.outside),
        }
    return facts
