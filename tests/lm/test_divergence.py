"""KL from the base model: an independent computation, its zero, its sign, and its limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, rel_entr

from harness.errors import ModelError
from harness.lm.divergence import BaseDistributions
from harness.lm.handle import LanguageModel
from harness.testing import sample_passages, tiny_causal_model, tiny_masked_model

TEXTS = [p.text for d in ("none", "gender", "race", "religion") for p in sample_passages(d)]


def moved(model: LanguageModel, size: float) -> LanguageModel:
    twin = model.copy()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in twin.module.parameters():
            weight.add_(size * torch.randn(weight.shape, generator=draw))
    twin.forget_scores()
    return twin


@pytest.mark.parametrize("make", [tiny_causal_model, tiny_masked_model])
def test_zero_for_the_base_and_larger_for_a_larger_change(make: object) -> None:
    model = make()  # type: ignore[operator]
    base = BaseDistributions.of(model, TEXTS, windows=40, tokens=16)
    found = [base.divergence(moved(model, size)) for size in (0.0, 0.001, 0.01, 0.1)]
    assert found[0] == 0.0
    assert found == sorted(found)
    assert found[-1] > 0.01


def test_it_is_scipys_relative_entropy_of_the_models_distributions() -> None:
    model = tiny_causal_model()
    other = moved(model, 0.05)
    base = BaseDistributions.of(model, TEXTS, windows=40, tokens=16)

    def table(handle: LanguageModel, ids: tuple[int, ...]) -> np.ndarray:
        with torch.no_grad():
            logits = handle.module(input_ids=torch.tensor([ids])).logits[0]
        return np.exp(log_softmax(logits.double().numpy(), axis=-1))

    expected = [
        rel_entr(table(model, w.ids), table(other, w.ids))[list(w.positions)].sum(-1).mean()
        for w in base.windows
    ]
    np.testing.assert_allclose(base.divergences(other), expected, rtol=1e-3)
    assert {len(window.positions) for window in base.windows} <= set(range(1, 17))
    assert base.windows[0].ids[0] == model.start_id


def test_too_few_texts_are_refused() -> None:
    with pytest.raises(ModelError, match="has 3 texts"):
        BaseDistributions.of(tiny_causal_model(), TEXTS[:3], windows=40, tokens=16)
