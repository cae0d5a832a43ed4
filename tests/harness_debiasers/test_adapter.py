"""LoRA and gradient checkpointing in the shared training loop; noise of a method's size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.checkpoint
from harness_corpora.domains import BUILT_IN
from harness_debiasers.adapter import LoraSettings, attach, has_adapter
from harness_debiasers.gradient_ascent import GradientAscent, NeutralAscent
from harness_debiasers.mlm_unlearning import MlmUnlearning
from harness_debiasers.npo import Npo
from harness_debiasers.task_vector import TaskVector
from harness_debiasers.weight_noise import WeightNoise
from pydantic import ValidationError

from harness.data.places import DataStore
from harness.errors import DebiasError
from harness.lm.handle import LanguageModel
from harness.testing import (
    check_debiaser,
    sample_masked,
    sample_passages,
    tiny_causal_model,
    tiny_masked_model,
)
from harness.types import DebiasRequest, no_progress

TEXT = "Women and men wait near the station."
RATE = 1e-2


def tiny(kind: str) -> LanguageModel:
    return tiny_causal_model() if kind == "causal" else tiny_masked_model()


def request(model: LanguageModel, folder: Path, steps: tuple[int, ...] = (2,)) -> DebiasRequest:
    masked = sample_masked("gender")
    return DebiasRequest(
        model=model,
        domain="gender",
        passages=tuple(answer.passage for answer in masked),
        masked=masked,
        neutral=sample_passages("none", "non-hateful"),
        steps=steps,
        seed=0,
        data=DataStore(cache_dir=folder, offline=True, domains=BUILT_IN),
        progress=no_progress,
    )


def scores(model: LanguageModel) -> np.ndarray:
    model.forget_scores()
    return model.token_scores([TEXT])[0].logprobs[1:]


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_a_fresh_adapter_changes_nothing(kind: str) -> None:
    model = tiny(kind)
    before = scores(model)
    attach(model.module, LoraSettings(rank=4), seed=0, causal=True)
    assert has_adapter(model.module)
    np.testing.assert_array_equal(scores(model), before)


@pytest.mark.parametrize("kind", ["causal", "masked"])
@pytest.mark.parametrize("method", [MlmUnlearning, Npo, TaskVector])
def test_with_an_adapter_the_weights_stay_and_the_model_changes(
    method: Any, kind: str, tmp_path: Path
) -> None:
    model = tiny(kind)
    before = scores(model)
    base = {name: w.detach().clone() for name, w in model.module.named_parameters()}
    config = method.Config(learning_rate=RATE, lora={"rank": 2})
    point = next(method(config).debias(request(model, tmp_path)))
    assert not np.allclose(scores(point.model), before)
    for name, w in point.model.module.named_parameters():
        own = name.replace(".base_layer", "")
        if ".lora_" not in name:
            assert torch.equal(w, base[own]), name


# peft 0.21 reads an attribute that transformers 5.15 has renamed
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_the_adapter_alone_is_saved_and_peft_reads_it(tmp_path: Path) -> None:
    from peft import PeftModel

    model = tiny_causal_model()
    config = MlmUnlearning.Config(learning_rate=RATE, lora={"rank": 2})
    (point,) = MlmUnlearning(config).debias(request(model, tmp_path))
    after = scores(point.model)
    point.model.save(tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "model.safetensors").exists()
    fresh = tiny_causal_model()
    fresh.module = PeftModel.from_pretrained(fresh.module, tmp_path / "adapter")
    ids = torch.tensor([fresh.encode(TEXT)])
    with torch.no_grad():
        table = torch.log_softmax(fresh.module(input_ids=ids).logits[0], dim=-1)
    found = table[:-1].gather(1, ids[0, 1:, None]).squeeze(1)
    np.testing.assert_allclose(found, after, atol=1e-5)


def test_a_negated_adapter_goes_the_other_way(tmp_path: Path) -> None:
    """To first order, minus the change of the weights is minus the change of the scores."""
    changes = []
    for scale in (1e-3, 2e-3):
        model = tiny_causal_model()
        before = scores(model)
        config = TaskVector.Config(learning_rate=RATE, lora={"rank": 2}, scale=scale)
        point = next(TaskVector(config).debias(request(model, tmp_path)))
        changes.append(scores(point.model) - before)
    assert np.abs(changes[0]).max() > 0
    np.testing.assert_allclose(changes[1], 2 * changes[0], atol=0.1 * np.abs(changes[0]).max())


def test_layers_that_are_not_there_are_named(tmp_path: Path) -> None:
    config = MlmUnlearning.Config(lora={"targets": ["q_proj"]})
    with pytest.raises(DebiasError, match=r"no linear layer q_proj; .* c_attn") as raised:
        next(MlmUnlearning(config).debias(request(tiny_causal_model(), tmp_path)))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_gradient_checkpointing_gives_the_same_weights(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    real = torch.utils.checkpoint.checkpoint

    def counted(*inputs: Any, **options: Any) -> Any:
        calls.append(1)
        return real(*inputs, **options)

    monkeypatch.setattr("transformers.modeling_utils.checkpoint", counted)
    found = []
    for checkpointing in (False, True):
        config = GradientAscent.Config(learning_rate=RATE, gradient_checkpointing=checkpointing)
        (point,) = GradientAscent(config).debias(request(tiny(kind), tmp_path))
        assert bool(calls) == checkpointing
        assert np.isfinite(scores(point.model)).all()
        assert np.isfinite(scores(point.model.copy())).all()
        found.append(torch.cat([w.detach().flatten() for w in point.model.module.parameters()]))
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("method", ["mlm-unlearning", "gradient-ascent"])
def test_noise_has_the_norm_of_the_methods_change_in_every_weight(
    method: str, tmp_path: Path
) -> None:
    kind = MlmUnlearning if method == "mlm-unlearning" else GradientAscent
    base = {n: w.detach().clone() for n, w in tiny_causal_model().module.named_parameters()}
    settings = {"learning_rate": RATE}
    own = kind(kind.Config(**settings)).debias(request(tiny_causal_model(), tmp_path, (1, 3)))
    config = WeightNoise.Config(method=method, settings=settings)
    noise = WeightNoise(config).debias(request(tiny_causal_model(), tmp_path, (1, 3)))
    for real, sham in zip(own, noise, strict=True):
        assert real.step == sham.step
        others = dict(sham.model.module.named_parameters())
        total = 0.0
        for name, w in real.model.module.named_parameters():
            change = (w.detach() - base[name]).flatten()
            random = (others[name].detach() - base[name]).flatten()
            assert float(random.norm()) == pytest.approx(float(change.norm()), rel=1e-3, abs=1e-7)
            total += float(change.norm()) ** 2
            if len(change) > 500:
                assert abs(float(torch.cosine_similarity(change, random, dim=0))) < 0.3
        assert sham.log["change_norm"] == pytest.approx(total**0.5, rel=1e-3)


def test_settings_of_the_measured_method_are_checked() -> None:
    with pytest.raises(ValidationError, match=r"settings\.learning_rat"):
        WeightNoise.Config(settings={"learning_rat": 1})
    with pytest.raises(ValidationError, match=r"settings\.lora"):
        WeightNoise.Config(settings={"lora": {}})


@pytest.mark.parametrize("kind", ["causal", "masked"])
@pytest.mark.parametrize("control", [WeightNoise, NeutralAscent])
def test_controls_are_flagged_and_change_the_model(control: Any, kind: str) -> None:
    assert control.control == "change"
    check_debiaser(control, model=tiny(kind))


def test_ascent_on_neutral_text_makes_it_less_likely(tmp_path: Path) -> None:
    asked = request(tiny_causal_model(), tmp_path)
    text = asked.neutral[0].text
    before = np.nanmean(tiny_causal_model().token_scores([text])[0].logprobs)
    (point,) = NeutralAscent(NeutralAscent.Config(learning_rate=RATE)).debias(asked)
    assert np.nanmean(point.model.token_scores([text])[0].logprobs) < before
