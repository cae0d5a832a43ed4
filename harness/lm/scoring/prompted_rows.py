"""Next-token distributions corrected by what the same model says behind a prompt.

Self-Debias (Schick et al. 2021) is one such correction: probabilities that a prompt which asks
for biased text raises are scaled down. Weights stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from harness.errors import ModelError
from harness.lm.scoring.batches import Row


class PromptedRows(NamedTuple):
    """Rows behind a prompt, and which of their outputs are those of the plain rows."""

    rows: list[Row]
    owners: list[int]
    positions: list[int]


def behind(
    rows: Sequence[Row], prompt: Sequence[int], fronts: Sequence[Sequence[int]], most: int
) -> PromptedRows:
    """Put a prompt behind the special tokens that rows start with.

    Args:
        rows: as they are run without the prompt.
        prompt: its tokens.
        fronts: special tokens that the prompt follows where a row starts with them.
        most: longest row; a longer one is split, and the later outputs are read behind the
            prompt and the tokens just before them.

    Raises:
        ModelError: the prompt leaves no room for text.
    """
    made = PromptedRows([], [], [])
    for row in rows:
        starts = (f for f in fronts if list(row.ids[: len(f)]) == list(f))
        head = max(map(len, starts), default=0)
        added = len(prompt)
        room = most - head - added
        front, text = list(row.ids[:head]), list(row.ids[head:])
        if room < 2 or len(text) > 2 * room:
            raise ModelError(
                f"a prompt of {added} tokens leaves no room for text in a context of {most}; take "
                "a shorter one"
            )
        first = len(made.rows)
        made.rows.append(Row([*front, *prompt, *text[:room]], [], []))
        if len(text) > room:
            made.rows.append(Row([*front, *prompt, *text[-room:]], [], []))
        for position in row.positions:
            late = position - head >= room
            made.owners.append(first + late)
            cut = len(text) - room if late else 0
            made.positions.append(position + added - cut)
    return made
