"""Prompt contrast: correcting next-token distributions by those after a prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class PromptContrast:
    """How much a token's probability is lowered where prompts raise it.

    With ``p`` from the plain text and ``q`` the largest from the prompted ones, the new
    probabilities are ``p * max(exp(-decay * max(0, q - p)), floor)``, made to sum to 1.

    Attributes:
        prompts: put in front of a text, one at a time; none leaves the model as it is.
        decay: how sharply it is lowered; 0 leaves the model as it is.
        floor: least share of a probability that is left, above 0.
    """

    prompts: tuple[str, ...]
    decay: float
    floor: float

    def apply(self, plain: torch.Tensor, prompted: Sequence[torch.Tensor]) -> torch.Tensor:
        """Corrected logits, ``(n, vocabulary)``, from the plain ones and those behind prompts."""
        import torch

        if not prompted or self.decay == 0:
            return plain
        logp = torch.log_softmax(plain.float(), dim=-1)
        p = logp.exp()
        raised = torch.zeros_like(p)
        for logits in prompted:
            raised = torch.maximum(raised, torch.softmax(logits.float(), dim=-1) - p)
        lowered = logp + (-self.decay * raised).clamp_min(math.log(self.floor))
        return torch.log_softmax(lowered, dim=-1)
