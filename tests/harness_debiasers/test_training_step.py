"""The weights' step: the fused optimiser moves weights as the plain one does; the gradient norm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest
import torch
from harness_corpora.domains import BUILT_IN
from harness_debiasers.training import TrainingConfig, gradient_norm, train

from harness.data.places import DataStore
from harness.lm.handle import LanguageModel
from harness.types import DebiasRequest, no_progress

STEPS = 4


def loss_of(model: LanguageModel, number: int) -> torch.Tensor:
    """A loss whose gradient is drawn from a number, so that both optimisers see the same one."""
    generator = torch.Generator().manual_seed(number)
    weights = list(model.module.parameters())
    return sum((p * torch.randn(p.shape, generator=generator)).sum() for p in weights)  # type: ignore[return-value]


@pytest.mark.parametrize("optimizer", ["adamw", "adam"])
@pytest.mark.parametrize("bound", [None, 0.05])
def test_weights_move_as_with_the_plain_optimiser(
    tiny_causal: LanguageModel, optimizer: Literal["adamw", "adam"], bound: float | None
) -> None:
    twin = tiny_causal.copy()
    config = TrainingConfig(
        learning_rate=1e-3, optimizer=optimizer, weight_decay=0.1, batch_size=1, max_grad_norm=bound
    )
    batches: list[Any] = []

    def objective(
        model: LanguageModel, batch: Sequence[int]
    ) -> tuple[torch.Tensor, Mapping[str, float]]:
        batches.extend(batch)
        return loss_of(model, batch[0]), {}

    request = DebiasRequest(
        model=tiny_causal,
        domain="gender",
        passages=(),
        masked=(),
        neutral=(),
        steps=(STEPS,),
        data=DataStore(domains=BUILT_IN),
        progress=no_progress,
    )
    (checkpoint,) = train(request, config, [3, 1, 2], objective)

    kind = torch.optim.AdamW if optimizer == "adamw" else torch.optim.Adam
    weights = list(twin.module.parameters())
    plain = kind(weights, lr=1e-3, weight_decay=0.1, foreach=False, fused=False)
    norms = []
    for number in batches:
        plain.zero_grad()
        loss_of(twin, number).backward()
        norms.append(
            float(torch.cat([p.grad.flatten() for p in weights if p.grad is not None]).norm())
        )
        if bound is not None:
            torch.nn.utils.clip_grad_norm_(weights, bound)
        plain.step()
    assert len(batches) == STEPS
    assert checkpoint.log["mean_grad_norm"] == pytest.approx(sum(norms) / STEPS, rel=1e-4)
    for ours, theirs in zip(tiny_causal.module.parameters(), weights, strict=True):
        # of steps of 1e-3, four times
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-8)


def test_gradient_norm() -> None:
    one, other, without = (torch.nn.Parameter(torch.zeros(2)) for _ in range(3))
    one.grad, other.grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])
    assert gradient_norm([one, other, without], None) == 5.0
    assert one.grad.tolist() == [3.0, 0.0]
    assert gradient_norm([one, other, without], 10.0) == 5.0
    assert one.grad.tolist() == [3.0, 0.0]
    assert gradient_norm([one, other, without], 1.0) == 5.0
    assert one.grad.tolist() == pytest.approx([0.6, 0.0], rel=1e-5)
    one.grad[0] = math.nan
    assert math.isnan(gradient_norm([one, other], None))
