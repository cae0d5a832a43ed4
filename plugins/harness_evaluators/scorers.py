"""Sentence scorers by name. All read one table of token scores a checkpoint.

Names and definitions: ``hf_nll`` (bigscience evaluation PR 70; the seed paper), ``bb_geo``
(bias-bench, StereoSet), ``lmeval_sum`` (lm-evaluation-harness), ``bos_mean`` (with a start token,
every token, mean); for masked models ``mlm_pll_shared`` (Nangia et al. 2020) and ``mlm_avg_diff``
(bias-bench), ``mlm_pll_word_l2r`` (Kauf and Ivanova 2023).

The scripts behind ``hf_nll`` and ``bb_geo`` let the tokenizer write a text. Where it puts a start
token in front by itself (Gemma, Llama, Mistral), the text is scored after it, and the protocol's
name ends in ``+start`` (`protocol_name`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import NamedTuple

import numpy as np

from harness.errors import ModelError, did_you_mean
from harness.lm.handle import LanguageModel, ModelKind
from harness.quantities import LogProb

DEFAULT = "default"
"""The paper's scorer for causal models (``hf_nll``); Nangia et al.'s for masked ones."""


START = "+start"
"""Suffix of a protocol that puts the tokenizer's own start token in front of a text."""


class PairScore(NamedTuple):
    """Scores of two sentences, comparable with each other only."""

    first: float
    second: float


@dataclass(frozen=True)
class Scorer:
    """A way to score sentences, or pairs of them, with one kind of model.

    Attributes:
        kind: of the models that it is for.
        quantity: what its scores are.
        of_texts: scores sentences one by one; higher is more probable. None: it scores pairs only.
        of_pairs: scores pairs; None in its answer: the pair is left out. None: each sentence of a
            pair is scored by itself.
    """

    kind: ModelKind
    quantity: LogProb
    of_texts: Callable[[LanguageModel, Sequence[str]], list[float]] | None = None
    of_pairs: (
        Callable[[LanguageModel, Sequence[tuple[str, str]]], list[PairScore | None]] | None
    ) = None


def score_sentences(model: LanguageModel, texts: Sequence[str], scorer: str) -> list[float]:
    """Score sentences one by one; higher is more probable.

    Raises:
        ModelError: the scorer is unknown, made for the other kind of model, or for pairs only.
    """
    fitting = _scorer(scorer, model, pairs=False)
    assert fitting.of_texts is not None
    return fitting.of_texts(model, texts)


def score_pairs(
    model: LanguageModel, pairs: Sequence[tuple[str, str]], scorer: str
) -> list[PairScore | None]:
    """Score pairs of sentences; None where the scorer leaves a pair out.

    Raises:
        ModelError: the scorer is unknown, or made for the other kind of model.
    """
    fitting = _scorer(scorer, model, pairs=True)
    if fitting.of_pairs is not None:
        return fitting.of_pairs(model, pairs)
    flat = score_sentences(model, [text for pair in pairs for text in pair], scorer)
    return [PairScore(*scores) for scores in zip(flat[::2], flat[1::2], strict=True)]


def resolve(scorer: str, kind: ModelKind) -> str:
    """Return the name behind ``default`` for a kind of model; other names as they are."""
    if scorer != DEFAULT:
        return scorer
    return "hf_nll" if kind == "causal" else "mlm_pll_shared"


def protocol_name(scorer: str, model: LanguageModel) -> str:
    """Name of the protocol that a scorer (or ``default``) follows on a model.

    It ends in ``+start`` where the scorer by itself puts no start token in front of a text, and
    the model's tokenizer does.
    """
    name = resolve(scorer, model.kind)
    return with_start(name, model) if name in ("hf_nll", "bb_geo") else name


def with_start(protocol: str, model: LanguageModel) -> str:
    """Name of a protocol that leaves the start token to the tokenizer."""
    return f"{protocol}{START}" if model.kind == "causal" and model.front else protocol


def quantity_of(protocol: str) -> LogProb:
    """Return what the scores of a protocol are.

    Raises:
        ModelError: the protocol is unknown.
    """
    name = protocol.removesuffix(START)
    if name not in SCORERS:
        raise ModelError(f"unknown scorer '{name}'{did_you_mean(name, SCORERS)}")
    return SCORERS[name].quantity


def _scorer(scorer: str, model: LanguageModel, *, pairs: bool) -> Scorer:
    """Return a scorer that fits the model, and pairs or sentences."""
    name = resolve(scorer, model.kind)
    if name not in SCORERS:
        raise ModelError(f"unknown scorer '{name}'{did_you_mean(name, SCORERS)}")
    fitting = [
        other
        for other, about in SCORERS.items()
        if about.kind == model.kind and (pairs or about.of_texts is not None)
    ]
    if name not in fitting:
        raise ModelError(
            f"scorer '{name}' is not for {'pairs' if pairs else 'sentences'} on the {model.kind} "
            f"model '{model.name}'; use one of: {', '.join(sorted(fitting))}"
        )
    return SCORERS[name]


def _hf_nll(model: LanguageModel, texts: Sequence[str]) -> list[float]:
    """Mean log p of all tokens that have one: without a start token, the first has none."""
    means = []
    for text, scores in zip(texts, model.token_scores(texts), strict=True):
        logprobs = scores.logprobs if model.front else scores.logprobs[1:]
        if not len(logprobs):
            raise ModelError(
                f"scorer 'hf_nll' needs two tokens; {text!r} has one; use 'bos_mean' instead"
            )
        means.append(float(logprobs.mean()))
    return means


