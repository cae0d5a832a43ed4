"""Start tokens: what a tokenizer puts in front of a text is kept, everywhere, and can be chosen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from harness_debiasers.lm_loss import text_rows
from harness_debiasers.mlm_unlearning import MlmUnlearningConfig, causal_examples
from harness_debiasers.projection_fit import mean_states
from harness_evaluators.perplexity import WikiText2Perplexity
from harness_evaluators.scorers import protocol_name, score_sentences

from harness.data.places import DataStore
from harness.errors import ModelError
from harness.lm.handle import LanguageModel
from harness.lm.loading.loading import load_transformers
from harness.lm.start_tokens import find_start_tokens
from harness.lm.transformers_model import TransformersModel
from harness.testing import sample_masked
from harness.testing.tiny_models import build_tiny
from harness.types import EvaluationRequest, no_progress

TEXTS = ["Women and men wait near the station.", "They come back in early spring"]
BOS = "<|endoftext|>"
OTHER = "!"
"""A token of the vocabulary that can be named as a start token."""


def model_that(adds: bool, wanted: str = "auto", separator: str | None = None) -> TransformersModel:
    """A tiny GPT-2 whose tokenizer puts BOS in front of a text, as Gemma's does, or does not."""
    from tokenizers.processors import TemplateProcessing

    module, tokenizer = build_tiny("causal")
    if adds:
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.bos_token_id)]
        )
    starts = find_start_tokens(tokenizer, "causal", name="t", wanted=wanted, separator=separator)
    return TransformersModel(module, tokenizer, kind="causal", name="t", starts=starts)


def after(model: LanguageModel, front: list[int], text: str) -> np.ndarray:
    """Log p of each token of a text behind tokens in front, through the module alone."""
    run = [*front, *model.encode(text)]
    with torch.no_grad():
        table = torch.log_softmax(model.module(input_ids=torch.tensor([run])).logits[0], -1)
    scores = [float(table[k - 1, run[k]]) for k in range(1, len(run))]
    return np.array(scores[len(front) - 1 :] if front else [np.nan, *scores])


def id_of(model: LanguageModel, token: str) -> int:
    return int(model.tokenizer.get_vocab()[token])


@pytest.mark.parametrize("wanted", ["auto", "none", OTHER])
@pytest.mark.parametrize("adds", [False, True])
def test_a_text_is_scored_after_what_the_tokenizer_puts_in_front(adds: bool, wanted: str) -> None:
    model = model_that(adds, wanted)
    bos, other = id_of(model, BOS), id_of(model, OTHER)
    start = {"auto": bos, OTHER: other}.get(wanted)
    front = [start] if adds and start is not None else []
    assert list(model.front) == front
    for text, scores in zip(TEXTS, model.token_scores(TEXTS), strict=True):
        np.testing.assert_allclose(scores.logprobs, after(model, front, text), atol=1e-5)
    (asked,) = model.token_scores(TEXTS[:1], start=other)
    np.testing.assert_allclose(asked.logprobs, after(model, [other], TEXTS[0]), atol=1e-5)
    if start is None:
        with pytest.raises(ModelError, match="has no start token, and one is asked for"):
            model.token_scores(TEXTS, start=True)
    else:
        (asked,) = model.token_scores(TEXTS[:1], start=True)
        np.testing.assert_allclose(asked.logprobs, after(model, [start], TEXTS[0]), atol=1e-5)
        assert model.start_id == start


@pytest.mark.parametrize("adds", [False, True])
def test_each_protocol_has_the_start_token_of_its_tool(adds: bool) -> None:
    """BOS, the start token and the separator of documents are three tokens here."""
    model = model_that(adds, separator=OTHER)
    bos, separator = [id_of(model, BOS)], [id_of(model, OTHER)]
    front, start = (bos, bos) if adds else ([], separator)
    for text in TEXTS:
        plain = after(model, front, text)
        first = after(model, separator, text)[0]
        expected = {
            "hf_nll": float(np.nanmean(plain)),
            "bb_geo": float((first + plain[1:].sum()) / len(plain)),
            "lmeval_sum": float(after(model, bos, text).sum()),
            "bos_mean": float(after(model, start, text).mean()),
        }
        for scorer, value in expected.items():
            assert score_sentences(model, [text], scorer) == [pytest.approx(value, abs=1e-5)]
    names = {s: protocol_name(s, model) for s in ("default", "bb_geo", "lmeval_sum", "bos_mean")}
    assert (names["lmeval_sum"], names["bos_mean"]) == ("lmeval_sum", "bos_mean")
    assert names["default"] == ("hf_nll+start" if adds else "hf_nll")
    assert names["bb_geo"] == ("bb_geo+start" if adds else "bb_geo")


