"""Dropout as a debiasing method (Webster et al. 2020): further training with more of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from harness.lm.handle import LanguageModel
from harness.types import Checkpoint, DebiasRequest
from harness_debiasers.lm_loss import TextRow, mean_logprob, text_rows
from harness_debiasers.training import TrainedDebiaser, TrainingConfig, train

if TYPE_CHECKING:
    import torch


class DropoutConfig(TrainingConfig):
    """How much is dropped. The published run takes 2,000 steps of 256 blocks of 1,024 tokens."""

    learning_rate: float = Field(5e-5, gt=0, description="step size (as published)")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "linear", description="learning rate over the steps, after the warm-up"
    )
    dropout: Literal[True] = Field(True, description="always on: it is the method")
    rate: float = Field(0.15, gt=0, lt=1, description="share of activations dropped (as published)")
    line_tokens: int = Field(200, ge=2, description="a line is cut after so many tokens")


class Dropout(TrainedDebiaser[DropoutConfig]):
    """Goes on training on neutral text with raised dropout; the domain makes no difference."""

    name = "dropout"
    summary = "Further training on neutral text with raised dropout; the same for every domain."
    reference = "Webster et al. 2020, https://arxiv.org/abs/2010.06032"
    inputs = frozenset({"neutral"})
    control = "change"

    def debias(self, request: DebiasRequest) -> Iterator[Checkpoint]:
        """See `Debiaser.debias`."""
        texts = [p.text for p in request.neutral]
        rows = text_rows(request.model, texts, seed=request.seed, longest=self.config.line_tokens)

        def objective(
            model: LanguageModel, batch: Sequence[TextRow]
        ) -> tuple[torch.Tensor, Mapping[str, float]]:
            loss = -mean_logprob(model, batch)
            return loss, {"token_nll": float(loss.detach())}

        with raised_dropout(request.model.module, self.config.rate):
            yield from train(request, self.config, rows, objective, {"texts": len(rows)})


@contextmanager
def raised_dropout(module: torch.nn.Module, rate: float) -> Iterator[None]:
    """Set the rate of a model's dropout layers while it trains.

    An architecture without any (Llama and its kin) gets dropout behind every attention and
    feed-forward block instead, where GPT-2 has its residual dropout.
    """
    import torch

    dropouts = [part for part in module.modules() if isinstance(part, torch.nn.Dropout)]
    before = [part.p for part in dropouts]
    handles = []
    for part in dropouts:
        part.p = rate
    if not dropouts:
        for block in module.modules():
            if type(block).__name__.endswith(("Attention", "MLP")):
                handles.append(block.register_forward_hook(_dropping(rate)))
    try:
        yield
    finally:
        for part, p in zip(dropouts, before, strict=True):
            part.p = p
        for handle in handles:
            handle.remove()


def _dropping(rate: float) -> Any:
    import torch

    def hook(part: torch.nn.Module, inputs: Any, output: Any) -> Any:
        def dropped(x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.dropout(x, rate, training=part.training)

        if isinstance(output, tuple):
            return (dropped(output[0]), *output[1:])
        return dropped(output)

    return hook
