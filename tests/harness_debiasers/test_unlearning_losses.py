"""Whole-text unlearning: gradient ascent, GradDiff, NPO, SimNPO, task vectors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from harness_corpora.domains import BUILT_IN
from harness_debiasers.grad_diff import GradDiff
from harness_debiasers.gradient_ascent import GradientAscent
from harness_debiasers.lm_loss import mean_logprob, sequence_logprobs, text_rows
from harness_debiasers.npo import Npo, SimNpo, npo_loss
from harness_debiasers.retain import base_divergence
from harness_debiasers.task_vector import TaskVector

from harness.data.places import DataStore
from harness.errors import DebiasError
from harness.lm.handle import LanguageModel
from harness.testing import tiny_causal_model, tiny_masked_model
from harness.types import DebiasRequest, Passage, no_progress

FORGET = ["the old baker sold bread to them", "they sang a song about rivers"]
KEEP = ["a committee met to talk about roads", "rain fell on the hills all week"]


def request(model: LanguageModel, folder: Path, steps: tuple[int, ...] = (3,)) -> DebiasRequest:
    def passages(texts: list[str], label: Any) -> tuple[Passage, ...]:
        return tuple(
            Passage(id=f"{label}/{i}", text=t, domain="gender", label=label, split="train")
            for i, t in enumerate(texts)
        )

    return DebiasRequest(
        model=model,
        domain="gender",
        passages=passages(FORGET, "hateful"),
        neutral=passages(KEEP, "non-hateful"),
        steps=steps,
        seed=0,
        data=DataStore(cache_dir=folder, offline=True, domains=BUILT_IN),
        progress=no_progress,
    )


def weights(model: LanguageModel) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.module.parameters()])


def fitted(method: Any, folder: Path, kind: str = "causal", **config: Any) -> LanguageModel:
    model = tiny_causal_model() if kind == "causal" else tiny_masked_model()
    settings = {"learning_rate": 1e-3, **config}
    # a checkpoint is read before the method goes on: a task vector then takes its weights back
    return next(iter(method(method.Config(**settings)).debias(request(model, folder)))).model


def level(model: LanguageModel, texts: list[str]) -> float:
    """Mean log-probability a token."""
    with torch.no_grad():
        return float(mean_logprob(model, text_rows(model, texts)))


def test_sequence_logprobs_are_the_models_scores() -> None:
    model = tiny_causal_model()
    with torch.no_grad():
        sums, counts = sequence_logprobs(model, text_rows(model, FORGET))
    for text, total, count in zip(FORGET, sums, counts, strict=True):
        (scores,) = model.token_scores([text], start=True)
        assert float(total) == pytest.approx(scores.logprobs.sum(), abs=1e-3)
        assert int(count) == len(scores.ids)


def test_a_text_is_cut_at_the_length_asked_for() -> None:
    model = tiny_causal_model()
    (row,) = text_rows(model, FORGET[:1], longest=3)
    assert row.targets == tuple(model.encode(FORGET[0])[:3])
    assert row.ids == (model.start_id, *row.targets[:-1])


@pytest.mark.parametrize("kind", ["causal", "masked"])
@pytest.mark.parametrize("method", [GradientAscent, GradDiff, Npo, SimNpo, TaskVector])
def test_passages_become_less_likely(method: Any, kind: str, tmp_path: Path) -> None:
    base = tiny_causal_model() if kind == "causal" else tiny_masked_model()
    # SimNPO is saturated from the start on texts as unlikely as a random model makes them
    settings = {"gamma": 1.0, "alpha": 0.0, "beta": 0.1} if method is SimNpo else {}
    after = fitted(method, tmp_path, kind, **settings)
    assert level(after, FORGET) < level(base, FORGET) - 1e-3


@pytest.mark.parametrize("method", [GradientAscent, GradDiff, Npo, SimNpo, TaskVector])
def test_same_seed_same_weights(method: Any, tmp_path: Path) -> None:
    one, two = fitted(method, tmp_path), fitted(method, tmp_path)
    assert torch.equal(weights(one), weights(two))


@pytest.mark.parametrize("retain", ["nll", "kl"])
def test_graddiff_keeps_neutral_text_better_than_ascent(retain: str, tmp_path: Path) -> None:
    alone = fitted(GradientAscent, tmp_path)
    held = fitted(GradDiff, tmp_path, retain=retain)
    assert level(held, KEEP) > level(alone, KEEP)


def test_graddiff_without_retaining_is_gradient_ascent(tmp_path: Path) -> None:
    alone = fitted(GradientAscent, tmp_path)
    same = fitted(GradDiff, tmp_path, alpha=0.0)
    assert torch.allclose(weights(alone), weights(same), atol=1e-6)


def test_npo_tends_to_gradient_ascent() -> None:
    ratio = torch.tensor([0.5, -2.0, 3.0], requires_grad=True)
    for beta, tolerance in ((1e-2, 2e-2), (1e-4, 2e-4)):
        (gradient,) = torch.autograd.grad(npo_loss(ratio, beta), ratio)
        assert torch.allclose(gradient, torch.full((3,), 1 / 3), atol=tolerance)


def test_npo_lets_go_of_what_is_forgotten() -> None:
    ratio = torch.tensor([0.0, -100.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(npo_loss(ratio, 0.1), ratio)
    # d/dr = 2 sigmoid(beta r) / n: 1/2 at the base model, next to nothing far below it
    assert gradient[0] == pytest.approx(0.5)
    assert gradient[1] == pytest.approx(4.5e-5, rel=1e-2)


def test_npo_and_simnpo_are_their_formulas_over_the_models_scores(tmp_path: Path) -> None:
    base = tiny_causal_model()
    scores = [s.logprobs for s in base.token_scores(FORGET, start=True)]
    settings = {"learning_rate": 1e-9, "beta": 2.0, "gamma": 1.0, "retain": "none"}

    def logged(method: Any, **more: Any) -> float:
        config = method.Config(**settings, **more)
        (point,) = method(config).debias(request(tiny_causal_model(), tmp_path, steps=(1,)))
        return float(str(point.log["mean_forget_loss"]))

    def loss(ratios: list[float]) -> float:
        return sum(math.log(1 + math.exp(2.0 * r)) for r in ratios) / len(ratios)

    assert logged(Npo) == pytest.approx(loss([0.0, 0.0]), rel=1e-5)
    means = [float(own.mean()) + 1.5 for own in scores]
    assert logged(SimNpo, delta=1.5) == pytest.approx(loss(means), rel=1e-4)


def test_npo_with_a_small_beta_takes_the_step_of_gradient_ascent(tmp_path: Path) -> None:
    """On one passage, whose sum and mean differ by its length alone, which Adam does not see."""
    found = []
    for method, more in ((Npo, {"beta": 1e-6}), (GradientAscent, {})):
        asked = request(tiny_causal_model(), tmp_path, steps=(1,))
        asked = asked.model_copy(update={"passages": asked.passages[:1]})
        config = method.Config(learning_rate=1e-3, **more)
        (point,) = method(config).debias(asked)
        found.append(weights(point.model))
    moved = (found[1] - weights(tiny_causal_model())).abs()
    close = (found[0] - found[1]).abs() < 1e-5
    assert float(close[moved > 9e-4].float().mean()) > 0.99


def test_npo_at_the_base_model_is_log_two(tmp_path: Path) -> None:
    first, *_ = Npo(Npo.Config(learning_rate=1e-9)).debias(
        request(tiny_causal_model(), tmp_path, steps=(1,))
    )
    assert first.log["mean_forget_loss"] == pytest.approx(20 * 0.693147, rel=1e-3)


def test_the_divergence_of_a_model_from_itself_is_zero() -> None:
    model = tiny_causal_model()
    rows = text_rows(model, KEEP)
    with torch.no_grad():
        found = base_divergence(model, model.copy(), rows)
    assert float(found) == pytest.approx(0.0, abs=1e-6)


def test_task_vector_of_scale_zero_is_the_base_model(tmp_path: Path) -> None:
    after = fitted(TaskVector, tmp_path, scale=0.0)
    assert torch.equal(weights(after), weights(tiny_causal_model()))


def test_task_vector_is_linear_in_its_scale(tmp_path: Path) -> None:
    base = weights(tiny_causal_model())
    one = weights(fitted(TaskVector, tmp_path, scale=1.0)) - base
    half = weights(fitted(TaskVector, tmp_path, scale=0.5)) - base
    assert float(one.norm()) > 0
    assert torch.allclose(half, one / 2, atol=1e-6)


def test_task_vector_goes_on_from_the_tuned_weights(tmp_path: Path) -> None:
    def after(steps: tuple[int, ...]) -> torch.Tensor:
        model = tiny_causal_model()
        config = TaskVector.Config(learning_rate=1e-3)
        found = [
            weights(c.model) for c in TaskVector(config).debias(request(model, tmp_path, steps))
        ]
        return found[-1]

    assert torch.equal(after((4,)), after((1, 2, 4)))


def test_nothing_to_retain_is_said_in_one_line(tmp_path: Path) -> None:
    asked = request(tiny_causal_model(), tmp_path).model_copy(update={"neutral": ()})
    method = GradDiff(GradDiff.Config())
    with pytest.raises(DebiasError, match="neutral corpus holds no text"):
        list(method.debias(asked))


def test_divergence_ends_in_one_line(tmp_path: Path) -> None:
    method = GradientAscent(GradientAscent.Config(learning_rate=1e20, optimizer="sgd"))
    asked = request(tiny_causal_model(), tmp_path, (5,))
    with pytest.raises(DebiasError, match="diverged at step"):
        list(method.debias(asked))
