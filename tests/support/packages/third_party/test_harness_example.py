"""How a plugin author tests a plugin: the contract, on small things, without a download."""

import pytest
from harness_example import JobPairs, LongestWords, PlainAscent, TemplateCorpus

from harness.errors import DebiasError
from harness.testing import (
    check_corpus,
    check_debiaser,
    check_evaluator,
    check_masker,
    sample_passages,
    tiny_causal_model,
)


def test_corpus_gives_both_splits_of_a_domain() -> None:
    passages = check_corpus(TemplateCorpus, domain="age")
    assert {passage.group for passage in passages} == {"young people", "old people"}


def test_masker_takes_the_longest_words() -> None:
    passage = sample_passages("gender")[0]
    (masked,) = check_masker(LongestWords, {"words": 2}, passages=[passage])
    lengths = [span.end - span.start for span in masked.spans]
    words = sorted(map(len, passage.text.rstrip(".").split()), reverse=True)
    assert sorted(lengths, reverse=True) == words[:2]


def test_debiaser_makes_the_masked_words_less_likely() -> None:
    # Twelve samples, one a step: steps 1 and 13 unlearn the same one.
    first, again = check_debiaser(PlainAscent, {"learning_rate": 0.01}, steps=(1, 13))
    assert again.log["masked_nll"] > first.log["masked_nll"] + 0.5


def test_debiaser_needs_a_masked_word() -> None:
    with pytest.raises(DebiasError, match="no passage has a masked word"):
        check_debiaser(PlainAscent, masked=())


def test_evaluator_scores_six_jobs_a_domain() -> None:
    measurements = check_evaluator(JobPairs, model=tiny_causal_model())
    assert {m.domain: len(m.items) for m in measurements} == {"gender": 6, "age": 6}
    probability = next(m for m in measurements[0].metrics if m.name == "token_probability")
    assert 0 < (probability.value or 0) < 100
    assert [metric.name for metric in measurements[0].derived] == ["preference"]