def _bb_geo(model: LanguageModel, texts: Sequence[str]) -> list[float]:
    """Mean log p over all tokens: the first after the separator of documents, the others in the
    text as the tokenizer writes it.

    The published score is 2 to the mean log2 probability, which orders sentences the same way.
    """
    plain = model.token_scores(texts)
    firsts = [int(scores.ids[0]) for scores in plain]
    first = model.start_scores(firsts, start=model.separator_id)
    return [
        float((logprob + np.sum(scores.logprobs[1:])) / len(scores.ids))
        for logprob, scores in zip(first, plain, strict=True)
    ]


def _lmeval_sum(model: LanguageModel, texts: Sequence[str]) -> list[float]:
    """Sum of log p over all tokens after the tokenizer's BOS token (else EOS), as in lm-eval."""
    return [float(s.logprobs.sum()) for s in model.token_scores(texts, start=model.bos_id)]


def _bos_mean(model: LanguageModel, texts: Sequence[str]) -> list[float]:
    """Mean log p over all tokens after a start token."""
    return [float(s.logprobs.mean()) for s in model.token_scores(texts, start=True)]


def _mlm_pll_shared(
    model: LanguageModel, pairs: Sequence[tuple[str, str]]
) -> list[PairScore | None]:
    """Sum of masked log p over the tokens that both sentences share, to three decimals."""
    texts = []
    for one, other in _cased(model, pairs):
        a, b = model.encode(one), model.encode(other)
        same_a, same_b = _spans(model, a, b, shared=True)
        texts += [(a, same_a), (b, same_b)]
    sums = [round(float(logprobs.sum()), 3) for logprobs in model.masked_scores_of(texts)]
    return [PairScore(*both) for both in zip(sums[::2], sums[1::2], strict=True)]


def _mlm_avg_diff(model: LanguageModel, pairs: Sequence[tuple[str, str]]) -> list[PairScore | None]:
    """Mean masked log p of the differing tokens, to three decimals; pairs in which one sentence
    has none are left out."""
    texts = []
    for one, other in pairs:
        a, b = model.encode(one), model.encode(other)
        own_a, own_b = _spans(model, a, b, shared=False)
        texts += [(a, own_a), (b, own_b)] if own_a and own_b else [(a, []), (b, [])]
    means = [
        round(float(logprobs.mean()), 3) if len(logprobs) else None
        for logprobs in model.masked_scores_of(texts)
    ]
    return [
        None if one is None or other is None else PairScore(one, other)
        for one, other in zip(means[::2], means[1::2], strict=True)
    ]


def _cased(model: LanguageModel, pairs: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
    """Lower-case pairs for uncased models, as the published metric does."""
    if not getattr(model.tokenizer, "do_lower_case", False):
        return pairs
    return [(one.lower(), other.lower()) for one, other in pairs]


def _spans(
    model: LanguageModel, a: Sequence[int], b: Sequence[int], *, shared: bool
) -> tuple[list[int], list[int]]:
    """Positions in each sentence that difflib finds equal (or not), over token ids.

    As published, the sentences are compared between their special tokens: with these, another run
    of equal tokens may be the longest.
    """
    ours: list[int] = []
    theirs: list[int] = []
    (run_a, first), (run_b, _) = (model.masked_input(ids, []) for ids in (a, b))
    matcher = SequenceMatcher(None, [str(i) for i in run_a], [str(i) for i in run_b])
    for tag, a0, a1, b0, b1 in matcher.get_opcodes():
        if (tag == "equal") == shared:
            ours += range(a0 - first, a1 - first)
            theirs += range(b0 - first, b1 - first)
    return [k for k in ours if 0 <= k < len(a)], [k for k in theirs if 0 <= k < len(b)]


def _mlm_pll_word_l2r(model: LanguageModel, texts: Sequence[str]) -> list[float]:
    """Sum over all tokens of log p, with the token and the later pieces of its word masked.

    The original pseudo-log-likelihood masks the token alone, and so overrates long words: their
    pieces give each other away (Kauf and Ivanova 2023, ``PLL-word-l2r``). Words are those of the
    tokenizer.
    """
    mask = model.tokenizer.mask_token_id
    rows: list[tuple[list[int], list[int]]] = []
    counts = []
    for text in texts:
        ids = model.encode(text)
        words = model.tokenizer(text, add_special_tokens=False).word_ids()
        counts.append(len(ids))
        for k in range(len(ids)):
            later = [
                mask if j > k and words[j] is not None and words[j] == words[k] else token
                for j, token in enumerate(ids)
            ]
            rows.append((later, [k]))
    scores = iter(float(logprobs[0]) for logprobs in model.masked_scores_of(rows))
    return [math.fsum(next(scores) for _ in range(count)) for count in counts]


_PER_TOKEN, _PER_TEXT = LogProb(per="token"), LogProb(per="text")

SCORERS: Mapping[str, Scorer] = {
    "hf_nll": Scorer("causal", _PER_TOKEN, of_texts=_hf_nll),
    "bb_geo": Scorer("causal", _PER_TOKEN, of_texts=_bb_geo),
    "lmeval_sum": Scorer("causal", _PER_TEXT, of_texts=_lmeval_sum),
    "bos_mean": Scorer("causal", _PER_TOKEN, of_texts=_bos_mean),
    "mlm_pll_shared": Scorer("masked", LogProb(per="text", digits=3), of_pairs=_mlm_pll_shared),
    "mlm_avg_diff": Scorer("masked", LogProb(per="token", digits=3), of_pairs=_mlm_avg_diff),
    "mlm_pll_word_l2r": Scorer("masked", _PER_TEXT, of_texts=_mlm_pll_word_l2r),
}
"""Every scorer by name."""
