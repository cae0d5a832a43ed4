"""The handle: batched scores are one-by-one scores, copies are copies, errors are one line."""

from __future__ import annotations

import copy
import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.errors import ModelError
from harness.lm.handle import LanguageModel
from harness.lm.loading.loading import load_transformers
from harness.lm.scoring import batches as scoring
from harness.lm.transformers_model import TransformersModel
from harness.testing import save_tiny_model

TEXTS = [
    "Women and men wait near the station.",
    "A",
    "They come back in early spring, and the nurses wait.",
    "Black people and white people",
    "Ünïcode — and “quotes”.",
]


def plain(model: LanguageModel, ids: list[int], before: list[int]) -> np.ndarray:
    """One sentence at a time through the whole model, in float64 softmax."""
    with torch.no_grad():
        logits = model.module(input_ids=torch.tensor([before + ids])).logits[0].double()
    table = torch.log_softmax(logits, dim=-1)
    run = before + ids
    scores = [float(table[k - 1, run[k]]) for k in range(1, len(run))]
    return np.array(scores if before else [np.nan, *scores])


@pytest.mark.parametrize("start", [False, True])
def test_batched_scores_are_one_by_one_scores(tiny_causal: LanguageModel, start: bool) -> None:
    found = tiny_causal.token_scores(TEXTS, start=start)
    before = [tiny_causal.start_id] if start else []
    for text, scores in zip(TEXTS, found, strict=True):
        ids = tiny_causal.encode(text)
        assert scores.ids.tolist() == ids
        np.testing.assert_allclose(scores.logprobs, plain(tiny_causal, ids, before), atol=1e-5)


def test_the_budget_of_a_batch_changes_no_score(
    tiny_causal: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tiny_causal.token_scores(TEXTS, start=True)
    tiny_causal.forget_scores()
    monkeypatch.setattr("harness.lm.scoring.engine.TOKENS_A_BATCH", 8)
    for one, other in zip(whole, tiny_causal.token_scores(TEXTS, start=True), strict=True):
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-5)


def test_a_batch_that_does_not_fit_is_halved_to_the_same_scores() -> None:
    rows = [scoring.Row([1] * n, [0], [n]) for n in range(1, 9)]
    sizes = []

    def score(batch: list[scoring.Row]) -> np.ndarray:  # type: ignore[type-arg]
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return np.array([row.targets[0] for row in batch], dtype=float)

    found = scoring.score_rows(rows, score)  # type: ignore[arg-type]
    assert [float(scores[0]) for scores in found] == [float(n) for n in range(1, 9)]
    assert max(sizes) == 8


def test_an_error_that_is_not_about_memory_is_not_swallowed() -> None:
    def score(batch: object) -> np.ndarray:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        scoring.score_rows([scoring.Row([1], [0], [0])] * 4, score)


def test_start_scores_are_those_of_the_start_token_alone(tiny_causal: LanguageModel) -> None:
    ids = tiny_causal.encode(TEXTS[0])
    first = tiny_causal.start_scores([ids[0], ids[1], ids[0]])
    assert first[0] == first[2]
    expected = [plain(tiny_causal, [i], [tiny_causal.start_id])[0] for i in ids[:2]]
    np.testing.assert_allclose(first[:2], expected, atol=1e-5)


def test_windows_are_texts_without_a_start_token(tiny_causal: LanguageModel) -> None:
    ids = tiny_causal.encode(TEXTS[2])
    (scores,) = tiny_causal.window_scores([ids])
    np.testing.assert_allclose(scores, plain(tiny_causal, ids, []), atol=1e-5)


def test_pseudo_log_likelihood_masks_each_token_in_turn(tiny_masked: LanguageModel) -> None:
    text = TEXTS[0]
    (found,) = tiny_masked.token_scores([text])
    whole = tiny_masked.tokenizer(text)["input_ids"]
    ids = tiny_masked.encode(text)
    assert whole[1:-1] == ids
    for k in range(len(ids)):
        run = list(whole)
        run[k + 1] = tiny_masked.tokenizer.mask_token_id
        with torch.no_grad():
            logits = tiny_masked.module(input_ids=torch.tensor([run])).logits[0, k + 1]
        expected = float(torch.log_softmax(logits.double(), -1)[ids[k]])
        assert found.logprobs[k] == pytest.approx(expected, abs=1e-5)
    some = tiny_masked.masked_scores(ids, [0, 2])
    np.testing.assert_allclose(some, found.logprobs[[0, 2]], atol=1e-6)


def test_offsets_point_at_the_characters_of_each_token(tiny_causal: LanguageModel) -> None:
    for text in TEXTS:
        ids, offsets = tiny_causal.encode_with_offsets(text)
        assert ids == tiny_causal.encode(text)
        covered = {k for start, end in offsets for k in range(start, end)}
        assert {k for k, c in enumerate(text) if not c.isspace()} <= covered


