"""Continuations are scored given their context, which is run once and never tokenised apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.errors import ModelError
from harness.lm.handle import LanguageModel
from harness.lm.transformers_model import TransformersModel

CONTEXT = "The nurses and the drivers wait near the station."
CONTINUATIONS = [" They come back.", " The old men", " The old women are seen", " They"]


def alone(model: LanguageModel, text: str, count: int) -> np.ndarray:
    """Log-probabilities of the last tokens of a text, through the module alone in float64."""
    ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = model.module(input_ids=torch.tensor([ids])).logits[0].double()
    table = torch.log_softmax(logits, dim=-1)
    return np.array([float(table[k - 1, ids[k]]) for k in range(len(ids) - count, len(ids))])


@pytest.mark.parametrize("times", [1, 3])
def test_continuations_of_a_context_are_scored_as_alone(smollm2: LanguageModel, times: int) -> None:
    context = " ".join([CONTEXT] * 12 * times)  # 120 tokens, then more than a block
    assert (len(smollm2.encode(context)) > 256) == (times == 3)
    before = smollm2.tokens_scored
    found = smollm2.continuation_scores([context] * 4, CONTINUATIONS)
    for scores, continuation in zip(found, CONTINUATIONS, strict=True):
        assert scores.ids.tolist() == smollm2.encode(continuation)
        expected = alone(smollm2, context + continuation, len(scores.ids))
        np.testing.assert_allclose(scores.logprobs, expected, atol=2e-4)
    # the last token of a row is not run; "They" and "The old" are shared as well
    rows = [smollm2.encode(context + c)[:-1] for c in CONTINUATIONS]
    prefixes = {tuple(row[:k]) for row in rows for k in range(1, len(row) + 1)}
    assert smollm2.tokens_scored - before == len(prefixes)
    assert len(prefixes) < len(smollm2.encode(context)) + 15


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
