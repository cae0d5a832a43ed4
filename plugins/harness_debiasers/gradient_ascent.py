"""Gradient ascent on whole passages (Jang et al. 2023, Knowledge Unlearning)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from harness.lm.handle import LanguageModel
from harness.types import Checkpoint, DebiasRequest, Passage
from harness_debiasers.lm_loss import TextRow, mean_logprob, text_rows
from harness_debiasers.training import TrainedDebiaser, TrainingConfig, train

if TYPE_CHECKING:
    import torch


class GradientAscentConfig(TrainingConfig):
    """How far into a passage its tokens are unlearned, and how."""

    target_tokens: int = Field(200, ge=1, description="tokens of a passage that are unlearned")


class GradientAscent(TrainedDebiaser[GradientAscentConfig]):
    """Raises the cross entropy of every token of the source's passages; bounded by nothing."""

    name = "gradient-ascent"
    summary = "Gradient ascent on every token of hateful passages."
    reference = "Jang et al. 2023, https://aclanthology.org/2023.acl-long.805, Eq. 1"
    inputs = frozenset({"passages"})

    def debias(self, request: DebiasRequest) -> Iterator[Checkpoint]:
        """See `Debiaser.debias`."""
        texts = [p.text for p in self._texts(request)]
        rows = text_rows(request.model, texts, seed=request.seed, longest=self.config.target_tokens)

        def objective(
            model: LanguageModel, batch: Sequence[TextRow]
        ) -> tuple[torch.Tensor, Mapping[str, float]]:
            logprob = mean_logprob(model, batch)
            return logprob, {"token_logprob": float(logprob.detach())}

        yield from train(request, self.config, rows, objective, {"passages": len(rows)})

    def _texts(self, request: DebiasRequest) -> Sequence[Passage]:
        return request.passages


class NeutralAscent(GradientAscent):
    """Gradient ascent on neutral text: shows what damage alone does to the scores."""

    name = "neutral-ascent"
    summary = "Control: gradient ascent on neutral text."
    inputs = frozenset({"neutral"})
    control = "change"

    def _texts(self, request: DebiasRequest) -> Sequence[Passage]:
        return request.neutral
