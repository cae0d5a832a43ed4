"""From hidden states to log-probabilities of single tokens, without a table as wide as both.

The output layer of a small model is a fifth of its work, and its logits are far larger than
everything else. They are made a slice of the vocabulary at a time, small enough to stay in the
processor's cache while they are summed up, and never kept.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

PLACES = 1024
"""Hidden states that go through the output layer at once."""

SLICE = 2048
"""Tokens of the vocabulary whose logits exist at once, on a CPU."""

SLICE_GPU = 65536
"""The same on any other device, where few large products are quicker than many small ones."""


def streamed_logprobs(
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    hidden: torch.Tensor,
    place: torch.Tensor,
    targets: torch.Tensor,
) -> torch.Tensor:
    """``log softmax(weight h + bias)`` at one token, for each score.

    Args:
        weight: of the output layer, ``(vocabulary, width)``.
        bias: ``(vocabulary,)`` or None.
        hidden: ``(n, width)``.
        place: which hidden state each score is read at, ascending, ``(scores,)``.
        targets: token of each score, ``(scores,)``.

    Returns:
        Natural logarithms, float32 or wider, ``(scores,)``.
    """
    logprobs = []
    for at in range(0, len(hidden), PLACES):
        part = hidden[at : at + PLACES]
        scores = slice(*torch.searchsorted(place, torch.tensor([at, at + len(part)]).to(place)))
        logprobs.append(_streamed(weight, bias, part, place[scores] - at, targets[scores]))
    return torch.cat(logprobs) if logprobs else hidden.new_empty(0)


def _streamed(
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    hidden: torch.Tensor,
    place: torch.Tensor,
    targets: torch.Tensor,
) -> torch.Tensor:
    width = SLICE if hidden.device.type == "cpu" else SLICE_GPU
    vocabulary = len(weight)
    exact = hidden.dtype if hidden.dtype == torch.float64 else torch.float32
    most = torch.full((len(hidden), 1), -torch.inf, dtype=exact, device=hidden.device)
    total = torch.zeros_like(most)
    chosen = torch.empty(len(targets), dtype=exact, device=hidden.device)
    buffer = hidden.new_empty(len(hidden), min(width, vocabulary))
    for low in range(0, vocabulary, width):
        high = min(low + width, vocabulary)
        logits = buffer.view(-1)[: len(hidden) * (high - low)].view(len(hidden), high - low)
        torch.mm(hidden, weight[low:high].T, out=logits)
        if bias is not None:
            logits += bias[low:high]
        logits = logits.to(exact)
        here = ((targets >= low) & (targets < high)).nonzero()[:, 0]
        chosen[here] = logits[place[here], targets[here] - low]
        peak = torch.maximum(most, logits.amax(dim=1, keepdim=True))
        total *= torch.exp(most - peak)
        total += logits.sub_(peak).exp_().sum(dim=1, keepdim=True)
        most = peak
    return chosen - (most + total.log())[place, 0]


def logits_logprobs(
    parts: Iterable[torch.Tensor], place: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """`streamed_logprobs` from whole logits, some rows at a time.

    Args:
        parts: logits in the order of the places read, each ``(some, vocabulary)``.
        place: which of these rows each score is read at, ascending, ``(scores,)``.
        targets: token of each score, ``(scores,)``.
    """
    logprobs, at = [], 0
    for part in parts:
        scores = slice(*torch.searchsorted(place, torch.tensor([at, at + len(part)]).to(place)))
        rows = part.float()
        totals = torch.logsumexp(rows, dim=-1)
        here = place[scores] - at
        logprobs.append(rows[here, targets[scores]] - totals[here])
        at += len(part)
    return torch.cat(logprobs) if logprobs else torch.empty(0)
