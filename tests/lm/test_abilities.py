"""Trials see what they look for: windows, positions, padding, randomness; and they fail safely."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    FNetConfig,
    FNetForMaskedLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from harness.errors import ModelError
from harness.lm.handle import ModelKind
from harness.lm.scoring.abilities import SHORT_ROW, Abilities, check_scores
from harness.lm.scoring.batches import Row
from harness.lm.scoring.forward import Forward
from harness.lm.transformers_model import TransformersModel
from harness.testing.tiny_models import build_tiny

VOCABULARY = 211
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 16,
    "vocab_size": VOCABULARY,
}

GPT2: dict[str, Any] = {
    "vocab_size": 50,
    "n_embd": 8,
    "n_layer": 1,
    "n_head": 2,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


def made(cls: Any, config: Any) -> Any:
    """A module with weights wide enough that attention shows in its logits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config.initializer_range = 0.5
        return cls(config).eval()


def mistral(window: int | None) -> Any:
    return made(MistralForCausalLM, MistralConfig(**SMALL, sliding_window=window))


def gpt_neo(window: int) -> Any:
    """Local attention under a field name of its own; one layer of two is local."""
    return made(
        GPTNeoForCausalLM,
        GPTNeoConfig(
            vocab_size=VOCABULARY,
            hidden_size=16,
            num_layers=2,
            num_heads=2,
            attention_types=[[["global", "local"], 1]],
            window_size=window,
            max_position_embeddings=2048,
        ),
    )


def of(module: Any, kind: ModelKind = "causal", longest: int = 4096) -> Abilities:
    return Abilities(Forward(module, kind, 0, longest=longest))


@pytest.mark.parametrize("make", [mistral, gpt_neo])
@pytest.mark.parametrize("window", [16, 100, 128, 200, 300, 511])
def test_a_block_is_promised_up_to_the_window_and_no_further(
    make: Callable[[int], Any], window: int
) -> None:
    # a trial's block is longer than the promise, and GPT-Neo's window counts places in the block
    reach = window if make is mistral else window - SHORT_ROW
    promised = max((size for size in (128, 256, 512) if size <= reach), default=0)
    assert of(make(window)).block_tokens(512) == promised


def test_a_model_without_a_window_takes_the_longest_blocks() -> None:
    module = mistral(None)
    assert [of(module).block_tokens(most) for most in (128, 512, 1024)] == [128, 512, 1024]
    assert of(module, "masked").block_tokens(128) == 0


def test_training_rows_keep_the_start_token_of_a_local_layer() -> None:
    """FAULTS A3: rows that share a start token are 512 tokens apart in a packed block."""
    module = gpt_neo(256)
    tokenizer = build_tiny("causal")[1]
    model = TransformersModel(module, tokenizer, kind="causal", name="neo")
    draw = Forward(module, "causal", 0)
    rows = [[7, *draw.ordinary_tokens(60, seed)] for seed in range(20)]
    index = [i for i in range(20) for _ in range(3)]
    position = [p for _ in range(20) for p in (1, 30, 60)]
    found = torch.log_softmax(model.training_logits(rows, index, position), -1)
    alone = torch.stack(
        [
            module(input_ids=torch.tensor([rows[i]])).logits[0, p]
            for i, p in zip(index, position, strict=True)
        ]
    )
    torch.testing.assert_close(found, torch.log_softmax(alone, -1), atol=2e-3, rtol=0)


def deafened(change: Callable[[Any, dict[str, Any]], Any]) -> Any:
    """A GPT-2 whose body does something else with its inputs."""
    module, _ = build_tiny("causal")
    inner = module.base_model.forward
    module.base_model.forward = lambda *ids, **options: change(partial(inner, *ids), options)
    return module


def ignore_positions(inner: Any, options: dict[str, Any]) -> Any:
    options.pop("position_ids", None)
    return inner(**options)


def ignore_mask(inner: Any, options: dict[str, Any]) -> Any:
    options.pop("attention_mask", None)
    return inner(**options)


def break_on_trees(inner: Any, options: dict[str, Any]) -> Any:
    if options.get("position_ids") is not None:
        raise AttributeError("'NoneType' object has no attribute 'shape'")
    return inner(**options)


