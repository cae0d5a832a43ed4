"""Log-probabilities of whole texts with a graph: what the losses of whole-text methods share."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import DebiasError
from harness.lm.handle import LanguageModel

if TYPE_CHECKING:
    import torch

MASKED_SHARE = 0.15
"""Share of a text's tokens that a masked model predicts at a time (Devlin et al. 2019)."""


class TextRow(NamedTuple):
    """Tokens as they are run, and the targets read at which positions of the output.

    ``positions[k]`` is where ``log p(targets[k])`` is read; ``text`` is the number of the text.
    """

    ids: tuple[int, ...]
    positions: tuple[int, ...]
    targets: tuple[int, ...]
    text: int


def text_rows(
    model: LanguageModel,
    texts: Sequence[str],
    *,
    seed: int = 0,
    longest: int | None = None,
) -> list[TextRow]:
    """Return rows that predict the tokens of each text.

    Causal: every token, a start token in front. Masked: a seeded 15 % of the tokens (at least
    one), masked at once; the choice is fixed for the whole fit. Texts are cut at ``longest``
    tokens or at the model's context.
    """
    rows = []
    for number, text in enumerate(texts):
        if model.kind == "causal":
            front = model.start_ids
            most = model.max_tokens - len(front)
            ids = model.encode(text)[: min(longest or most, most)]
            if ids:
                read = range(len(front) - 1, len(front) + len(ids) - 1)
                rows.append(TextRow((*front, *ids[:-1]), tuple(read), tuple(ids), number))
            continue
        ids = model.encode(text)[: min(longest or model.max_tokens, model.max_tokens - 2)]
        if ids:
            count = max(1, round(MASKED_SHARE * len(ids)))
            chosen = sorted(random.Random(f"{seed}:{number}:{text}").sample(range(len(ids)), count))
            run_ids, first = model.masked_input(ids, chosen)
            rows.append(
                TextRow(
                    tuple(run_ids),
                    tuple(k + first for k in chosen),
                    tuple(ids[k] for k in chosen),
                    number,
                )
            )
    return rows


def row_logits(model: LanguageModel, rows: Sequence[TextRow]) -> torch.Tensor:
    """Return logits with a graph at every position read, shape ``(positions, vocabulary)``."""
    index = [i for i, row in enumerate(rows) for _ in row.positions]
    positions = [p for row in rows for p in row.positions]
    return model.training_logits([row.ids for row in rows], index, positions).float()


def sequence_logprobs(
    model: LanguageModel, rows: Sequence[TextRow]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the sum of the log-probabilities of each row's targets, and their number.

    Returns:
        Sums with a graph, in nats, ``(rows,)``, and counts, ``(rows,)``. For a masked model the
        sum is a pseudo-log-likelihood over the masked share of the tokens.
    """
    import torch

    logprobs = torch.log_softmax(row_logits(model, rows), dim=-1)
    targets = torch.tensor([t for row in rows for t in row.targets], device=logprobs.device)
    flat = logprobs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    counts = [len(row.positions) for row in rows]
    sums = torch.stack([part.sum() for part in torch.split(flat, counts)])
    return sums, torch.tensor(counts, device=sums.device)


def mean_logprob(model: LanguageModel, rows: Sequence[TextRow]) -> torch.Tensor:
    """Return the mean log-probability a token over all rows, with a graph, in nats."""
    sums, counts = sequence_logprobs(model, rows)
    return sums.sum() / counts.sum()


def frozen_logprobs(model: LanguageModel, rows: Sequence[TextRow], size: int = 8) -> list[float]:
    """Return the sums of `sequence_logprobs` without a graph, ``size`` rows at a time."""
    import torch

    sums: list[float] = []
    with torch.no_grad():
        for at in range(0, len(rows), size):
            sums += sequence_logprobs(model, rows[at : at + size])[0].tolist()
    return sums


def endless(rows: Sequence[TextRow], size: int, seed: int, what: str) -> Iterator[list[TextRow]]:
    """Yield batches of rows forever. The seed draws a new order for each epoch.

    Raises:
        DebiasError: there is no row.
    """
    if not rows:
        raise DebiasError(f"{what} holds no text with a token; choose another corpus or limit")
    draw = random.Random(seed)
    order: list[int] = []
    while True:
        while len(order) < min(size, len(rows)):
            order += draw.sample(range(len(rows)), len(rows))
        batch, order = order[:size], order[size:]
        yield [rows[i] for i in batch]