@pytest.mark.parametrize("adds", [False, True])
def test_each_window_of_perplexity_begins_with_the_start_token(adds: bool) -> None:
    model = model_that(adds)
    request = EvaluationRequest(
        model=model,
        domains=(),
        unlearned=(),
        unseen=(),
        data=DataStore(offline=True),
        progress=no_progress,
    )
    text = " ".join(TEXTS)
    evaluator = WikiText2Perplexity(WikiText2Perplexity.Config())
    found = evaluator.windows(request, text, 8, "window8", prefix="t")
    assert found.protocol == ("window8+start" if adds else "window8")
    front = [model.start_id] if adds else []
    ids, total, count = model.encode(text), 0.0, 0
    for at in range(0, len(ids), 8 - len(front)):
        part = model.tokenizer.decode(ids[at : at + 8 - len(front)])
        scores = after(model, front, part)
        total -= float(np.nansum(scores))
        count += int(np.isfinite(scores).sum())
    assert found.metrics[0].value == pytest.approx(np.exp(total / count), rel=1e-4)


@pytest.mark.parametrize("adds", [False, True])
def test_hidden_states_and_generation_see_the_start_token(adds: bool) -> None:
    model = model_that(adds)
    front = [model.start_id] if adds else []
    run = torch.tensor([[*front, *model.encode(TEXTS[0])]])
    with torch.no_grad():
        states = model.module.base_model(input_ids=run).last_hidden_state[0]  # type: ignore[operator]
        new = model.module.generate(  # type: ignore[operator]
            input_ids=run, max_new_tokens=4, do_sample=False, pad_token_id=0
        )
    expected = model.tokenizer.decode(new[0, run.shape[1] :], skip_special_tokens=True)
    (found,) = model.hidden_states(TEXTS[:1])
    np.testing.assert_allclose(found, states[len(front) :].numpy(), atol=1e-5)
    assert model.generate(TEXTS[:1], max_new_tokens=4) == [expected]


@pytest.mark.parametrize("adds", [False, True])
def test_training_rows_begin_with_the_start_token(adds: bool) -> None:
    model = model_that(adds)
    (row,) = text_rows(model, TEXTS[:1])
    assert row.ids == (model.start_id, *model.encode(TEXTS[0])[:-1])
    masked = sample_masked("gender")[:1]
    (with_start,), _ = causal_examples(model, masked, MlmUnlearningConfig())
    assert with_start.ids[0] == model.start_id
    (skipped,), _ = causal_examples(model, masked, MlmUnlearningConfig(first_word="skip"))
    assert (skipped.ids[0] == model.start_id) == adds


def test_states_of_a_masked_model_are_those_between_its_special_tokens(
    tiny_masked: LanguageModel,
) -> None:
    whole = torch.tensor([tiny_masked.tokenizer(TEXTS[0])["input_ids"]])
    with torch.no_grad():
        states = tiny_masked.module.base_model(input_ids=whole).last_hidden_state[0]  # type: ignore[operator]
    (own,) = tiny_masked.hidden_states([TEXTS[0]])
    np.testing.assert_allclose(own, states[1:-1].numpy(), atol=1e-5)
    (mean,) = mean_states(tiny_masked, [TEXTS[0]], -1)
    np.testing.assert_allclose(mean, states.double().mean(0).numpy(), atol=1e-5)


def test_the_default_model_names_the_separator_of_documents(smollm2: LanguageModel) -> None:
    assert smollm2.token_text(smollm2.start_id) == BOS
    assert smollm2.token_text(smollm2.separator_id) == BOS
    assert smollm2.token_text(smollm2.bos_id) == "<|im_start|>"
    assert smollm2.front == ()


def test_a_token_that_does_not_exist_is_one_line() -> None:
    with pytest.raises(ModelError, match="start_token '<s>' is not in its vocabulary"):
        model_that(False, "<s>")


def test_a_saved_model_keeps_its_start_token(tmp_path: Path) -> None:
    model_that(False, separator=OTHER).save(tmp_path / "named")
    loaded = load_transformers(tmp_path / "named")
    assert loaded.token_text(loaded.start_id) == OTHER
    again = load_transformers(tmp_path / "named", start_token=BOS)
    assert again.token_text(again.start_id) == BOS
    model_that(False).save(tmp_path / "plain")
    assert not list((tmp_path / "plain").glob("harness*"))


def test_a_tokenizer_with_more_tokens_than_the_model_has_embeddings() -> None:
    """LLaMA's first tokenizers had a padding token beyond the embedding."""
    module, tokenizer = build_tiny("causal")
    plain = TransformersModel(module, tokenizer, kind="causal", name="t").token_scores(TEXTS)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    model = TransformersModel(module, tokenizer, kind="causal", name="t")
    for one, other in zip(plain, model.token_scores(TEXTS), strict=True):
        np.testing.assert_array_equal(one.logprobs, other.logprobs)
    tokenizer.add_tokens(["flibber"])
    with pytest.raises(ModelError, match=r"'flibber' \(id 361\) has no embedding in model"):
        model.token_scores(["a flibber"])
