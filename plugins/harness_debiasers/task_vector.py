"""Task-vector negation (Ilharco et al. 2023): learn the hateful text, then go the other way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from harness.lm.handle import LanguageModel
from harness.types import Checkpoint, DebiasRequest
from harness_debiasers.adapter import has_adapter, is_product_end
from harness_debiasers.lm_loss import TextRow, mean_logprob, text_rows
from harness_debiasers.training import TrainedDebiaser, TrainingConfig, train

if TYPE_CHECKING:
    import torch


class TaskVectorConfig(TrainingConfig):
    """How far the fine-tuned change is taken the other way."""

    scale: float = Field(
        1.0, ge=0, description="the model is base - scale x (fine-tuned - base); 0 is the base"
    )
    target_tokens: int = Field(200, ge=1, description="tokens of a passage that are learned")


class TaskVector(TrainedDebiaser[TaskVectorConfig]):
    """Fine-tunes on the source's passages and subtracts the change of the weights."""

    name = "task-vector"
    summary = "Fine-tuning on hateful passages, its change of the weights negated."
    reference = "Ilharco et al. 2023, https://arxiv.org/abs/2212.04089"
    inputs = frozenset({"passages"})

    def debias(self, request: DebiasRequest) -> Iterator[Checkpoint]:
        """See `Debiaser.debias`. Training continues from the tuned weights after a checkpoint."""
        import torch

        texts = [p.text for p in request.passages]
        rows = text_rows(request.model, texts, seed=request.seed, longest=self.config.target_tokens)
        base = {name: w.detach().clone() for name, w in _weights(request.model).items()}

        def objective(
            model: LanguageModel, batch: Sequence[TextRow]
        ) -> tuple[torch.Tensor, Mapping[str, float]]:
            loss = -mean_logprob(model, batch)
            return loss, {"token_nll": float(loss.detach())}

        for step, model, log in train(
            request, self.config, rows, objective, {"passages": len(rows)}
        ):
            weights = _weights(model)
            tuned = {name: w.detach().clone() for name, w in weights.items()}
            with torch.no_grad():
                for name, w in weights.items():
                    start = base.get(name, torch.zeros_like(w))  # an adapter's change starts at 0
                    w.copy_(start - self.config.scale * (tuned[name] - start))
            model.forget_scores()
            yield Checkpoint(step, model, log)
            with torch.no_grad():
                for name, w in weights.items():
                    w.copy_(tuned[name])
            model.forget_scores()


def _weights(model: LanguageModel) -> dict[str, torch.nn.Parameter]:
    """What is negated: all weights, or of an adapter the factor that its change is linear in."""
    named = dict(model.module.named_parameters())
    if has_adapter(model.module):
        return {name: w for name, w in named.items() if is_product_end(name)}
    return named