@pytest.mark.parametrize("change", [ignore_positions, ignore_mask, break_on_trees])
def test_a_model_that_cannot_run_trees_is_run_in_rows(change: Any) -> None:
    module = deafened(change)
    model = TransformersModel(module, build_tiny("causal")[1], kind="causal", name="deaf")
    assert model._engine.abilities.block_tokens(1024) == 0
    texts = ["Women wait near the station.", "Women wait near the house."]
    found = model.token_scores(texts)
    with model.alone():
        for one, other in zip(found, model.token_scores(texts), strict=True):
            np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-5)


def test_a_trial_that_could_not_see_a_fault_promises_nothing() -> None:
    """With attention that adds nothing, no mask shows; after training it might."""
    module = made(MistralForCausalLM, MistralConfig(**SMALL | {"vocab_size": 97}))
    with torch.no_grad():
        for layer in module.model.layers:
            layer.self_attn.o_proj.weight.zero_()
    assert of(module).block_tokens(512) == 0


def test_a_cap_that_logits_do_not_reach_yet_is_seen() -> None:
    module = made(Gemma2ForCausalLM, Gemma2Config(**SMALL, final_logit_softcapping=30.0))
    with torch.no_grad():
        module.model.norm.weight.fill_(-1.0 + 1e-4)  # logits of 1e-4: a cap of 30 is out of sight
    assert Forward(module, "causal", 0).route() == "cut"
    plain = made(Gemma2ForCausalLM, Gemma2Config(**SMALL, final_logit_softcapping=None))
    assert Forward(plain, "causal", 0).route() == "head"


def test_a_masked_model_that_mixes_padding_in_is_run_in_rows_of_one_length() -> None:
    """FNet's Fourier transform has no mask: a padded row is another row."""
    config = FNetConfig(
        vocab_size=361,
        hidden_size=16,
        num_hidden_layers=2,
        intermediate_size=16,
        tpu_short_seq_length=8,
    )
    module = made(FNetForMaskedLM, config)
    assert of(module, "masked", longest=64).batching() == "equal"
    assert of(build_tiny("masked")[0], "masked", longest=64).batching() == "padded"
    model = TransformersModel(module, build_tiny("masked")[1], kind="masked", name="fnet")
    texts = ["Women and men wait near the station.", "A nurse", "Black people and white people"]
    found = model.token_scores(texts)
    with model.alone():
        for one, other in zip(found, model.token_scores(texts), strict=True):
            np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-4)
    states = model.hidden_states(texts)
    for text, own in zip(texts, states, strict=True):
        np.testing.assert_allclose(own, model.hidden_states([text])[0], atol=1e-4)


def test_a_model_whose_rows_touch_each_other_is_run_one_row_at_a_time() -> None:
    module, tokenizer = build_tiny("causal")
    inner = module.base_model.forward

    def mixed(*ids: Any, **options: Any) -> Any:
        out = inner(*ids, **options)
        out.last_hidden_state = out.last_hidden_state - out.last_hidden_state.mean(0) / 2
        return out

    module.base_model.forward = mixed
    model = TransformersModel(module, tokenizer, kind="causal", name="mixed")
    assert model._engine.abilities.batching() == "single"
    rows = [Row([1, 2, 3], [2], [4]), Row([5, 6, 7], [2], [4])]
    together, single = model._engine.score(rows), [model._engine.score([row])[0] for row in rows]
    np.testing.assert_allclose(np.concatenate(together), np.concatenate(single), atol=1e-6)


def test_random_and_infinite_outputs_are_refused() -> None:
    module = made(GPT2LMHeadModel, GPT2Config(**GPT2))
    check_scores(Forward(module, "causal", 0), "m")
    inner = module.base_model.forward

    def noisy(*ids: Any, **options: Any) -> Any:
        out = inner(*ids, **options)
        out.last_hidden_state = out.last_hidden_state + torch.randn_like(out.last_hidden_state)
        return out

    module.base_model.forward = noisy
    with pytest.raises(ModelError, match="gives other logits each time"):
        check_scores(Forward(module, "causal", 0), "m")
    module.base_model.forward = inner
    with torch.no_grad():
        module.transformer.ln_f.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="logits that are not finite"):
        check_scores(Forward(module, "causal", 0), "m")
