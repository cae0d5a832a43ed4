"""Next-token distributions corrected by what the same model says behind a prompt.

Self-Debias (Schick et al. 2021) is one such correction: probabilities that a prompt which asks
for biased text raises are scaled down. Weights stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import ModelError
from harness.lm.scoring import Row

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


class PromptedRows(NamedTuple):
    """Rows behind a prompt, and which of their outputs stand for the plain rows' outputs."""

    rows: list[Row]
    owners: list[int]
    positions: list[int]


def behind(
    rows: Sequence[Row], prompt: Sequence[int], front: Sequence[int], most: int
) -> PromptedRows:
    """Put a prompt behind the special tokens that rows start with.

    Args:
        rows: as they are run without the prompt.
        prompt: its tokens.
        front: special tokens that the prompt follows where a row starts with them.
        most: longest row; a longer one is split, and the later outputs are read behind the
            prompt and the tokens just before them.

    Raises:
        ModelError: the prompt leaves no room for text.
    """
    made = PromptedRows([], [], [])
    lead = len(front)
    for row in rows:
        head = lead if lead and list(row.ids[:lead]) == list(front) else 0
        added = len(prompt)
        room = most - head - added
        own, text = list(row.ids[:head]), list(row.ids[head:])
        if room < 2 or len(text) > 2 * room:
            raise ModelError(
                f"a prompt of {added} tokens leaves no room for text in a context of {most}; take "
                "a shorter one"
            )
        first = len(made.rows)
        made.rows.append(Row([*own, *prompt, *text[:room]], [], []))
        if len(text) > room:
            made.rows.append(Row([*own, *prompt, *text[-room:]], [], []))
        for position in row.positions:
            late = position - head >= room
            made.owners.append(first + late)
            cut = len(text) - room if late else 0
            made.positions.append(position + added - cut)
    return made
