"""Direct preference optimisation (Rafailov et al. 2023) for the counterfactual over the passage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field

from harness.lm.handle import LanguageModel
from harness.types import Checkpoint, DebiasRequest
from harness_debiasers.lm_loss import frozen_logprobs, sequence_logprobs
from harness_debiasers.minimal_pairs import Pair, PairTrainedDebiaser, PairTrainingConfig
from harness_debiasers.training import train

if TYPE_CHECKING:
    import torch


class DpoConfig(PairTrainingConfig):
    """How far the model may move from the base."""

    beta: float = Field(0.1, gt=0, description="inverse temperature: small lets the model go far")


class _Example(NamedTuple):
    pair: Pair
    base_margin: float
    """log p(counterfactual) - log p(passage) under the base model."""


class Dpo(PairTrainedDebiaser[DpoConfig]):
    """Learns to prefer a passage about another group over the hateful one it was made from."""

    name = "dpo"
    summary = "Direct preference optimisation; the passage's counterfactual is the chosen text."
    reference = "Rafailov et al. 2023, https://arxiv.org/abs/2305.18290, Eq. 7"

    def debias(self, request: DebiasRequest) -> Iterator[Checkpoint]:
        """See `Debiaser.debias`."""
        config = self.config
        pairs = self.pairs(request)
        chosen = frozen_logprobs(request.model, [pair.counterfactual for pair in pairs])
        rejected = frozen_logprobs(request.model, [pair.passage for pair in pairs])
        examples = [
            _Example(pair, good - bad)
            for pair, good, bad in zip(pairs, chosen, rejected, strict=True)
        ]

        def objective(
            model: LanguageModel, batch: Sequence[_Example]
        ) -> tuple[torch.Tensor, Mapping[str, float]]:
            import torch

            rows = [e.pair.counterfactual for e in batch] + [e.pair.passage for e in batch]
            good, bad = sequence_logprobs(model, rows)[0].reshape(2, -1)
            base = torch.tensor([e.base_margin for e in batch], device=good.device)
            margin = good - bad - base
            return dpo_loss(margin, config.beta), {"margin": float(margin.detach().mean())}

        yield from train(request, config, examples, objective, {"pairs": len(pairs)})


def dpo_loss(margin: torch.Tensor, beta: float) -> torch.Tensor:
    """Return ``-mean log sigmoid(beta margin)``; margins, ``(pairs,)``, are over the base's."""
    import torch

    return -torch.nn.functional.logsigmoid(beta * margin).mean()
