"""Perplexity in windows and of passages."""

from __future__ import annotations

import math

import pytest
import torch
from evaluating import TEXTS, hf_loss, metric, request
from harness_evaluators.perplexity import (
    CorpusPerplexity,
    CorpusPerplexityConfig,
    WikiText2Config,
    WikiText2Perplexity,
)

from harness.data.places import DataStore
from harness.errors import ModelError
from harness.lm.handle import LanguageModel
from harness.types import Passage


def test_windows_give_exact_and_published_perplexity(
    tiny_causal: LanguageModel, data_store: DataStore
) -> None:
    text = "Women and men wait near the old station. " * 8
    evaluator = WikiText2Perplexity(WikiText2Config())
    found = evaluator.windows(request(tiny_causal, data_store), text, 16, "window16", prefix="test")
    ids = tiny_causal.encode(text)
    losses, lengths = [], []
    for at in range(0, len(ids), 16):
        window = torch.tensor([ids[at : at + 16]])
        if window.shape[1] < 2:
            continue
        with torch.no_grad():
            losses.append(float(tiny_causal.module(input_ids=window, labels=window).loss))
        lengths.append(window.shape[1])
    exact = sum(loss * (n - 1) for loss, n in zip(losses, lengths, strict=True))
    assert metric(found, "perplexity") == pytest.approx(
        math.exp(exact / sum(n - 1 for n in lengths)), rel=1e-5
    )
    weighed = sum(loss * n for loss, n in zip(losses, lengths, strict=True))
    assert metric(found, "perplexity_published") == pytest.approx(
        math.exp(weighed / sum(lengths)), rel=1e-5
    )


def test_a_window_beyond_the_context_is_refused(
    tiny_causal: LanguageModel, data_store: DataStore
) -> None:
    with pytest.raises(ModelError, match=r"do not fit model 'tiny-causal' \(context 64\)"):
        WikiText2Perplexity(WikiText2Config()).evaluate(request(tiny_causal, data_store))


def test_the_first_windows_are_named_in_a_note(
    tiny_causal: LanguageModel, data_store: DataStore
) -> None:
    config = WikiText2Config(window=32, max_windows=3)
    (found,) = WikiText2Perplexity(config).evaluate(request(tiny_causal, data_store))
    assert len(found.items) == 3
    assert found.note is not None
    assert "first 3 of" in found.note


def test_corpus_perplexity_keeps_unlearned_and_unseen_apart(
    tiny_causal: LanguageModel, data_store: DataStore
) -> None:
    def made(number: int, text: str, split: str) -> Passage:
        return Passage(id=f"p{number}", text=text, domain="gender", label="hateful", split=split)

    asked = request(tiny_causal, data_store, "gender").model_copy(
        update={
            "unlearned": (made(0, TEXTS[0], "train"),),
            "unseen": (made(1, TEXTS[1], "test"), made(2, "station " * 90, "test")),
        }
    )
    unlearned, unseen = CorpusPerplexity(CorpusPerplexityConfig()).evaluate(asked)
    assert metric(unlearned, "hate_perplexity") == pytest.approx(
        math.exp(hf_loss(tiny_causal, TEXTS[0], start=True)), rel=1e-5
    )
    assert [item.id for item in unseen.items] == ["p1", "p2"]
    assert unseen.note == "1 passages cut at the model's context"
