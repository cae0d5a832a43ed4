"""Partitioned contrastive gradient unlearning (Yu et al. 2023).

Only those rows of weights change whose gradients differ most between the texts of a minimal pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from harness.lm.handle import LanguageModel
from harness.types import Checkpoint, DebiasRequest
from harness_debiasers.lm_loss import TextRow, sequence_logprobs
from harness_debiasers.minimal_pairs import Pair, PairTrainedDebiaser, PairTrainingConfig
from harness_debiasers.training import train

if TYPE_CHECKING:
    import torch


class PcguConfig(PairTrainingConfig):
    """Which part of the weights is moved, and how. Published on BERT."""

    optimizer: Literal["adamw", "adam", "sgd"] = Field(
        "sgd", description="optimiser (as published)"
    )
    batch_size: int = Field(16, ge=1, description="pairs a step (as published)")
    vectors: int = Field(
        10_000, ge=1, description="rows of weights moved a step, those with the lowest cosine"
    )
    direction: Literal["decrease", "increase"] = Field(
        "decrease",
        description="decrease the passage's probability, or increase its counterfactual's",
    )


class Pcgu(PairTrainedDebiaser[PcguConfig]):
    """Unlearns passages in the weights that treat their counterfactuals differently."""

    name = "pcgu"
    summary = "Unlearning in the rows of weights where a pair's gradients disagree most."
    reference = "Yu et al. 2023, https://aclanthology.org/2023.findings-acl.375"

    def debias(self, request: DebiasRequest) -> Iterator[Checkpoint]:
        """See `Debiaser.debias`."""
        config = self.config
        pairs = self.pairs(request)

        def objective(
            model: LanguageModel, batch: Sequence[Pair]
        ) -> tuple[torch.Tensor, Mapping[str, float]]:
            import torch

            weights = [w for w in model.module.parameters() if w.requires_grad]
            level, passage = _gradients(model, [pair.passage for pair in batch], weights)
            _, other = _gradients(model, [pair.counterfactual for pair in batch], weights)
            pull = passage if config.direction == "decrease" else [-g for g in other]
            kept = lowest_cosines(passage, other, pull, config.vectors)
            # its value is the level, and its gradient the marked rows of the pull
            parts = zip(weights, pull, kept, strict=True)
            sums = [(w * g * keep).sum() for w, g, keep in parts]
            moved = torch.stack([part.to(level.device) for part in sums]).sum()
            loss = level + moved - moved.detach()
            return loss, {"vectors_moved": float(sum(int(keep.sum()) for keep in kept))}

        yield from train(request, config, pairs, objective, {"pairs": len(pairs)})


def _gradients(
    model: LanguageModel, rows: Sequence[TextRow], weights: Sequence[torch.nn.Parameter]
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return the sum of the texts' log-probabilities (as published) and its gradients."""
    import torch

    level = sequence_logprobs(model, rows)[0].sum()
    gradients = torch.autograd.grad(level, weights, allow_unused=True)
    full = [
        torch.zeros_like(w) if g is None else g for w, g in zip(weights, gradients, strict=True)
    ]
    return level.detach(), full


def lowest_cosines(
    one: Sequence[torch.Tensor],
    other: Sequence[torch.Tensor],
    followed: Sequence[torch.Tensor],
    count: int,
) -> list[torch.Tensor]:
    """Marks the ``count`` vectors with the lowest cosine between two gradients.

    The vectors of a weight are what its first axis numbers (a linear layer's: the input weights
    of one output; of a GPT-2 layer, stored the other way round, the output weights of one input);
    a weight of one axis is one vector. The cosine is 0 where one text has no gradient.

    Args:
        one: gradient of the one text in each weight.
        other: gradient of the other text in each weight.
        followed: the gradient that marked vectors are moved along. A vector whose part of it is
            zero could not move, and is never marked.
        count: how many vectors are marked at most.

    Returns:
        A boolean tensor a weight that multiplies it: ``(vectors, 1, ...)``, or ``(1,)``.
    """
    import torch

    cosines = []
    for parts_of_weight in zip(one, other, followed, strict=True):
        a, b, pull = (g.flatten(1) if g.dim() > 1 else g.reshape(1, -1) for g in parts_of_weight)
        lengths = a.norm(dim=1) * b.norm(dim=1)
        cosine = (a * b).sum(1) / lengths.clamp_min(1e-30)  # 0 where one side is 0
        cosines.append(torch.where((pull != 0).any(dim=1), cosine, torch.inf))
    # layers may be on different devices
    joined = torch.cat([cosine.to(cosines[0].device) for cosine in cosines])
    marked = torch.zeros_like(joined, dtype=torch.bool)
    least = torch.topk(joined, min(count, len(joined)), largest=False)
    marked[least.indices[least.values.isfinite()]] = True
    parts = torch.split(marked, [len(c) for c in cosines])
    return [
        (part.reshape(-1, *[1] * (g.dim() - 1)) if g.dim() > 1 else part).to(g.device)
        for part, g in zip(parts, one, strict=True)
    ]
