"""Every debiaser on SmolLM2, source gender: it changes what it says it changes, and a checkpoint
of it reloads to the same scores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from harness_corpora.domains import BUILT_IN
from harness_debiasers.hooks import harness_debiasers

from harness.data.places import DataStore
from harness.errors import ModelError
from harness.lm import projection
from harness.lm.handle import LanguageModel
from harness.lm.saving.checkpoint import open_saved, save_checkpoint, weights_digest
from harness.testing import sample_masked
from harness.types import DebiasRequest, Passage, no_progress

METHODS = {method.name: method for method in harness_debiasers()}

WEIGHTS = [
    "cda",
    "dpo",
    "dropout",
    "grad-diff",
    "gradient-ascent",
    "infill-unlearning",
    "mlm-unlearning",
    "neutral-ascent",
    "npo",
    "pcgu",
    "simnpo",
    "task-vector",
    "weight-noise",
]
STATES = {
    "inlp": {"min_sentences": 6, "classifiers": 3},
    "leace": {"min_sentences": 6},
    "sentence-debias": {"min_sentences": 6},
}
TEXT = "She said that he had left the keys on the table."

NEUTRAL = [
    f"{who} sold {what} in the town today."
    for who in ("The man", "His father", "The woman", "Her mother", "A farm", "The shop")
    for what in ("bread", "rope", "salt")
]


class Base(NamedTuple):
    """What the model is before a method, which is given a copy."""

    model: LanguageModel
    digest: str
    table: torch.Tensor
    states: np.ndarray


@pytest.fixture(scope="module")
def base(smollm2: LanguageModel) -> Iterator[Base]:
    digest = weights_digest(smollm2)
    assert digest is not None
    yield Base(smollm2, digest, table(smollm2), states(smollm2))
    assert weights_digest(smollm2) == digest


def table(model: LanguageModel) -> torch.Tensor:
    """Log-probability of every token after each token of the text, run once as a whole."""
    with torch.no_grad():
        logits = model.module(input_ids=torch.tensor([model.encode(TEXT)])).logits[0]
    return torch.log_softmax(logits, dim=-1)


def scores(model: LanguageModel) -> np.ndarray:
    """Scores as evaluators see them, corrections behind prompts included."""
    model.forget_scores()
    (found,) = model.token_scores([TEXT])
    return found.logprobs[1:]


def states(model: LanguageModel) -> np.ndarray:
    (found,) = model.hidden_states([TEXT])
    return found


def differing_weights(model: LanguageModel, base: Base) -> set[str]:
    """Names of the weights that are not the base's, to the last bit; an adapter's own aside."""
    named = dict(base.model.module.named_parameters())
    return {
        name
        for name, w in model.module.named_parameters()
        if ".lora_" not in name and not torch.equal(w, named[name.replace(".base_layer", "")])
    }


def debiased(name: str, config: dict[str, Any], base: Base, folder: Path) -> LanguageModel:
    """The model after one step of a method, from gender."""
    masked = sample_masked("gender")[:2]
    method = METHODS[name](METHODS[name].Config(**config))
    request = DebiasRequest(
        model=base.model.copy(),
        domain="gender",
        passages=tuple(answer.passage for answer in masked),
        masked=masked,
        neutral=tuple(
            Passage(id=str(i), text=t, domain="none", label="non-hateful", split="train")
            for i, t in enumerate(NEUTRAL)
        ),
        steps=(1,),
        seed=0,
        data=DataStore(cache_dir=folder, offline=True, domains=BUILT_IN),
        progress=no_progress,
    )
    # read before the method goes on, as a run does
    return next(iter(method.debias(request))).model


def assert_reloads(model: LanguageModel, base: Base, folder: Path) -> None:
    """A saved checkpoint gives the same table."""
    save_checkpoint(model, folder / "kept", base.digest)
    again = open_saved(
        folder / "kept", base.model.copy, dtype="float32", device="cpu", name="reloaded"
    )
    torch.testing.assert_close(table(again), table(model), rtol=0, atol=1e-5)


def test_every_method_is_here() -> None:
    assert set(METHODS) == {*WEIGHTS, *STATES, "self-debias", "identity"}


@pytest.mark.parametrize("name", WEIGHTS)
def test_methods_of_weights_change_weights(name: str, base: Base, tmp_path: Path) -> None:
    config = {} if name == "weight-noise" else {"batch_size": 2}
    model = debiased(name, config, base, tmp_path)
    assert differing_weights(model, base)
    assert projection.installed(model.module) == []
    assert not torch.equal(table(model), base.table)
    assert_reloads(model, base, tmp_path)


def test_an_adapter_leaves_the_weights_under_it(base: Base, tmp_path: Path) -> None:
    config = {"lora": {"rank": 4}, "learning_rate": 1e-3, "batch_size": 2}
    model = debiased("mlm-unlearning", config, base, tmp_path)
    assert not differing_weights(model, base)
    assert not torch.allclose(table(model), base.table, atol=1e-3)
    assert_reloads(model, base, tmp_path)
    assert not (tmp_path / "kept" / "model.safetensors").exists()


@pytest.mark.parametrize("name", STATES)
def test_methods_of_states_change_states_and_no_weight(
    name: str, base: Base, tmp_path: Path
) -> None:
    model = debiased(name, STATES[name], base, tmp_path)
    assert not differing_weights(model, base)
    ((_, layer, affine),) = projection.installed(model.module)
    assert layer == projection.layers(model.module)
    expected = affine(torch.tensor(base.states)).numpy()
    np.testing.assert_allclose(states(model), expected, atol=1e-3)
    assert not np.allclose(expected, base.states, atol=1e-2)
    assert not torch.allclose(table(model), base.table, atol=1e-3)
    assert_reloads(model, base, tmp_path)
    assert not (tmp_path / "kept" / "model.safetensors").exists()


def test_self_debias_changes_neither_and_its_config_says_it_all(base: Base, tmp_path: Path) -> None:
    model = debiased("self-debias", {}, base, tmp_path)
    assert not differing_weights(model, base)
    assert torch.equal(table(model), base.table)  # the model without its decoding
    after = scores(model)
    ids = model.encode(TEXT)
    plain = [float(base.table[k - 1, ids[k]]) for k in range(1, len(ids))]
    assert not np.allclose(after, plain, atol=1e-2)
    with pytest.raises(ModelError, match="cannot be written as weights"):
        save_checkpoint(model, tmp_path / "kept", base.digest)
    saved = METHODS["self-debias"].Config().model_dump(mode="json")
    np.testing.assert_array_equal(scores(debiased("self-debias", saved, base, tmp_path)), after)


def test_identity_changes_nothing(base: Base, tmp_path: Path) -> None:
    model = debiased("identity", {}, base, tmp_path)
    assert not differing_weights(model, base)
    assert torch.equal(table(model), base.table)
