"""Continuations are scored given their context, which is run once and never tokenised apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import GPT2LMHeadModel

from harness.errors import ModelError
from harness.lm.handle import LanguageModel
from harness.lm.transformers_model import TransformersModel
from harness.testing.tiny_models import build_tiny

CONTEXT = "The nurses and the drivers wait near the station."
CONTINUATIONS = [" They come back.", " The old men", " The old women are seen", " They"]


def alone(model: LanguageModel, text: str, count: int) -> np.ndarray:
    """Log-probabilities of the last tokens of a text, through the module alone in float64."""
    ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = model.module(input_ids=torch.tensor([ids])).logits[0].double()
    table = torch.log_softmax(logits, dim=-1)
    return np.array([float(table[k - 1, ids[k]]) for k in range(len(ids) - count, len(ids))])


@pytest.fixture
def long_causal() -> TransformersModel:
    """A tiny GPT-2 that takes 1,024 tokens."""
    module, tokenizer = build_tiny("causal")
    config = module.config
    config.n_positions = 1024
    tokenizer.model_max_length = 1024
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TransformersModel(GPT2LMHeadModel(config), tokenizer, kind="causal", name="long")


@pytest.mark.parametrize("times", [1, 4, 12])
def test_continuations_of_a_context_are_scored_as_alone(
    long_causal: TransformersModel, times: int
) -> None:
    context = " ".join([CONTEXT] * 3 * times)  # within a block of rows, or longer
    count = len(long_causal.encode(context))
    assert [count < 110, 130 < count < 500, 500 < count < 1000][(1, 4, 12).index(times)]
    long_causal.continuation_scores([context] * 4, CONTINUATIONS)  # finds what the model can do
    before = long_causal.tokens_scored
    found = long_causal.continuation_scores([context] * 4, CONTINUATIONS)
    for scores, continuation in zip(found, CONTINUATIONS, strict=True):
        assert scores.ids.tolist() == long_causal.encode(continuation)
        expected = alone(long_causal, context + continuation, len(scores.ids))
        np.testing.assert_allclose(scores.logprobs, expected, atol=1e-4)
    # the last token of a row is not run; beginnings of continuations are shared as well
    rows = [long_causal.encode(context + c)[:-1] for c in CONTINUATIONS]
    prefixes = {tuple(row[:k]) for row in rows for k in range(1, len(row) + 1)}
    assert long_causal.tokens_scored - before == len(prefixes)
    assert len(prefixes) < count + 50


def test_white_space_at_the_end_of_a_context_is_counted_to_the_continuation(
    tiny_causal: LanguageModel,
) -> None:
    (moved,) = tiny_causal.continuation_scores(["Women and "], ["men wait"])
    (written,) = tiny_causal.continuation_scores(["Women and"], [" men wait"])
    assert moved.ids.tolist() == written.ids.tolist() == tiny_causal.encode(" men wait")
    np.testing.assert_array_equal(moved.logprobs, written.logprobs)


def test_an_empty_context_has_the_start_token_or_no_first_score(tiny_causal: LanguageModel) -> None:
    text = "Women and men"
    for start in (False, True):
        (found,) = tiny_causal.continuation_scores([""], [text], start=start)
        (whole,) = tiny_causal.token_scores([text], start=start)
        np.testing.assert_allclose(found.logprobs, whole.logprobs, atol=1e-6)
        assert np.isnan(found.logprobs[0]) == (not start)
        (after,) = tiny_causal.continuation_scores(["Women"], [" and men"], start=start)
        np.testing.assert_allclose(after.logprobs, whole.logprobs[-len(after.ids) :], atol=1e-6)


def test_a_token_across_the_boundary_is_refused(tiny_causal: LanguageModel) -> None:
    assert len(tiny_causal.encode(" and")) == 1
    with pytest.raises(ModelError, match="joins the end of the context 'women a' and the start"):
        tiny_causal.continuation_scores(["women a"], ["nd men"])


@pytest.mark.parametrize(
    ("continuation", "words"), [("", "no token to score"), (" station" * 80, "takes 64")]
)
def test_continuations_that_cannot_be_scored(
    tiny_causal: LanguageModel, continuation: str, words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        tiny_causal.continuation_scores(["I hear"], [continuation])


def test_a_masked_model_masks_each_token_of_the_continuation(tiny_masked: LanguageModel) -> None:
    (found,) = tiny_masked.continuation_scores(["Women and"], [" men wait"])
    (whole,) = tiny_masked.token_scores(["Women and men wait"])
    np.testing.assert_allclose(found.logprobs, whole.logprobs[-len(found.ids) :], atol=1e-5)


def test_any_handle_scores_continuations(tiny_causal: TransformersModel) -> None:
    """The method of the base class, which a third-party handle inherits, gives the same."""
    contexts, texts = [CONTEXT, CONTEXT, ""], [*CONTINUATIONS[:2], "Women wait"]
    for start in (False, True):
        own = tiny_causal.continuation_scores(contexts, texts, start=start)
        base = LanguageModel.continuation_scores(tiny_causal, contexts, texts, start=start)
        for one, other in zip(own, base, strict=True):
            np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-5)
            assert one.ids.tolist() == other.ids.tolist()
