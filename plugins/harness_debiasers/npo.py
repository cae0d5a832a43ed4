"""Negative preference optimisation: NPO (Zhang et al. 2024) and SimNPO (Fan et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from harness.lm.handle import LanguageModel
from harness.types import Checkpoint, DebiasRequest
from harness_debiasers.lm_loss import TextRow, frozen_logprobs, sequence_logprobs, text_rows
from harness_debiasers.retain import retainer
from harness_debiasers.training import TrainedDebiaser, TrainingConfig, train

if TYPE_CHECKING:
    import torch


class NpoConfig(TrainingConfig):
    """How sharply forgetting saturates, and what is retained."""

    beta: float = Field(
        0.1, gt=0, description="inverse temperature; towards 0 it is gradient ascent"
    )
    gamma: float = Field(1.0, ge=0, description="weight of forgetting")
    alpha: float = Field(1.0, ge=0, description="weight of the loss on neutral text")
    retain: Literal["none", "nll", "kl"] = Field("none", description="loss on neutral text")
    target_tokens: int = Field(200, ge=1, description="tokens of a text that are used")


class SimNpoConfig(NpoConfig):
    """SimNPO's defaults in the open-unlearning framework."""

    beta: float = Field(4.5, gt=0, description="inverse temperature")
    delta: float = Field(0.0, description="margin on the mean negative log-probability a token")
    gamma: float = Field(0.125, ge=0, description="weight of forgetting")
    retain: Literal["none", "nll", "kl"] = Field("nll", description="loss on neutral text")


class Npo(TrainedDebiaser[NpoConfig]):
    """Forgets passages against the base model; the gradient fades as a passage is forgotten."""

    name = "npo"
    summary = "Negative preference optimisation: ascent that saturates against the base model."
    reference = "Zhang et al. 2024, https://arxiv.org/abs/2404.05868, Eq. 3"
    inputs = frozenset({"passages", "neutral"})

    def debias(self, request: DebiasRequest) -> Iterator[Checkpoint]:
        """See `Debiaser.debias`."""
        config = self.config
        texts = [p.text for p in request.passages]
        rows = text_rows(request.model, texts, seed=request.seed, longest=config.target_tokens)
        base = {row.text: b for row, b in zip(rows, self._reference(request, rows), strict=True)}
        hold = retainer(request, config.retain, config.batch_size, config.target_tokens)

        def objective(
            model: LanguageModel, batch: Sequence[TextRow]
        ) -> tuple[torch.Tensor, Mapping[str, float]]:
            import torch

            sums, counts = sequence_logprobs(model, batch)
            base_sums = torch.tensor([base[row.text] for row in batch], device=sums.device)
            forget = self._forget(sums, counts, base_sums)
            loss = config.gamma * forget
            if hold is not None:
                loss = loss + config.alpha * hold(model)
            logprob = float((sums.sum() / counts.sum()).detach())
            return loss, {"forget_loss": float(forget.detach()), "token_logprob": logprob}

        yield from train(request, config, rows, objective, {"passages": len(rows)})

    def _reference(self, request: DebiasRequest, rows: Sequence[TextRow]) -> list[float]:
        return frozen_logprobs(request.model, rows)

    def _forget(self, sums: torch.Tensor, counts: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
        """Return ``-(2/beta) mean log sigmoid(-beta (log p - log p_base))`` over whole passages."""
        return npo_loss(sums - base, self.config.beta)


class SimNpo(Npo):
    """NPO without a reference model, on the mean log-probability a token."""

    name = "simnpo"
    summary = "NPO without a reference model, normalised by length."
    reference = "Fan et al. 2024, https://arxiv.org/abs/2410.07163, Eq. 4"
    Config = SimNpoConfig

    def _reference(self, request: DebiasRequest, rows: Sequence[TextRow]) -> list[float]:
        return [0.0] * len(rows)

    def _forget(self, sums: torch.Tensor, counts: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
        """Return ``-(2/beta) mean log sigmoid(-beta (log p / tokens + delta))``."""
        delta = getattr(self.config, "delta", 0.0)
        return npo_loss(sums / counts + delta, self.config.beta)


def npo_loss(ratio: torch.Tensor, beta: float) -> torch.Tensor:
    """Return ``-(2/beta) mean log sigmoid(-beta ratio)``, ratio in nats, ``(passages,)``."""
    import torch

    return -(2.0 / beta) * torch.nn.functional.logsigmoid(-beta * ratio).mean()
