"""GradDiff (Liu et al. 2022; Maini et al. 2024): ascent on one text, descent on another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from harness.lm.handle import LanguageModel
from harness.types import Checkpoint, DebiasRequest
from harness_debiasers.lm_loss import TextRow, mean_logprob, text_rows
from harness_debiasers.retain import retainer
from harness_debiasers.training import TrainedDebiaser, TrainingConfig, train

if TYPE_CHECKING:
    import torch


class GradDiffConfig(TrainingConfig):
    """Weights of forgetting and retaining."""

    gamma: float = Field(1.0, ge=0, description="weight of the ascent on the source's passages")
    alpha: float = Field(1.0, ge=0, description="weight of the loss on neutral text")
    retain: Literal["nll", "kl"] = Field(
        "nll", description="loss on neutral text: cross entropy, or KL from the base model"
    )
    target_tokens: int = Field(200, ge=1, description="tokens of a text that are used")


class GradDiff(TrainedDebiaser[GradDiffConfig]):
    """Gradient ascent on passages while neutral text is held."""

    name = "grad-diff"
    summary = "Gradient ascent on hateful passages, descent on neutral text."
    reference = "Liu et al. 2022; Maini et al. 2024, https://arxiv.org/abs/2401.06121"
    inputs = frozenset({"passages", "neutral"})

    def debias(self, request: DebiasRequest) -> Iterator[Checkpoint]:
        """See `Debiaser.debias`."""
        config = self.config
        texts = [p.text for p in request.passages]
        rows = text_rows(request.model, texts, seed=request.seed, longest=config.target_tokens)
        hold = retainer(request, config.retain, config.batch_size, config.target_tokens)

        def objective(
            model: LanguageModel, batch: Sequence[TextRow]
        ) -> tuple[torch.Tensor, Mapping[str, float]]:
            forget = mean_logprob(model, batch)
            kept = hold(model) if hold else forget * 0
            numbers = {"forget_logprob": float(forget.detach()), "retain": float(kept.detach())}
            return config.gamma * forget + config.alpha * kept, numbers

        yield from train(request, config, rows, objective, {"passages": len(rows)})