def test_a_copy_changes_alone_and_scores_are_kept_until_forgotten(
    tiny_causal: LanguageModel,
) -> None:
    before = tiny_causal.token_scores(TEXTS[:1])[0].logprobs
    copy = tiny_causal.copy()
    with torch.no_grad():
        for weights in copy.module.parameters():
            weights.mul_(1.5)
    changed = copy.token_scores(TEXTS[:1])[0].logprobs
    assert not np.allclose(changed[1:], before[1:])
    tiny_causal.forget_scores()
    np.testing.assert_array_equal(tiny_causal.token_scores(TEXTS[:1])[0].logprobs, before)
    scored = tiny_causal.tokens_scored
    tiny_causal.token_scores(TEXTS[:1])
    assert tiny_causal.tokens_scored == scored


def test_generation_of_a_batch_is_generation_one_by_one(tiny_causal: LanguageModel) -> None:
    together = tiny_causal.generate(TEXTS[:4], max_new_tokens=5)
    alone = [tiny_causal.generate([text], max_new_tokens=5)[0] for text in TEXTS[:4]]
    assert together == alone


def test_hidden_states(tiny_causal: LanguageModel) -> None:
    (last,) = tiny_causal.hidden_states(TEXTS[:1])
    assert last.shape == (len(tiny_causal.encode(TEXTS[0])), 32)
    with pytest.raises(ModelError, match="has layers 0 to 2, not 9"):
        tiny_causal.hidden_states(TEXTS[:1], layer=9)


@pytest.mark.parametrize(
    ("text", "words"), [("", "has no token"), ("station " * 80, "tokens, model 'tiny-causal'")]
)
def test_texts_that_cannot_be_scored(tiny_causal: LanguageModel, text: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        tiny_causal.token_scores([text])


def test_a_causal_model_is_asked_for_no_mask(tiny_causal: LanguageModel) -> None:
    with pytest.raises(ModelError, match="needs a masked model"):
        tiny_causal.masked_scores([1, 2], [0])


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_a_saved_model_loads_to_the_same_scores(
    kind: str, tmp_path: Path, tiny_causal: LanguageModel, tiny_masked: LanguageModel
) -> None:
    model = tiny_causal if kind == "causal" else tiny_masked
    folder = save_tiny_model(tmp_path / "model", kind)  # type: ignore[arg-type]
    loaded = load_transformers(folder)
    assert loaded.kind == kind
    for one, other in zip(model.token_scores(TEXTS), loaded.token_scores(TEXTS), strict=True):
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "warp"}, "unknown device"),
        ({"kind": "masked"}, "is not a masked language model"),
    ],
)
def test_wrong_wishes(tmp_path: Path, options: dict[str, str], words: str) -> None:
    folder = save_tiny_model(tmp_path / "model")
    with pytest.raises(ModelError, match=words):
        load_transformers(folder, **options)  # type: ignore[arg-type]


def test_a_model_that_cannot_be_had_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError) as caught:
        load_transformers("nobody/no-such-model")
    assert "\n" not in str(caught.value)
    assert "check the name and the network" in str(caught.value)


def test_smollm2_scores_are_plain_scores(smollm2: LanguageModel, shared_data: Path) -> None:
    with (shared_data / "crows_pairs/crows_pairs_anonymized.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))[::150]
    texts = [row[column] for row in rows for column in ("sent_more", "sent_less")]
    for start in (False, True):
        before = [smollm2.start_id] if start else []
        for text, scores in zip(texts, smollm2.token_scores(texts, start=start), strict=True):
            expected = plain(smollm2, smollm2.encode(text), before)
            np.testing.assert_allclose(scores.logprobs, expected, atol=1e-4)


def test_tokens_of_a_long_text_are_kept_for_the_same_tokenizer_alone(
    tiny_causal: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.lm.transformers_model.LONG_TEXT", 10)
    monkeypatch.setattr("harness.lm.transformers_model._long_texts", {})
    text = "she sold bread in the town to the old man"
    plain = list(tiny_causal.tokenizer(text, add_special_tokens=False)["input_ids"])
    first = tiny_causal.encode(text)
    first.append(-1)  # a reader's own list
    twin = tiny_causal.copy()
    called: list[str] = []
    monkeypatch.setattr(twin, "_encoded", lambda own: called.append(own) or [0])
    assert twin.encode(text) == plain
    assert not called
    twin.tokenizer = copy.deepcopy(twin.tokenizer)
    twin.tokenizer.add_tokens(["bread"])
    del twin.__dict__["_tokenizer_digest"]
    assert twin.encode(text) == [0]
    assert called == [text]
