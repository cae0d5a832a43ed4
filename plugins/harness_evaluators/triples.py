"""Scoring triples, and the measurements that come of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from harness.data.domains import OVERALL
from harness.errors import ModelError
from harness.lm.handle import LanguageModel
from harness.types import Measurement
from harness_evaluators.pairs import Triple, triple_item, triple_metrics
from harness_evaluators.scorers import DEFAULT, protocol_name, score_sentences

BLANK = "BLANK"
FILLER = "mlm_filler"


def measure_triples(
    model: LanguageModel,
    triples: Sequence[Triple],
    domains: Sequence[str],
    scorer: str,
    *,
    overall: bool,
) -> list[Measurement]:
    """Score triples once; one measurement a domain, and one over all triples if asked for."""
    scorer = resolve(scorer, model)
    protocol = protocol_name(scorer, model)
    if scorer == FILLER:
        scores = _filler_scores(model, triples)
    else:
        texts = [t for tr in triples for t in (tr.stereotype, tr.antistereotype, tr.unrelated)]
        flat = score_sentences(model, texts, scorer)
        scores = list(zip(flat[::3], flat[1::3], flat[2::3], strict=True))
    items = [triple_item(triple, own) for triple, own in zip(triples, scores, strict=True)]
    found = []
    for domain in domains:
        own = tuple(i for i, t in zip(items, triples, strict=True) if t.domain == domain)
        metrics = triple_metrics(own, bias_is_primary=True)
        found.append(Measurement(domain=domain, protocol=protocol, metrics=metrics, items=own))
    if overall:
        metrics = triple_metrics(items, bias_is_primary=False)
        found.append(
            Measurement(domain=OVERALL, protocol=protocol, metrics=metrics, items=tuple(items))
        )
    return found


def resolve(scorer: str, model: LanguageModel) -> str:
    """Name of the scorer: ``default`` is hf_nll for causal models, mlm_filler for masked ones.

    Raises:
        ModelError: ``mlm_filler`` on a causal model.
    """
    if scorer == DEFAULT:
        return "hf_nll" if model.kind == "causal" else FILLER
    if scorer == FILLER and model.kind == "causal":
        raise ModelError(f"scorer '{FILLER}' is not for the causal model '{model.name}'")
    return scorer


def _filler_scores(
    model: LanguageModel, triples: Sequence[Triple]
) -> list[tuple[float, float, float]]:
    """Mean probability of each filler's pieces, each masked after those before it, with none of
    those after it (StereoSet's and bias-bench's intrasentence protocol for masked models)."""
    texts, counts = [], []
    for triple in triples:
        before, _, after = triple.context.partition(BLANK)
        left, right = model.encode(before), model.encode(after)
        for sentence in (triple.stereotype, triple.antistereotype, triple.unrelated):
            pieces = model.encode(_filler(triple.context, sentence))
            texts += [
                ([*left, *pieces[: k + 1], *right], [len(left) + k]) for k in range(len(pieces))
            ]
            counts.append(len(pieces))
    probabilities = iter(float(np.exp(own[0])) for own in model.masked_scores_of(texts))
    means = [float(np.mean([next(probabilities) for _ in range(count)])) for count in counts]
    return list(zip(means[::3], means[1::3], means[2::3], strict=True))


def _filler(context: str, sentence: str) -> str:
    """The word of the sentence that stands where the context has its blank."""
    words = context.split(" ")
    at = next(i for i, word in enumerate(words) if BLANK in word)
    candidates = sentence.split(" ")
    word = candidates[at] if at < len(candidates) else candidates[-1]
    return re.sub(r"[^\w'-]", "", word) or word
