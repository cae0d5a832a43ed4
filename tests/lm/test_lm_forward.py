"""Every pass through a model: routes agree, projections are seen everywhere, dropout never is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from harness.errors import ModelError
from harness.lm.handle import LanguageModel, ModelKind
from harness.lm.scoring import batches as scoring
from harness.lm.transformers_model import TransformersModel
from harness.testing.tiny_models import build_tiny

TEXTS = [
    "Women and men wait near the station.",
    "A nurse",
    "They come back in early spring, and the nurses wait by the window of the old house.",
    "Black people and white people",
]
WIDTH = 32


def halves() -> np.ndarray:
    """Sets the second half of the hidden state to zero."""
    return np.diag((np.arange(WIDTH) < WIDTH // 2).astype(float))


def flat(model: LanguageModel) -> np.ndarray:
    return np.concatenate([scores.logprobs[1:] for scores in model.token_scores(TEXTS)])


@pytest.mark.parametrize(("kind", "expected"), [("causal", "head"), ("masked", "cut")])
def test_each_route_gives_the_scores_of_the_whole_model(kind: ModelKind, expected: str) -> None:
    module, tokenizer = build_tiny(kind)
    found = {}
    for route in ("head", "cut", "whole"):
        model = TransformersModel(module, tokenizer, kind=kind, name="tiny")
        assert model._engine.forward.route() == expected
        if route == "head" and expected != "head":
            continue  # BERT has a layer between its body and its output embeddings
        model._engine.forward._route = route  # type: ignore[assignment]
        found[route] = flat(model)
    for scores in found.values():
        np.testing.assert_allclose(scores, found["whole"], atol=1e-5)


def test_a_head_that_scales_its_logits_is_not_taken_for_a_plain_one() -> None:
    module, tokenizer = build_tiny("causal")
    inner = module.forward

    def scaled(*args: Any, **options: Any) -> Any:
        out = inner(*args, **options)
        out.logits = out.logits * 3.0
        return out

    plain = flat(TransformersModel(module, tokenizer, kind="causal", name="plain"))
    module.forward = scaled  # type: ignore[method-assign]
    model = TransformersModel(module, tokenizer, kind="causal", name="scaled")
    assert model._engine.forward.route() == "cut"
    (found,) = model.token_scores(TEXTS[:1])
    run = torch.tensor([found.ids.tolist()])
    with torch.no_grad():
        table = torch.log_softmax(inner(input_ids=run).logits[0].double() * 3.0, dim=-1)
    expected = [float(table[k - 1, found.ids[k]]) for k in range(1, len(found.ids))]
    np.testing.assert_allclose(found.logprobs[1:], expected, atol=1e-5)
    assert not np.allclose(flat(model), plain, atol=0.1)


def test_no_logits_are_made_where_none_are_read(tiny_masked: LanguageModel) -> None:
    ids = tiny_masked.encode(TEXTS[0])
    tiny_masked.masked_scores(ids, [0, 2])  # finds the route, and what may share a batch
    rows: list[int] = []
    head = tiny_masked.module.get_output_embeddings()  # type: ignore[operator]
    head.register_forward_hook(lambda module, inputs, output: rows.append(output.numel()))
    tiny_masked.masked_scores(ids, [1, 3, 4])
    assert sum(rows) == 3 * len(tiny_masked.tokenizer)


def test_dropout_left_on_by_a_debiaser_is_in_no_score(tiny_causal: LanguageModel) -> None:
    before = flat(tiny_causal)
    tiny_causal.forget_scores()
    tiny_causal.module.train()
    np.testing.assert_array_equal(flat(tiny_causal), before)
    assert tiny_causal.module.training


def test_scores_that_several_readers_share_cannot_be_changed(tiny_causal: LanguageModel) -> None:
    (scores,) = tiny_causal.token_scores(TEXTS[:1], start=True)
    with pytest.raises(ValueError, match="read-only"):
        scores.logprobs[0] = 0.0


def test_running_out_of_memory_on_one_text_is_one_line() -> None:
    def score(batch: object) -> np.ndarray:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to …")

    with pytest.raises(ModelError, match="not enough memory for a text of 5 tokens"):
        scoring.score_rows([scoring.Row([1] * 5, [0], [0])] * 3, score)


def test_batches_spend_little_on_padding_and_keep_to_the_budget() -> None:
    rows = [scoring.Row([0] * (1 + 7 * k % 40), [], []) for k in range(200)]
    seen = []
    for batch in scoring.batches(rows, budget=256):
        lengths = [len(rows[i].ids) for i in batch]
        assert max(lengths) * len(lengths) <= 256
        seen += batch
    assert sorted(seen) == list(range(200))
    padded = sum(
        max(len(rows[i].ids) for i in batch) * len(batch) for batch in scoring.batches(rows, 256)
    )
    assert padded < 1.15 * sum(len(row.ids) for row in rows)


def test_tokens_are_counted_once(tiny_causal: LanguageModel) -> None:
    tiny_causal.token_scores(TEXTS, start=True)
    # the last token of a text predicts nothing and is not run; the start token is, once for all
    prefixes = {
        (tiny_causal.start_id, *tiny_causal.encode(text)[:k])
        for text in TEXTS
        for k in range(len(tiny_causal.encode(text)))
    }
    assert tiny_causal.tokens_scored == len(prefixes)
    assert len(prefixes) == sum(len(tiny_causal.encode(text)) for text in TEXTS) - len(TEXTS) + 1


@pytest.mark.parametrize("layer", [0, 1, 2, -1])
@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_hidden_states_of_a_batch_are_those_of_each_text_alone(kind: ModelKind, layer: int) -> None:
    module, tokenizer = build_tiny(kind)
    model = TransformersModel(module, tokenizer, kind=kind, name="tiny")
    for text, found in zip(TEXTS, model.hidden_states(TEXTS, layer=layer), strict=True):
        ids = torch.tensor([tokenizer(text)["input_ids"]])  # BERT's between [CLS] and [SEP]
        with torch.no_grad():
            expected = module(input_ids=ids, output_hidden_states=True).hidden_states[layer][0]
        if kind == "masked":
            expected = expected[1:-1]
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_a_projection_at_the_last_layer_is_seen_by_every_reader(kind: ModelKind) -> None:
    module, tokenizer = build_tiny(kind)
    model = TransformersModel(module, tokenizer, kind=kind, name="tiny")
    before, states = flat(model), model.hidden_states(TEXTS)
    model.project(halves(), np.ones(WIDTH))
    for old, new in zip(states, model.hidden_states(TEXTS), strict=True):
        np.testing.assert_allclose(new, old @ halves() + 1.0, atol=1e-5)
    projected = flat(model)
    assert not np.allclose(projected, before, atol=0.1)
    for route in ("cut", "whole"):
        model.forget_scores()
        model._engine.forward._route = route  # type: ignore[assignment]
        np.testing.assert_allclose(flat(model), projected, atol=1e-5)
    run = model.encode(TEXTS[0])
    logits = model.training_logits([run], [0], [2])
    assert logits.requires_grad
    with torch.no_grad():
        whole = module(input_ids=torch.tensor([run])).logits[0, 2]
    np.testing.assert_allclose(logits[0].detach().numpy(), whole.numpy(), atol=1e-5)


def test_a_projection_inside_changes_what_follows_and_generation(
    tiny_causal: LanguageModel,
) -> None:
    before = tiny_causal.hidden_states(TEXTS, layer=1)
    words = tiny_causal.generate(TEXTS, max_new_tokens=6)
    last = tiny_causal.hidden_states(TEXTS)
    copy = tiny_causal.copy()
    copy.project(halves(), layer=1)
    for old, new in zip(before, copy.hidden_states(TEXTS, layer=1), strict=True):
        np.testing.assert_allclose(new, old @ halves(), atol=1e-5)
    assert not np.allclose(copy.hidden_states(TEXTS)[0], last[0], atol=1e-2)
    assert copy.generate(TEXTS, max_new_tokens=6) != words
    # the copy's projection is its own, and a copy of the copy carries it
    np.testing.assert_array_equal(tiny_causal.hidden_states(TEXTS)[0], last[0])
    again = copy.copy()
    np.testing.assert_array_equal(flat(again), flat(copy))
    again.project(np.zeros((WIDTH, WIDTH)))
    assert not np.allclose(flat(again), flat(copy), atol=1e-2)


def test_projections_that_do_not_fit(tiny_causal: LanguageModel) -> None:
    with pytest.raises(ModelError, match="needs a matrix 32 x 32"):
        tiny_causal.project(np.eye(3))
    with pytest.raises(ModelError, match="needs a matrix 32 x 32 and a bias of 32"):
        tiny_causal.project(np.eye(WIDTH), np.ones(5))
    for layer in (0, 3, -4):
        with pytest.raises(ModelError, match="layers 1 to 2, not"):
            tiny_causal.project(np.eye(WIDTH), layer=layer)


def test_a_prompt_needs_room_for_the_answer(tiny_causal: LanguageModel) -> None:
    count = len(tiny_causal.encode(TEXTS[0]))
    room = tiny_causal.max_tokens - count
    assert tiny_causal.generate([TEXTS[0]], max_new_tokens=room)
    with pytest.raises(ModelError, match=rf"takes {count - 1} and {room + 1} new ones"):
        tiny_causal.generate([TEXTS[0]], max_new_tokens=room + 1)
    assert tiny_causal.generate([]) == []
