"""Batches of token rows and the log-probabilities of their targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from harness.errors import ModelError

TOKENS_A_BATCH = 1024
"""Padded tokens in a batch on a CPU: enough to keep a matrix product busy."""

TOKENS_A_BATCH_GPU = 16384
"""Padded tokens in a batch on any other device; halved where memory does not allow it."""


class Row(NamedTuple):
    """Tokens to run, and which targets to score at which positions.

    ``log p(targets[k])`` is read from the output at ``positions[k]``.
    """

    ids: Sequence[int]
    positions: Sequence[int]
    targets: Sequence[int]


def batches(rows: Sequence[Row], budget: int = TOKENS_A_BATCH) -> Iterator[list[int]]:
    """Yield indices of rows, longest first, at most ``budget`` padded tokens a batch."""
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i].ids))
    batch: list[int] = []
    for i in order:
        longest = len(rows[batch[0]].ids) if batch else len(rows[i].ids)
        if batch and longest * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def pad(
    rows: Sequence[Row], filler: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-pad rows; returns ids and attention mask, both ``(rows, longest)``."""
    width = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), width), filler, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids, dtype=torch.long)
        mask[i, : len(row.ids)] = 1
    return ids.to(device), mask.to(device)


def wanted(rows: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Row index, position and target of every score wanted of a batch, each ``(scores,)``."""
    index = [i for i, row in enumerate(rows) for _ in row.positions]
    positions = [p for row in rows for p in row.positions]
    targets = [t for row in rows for t in row.targets]
    return torch.tensor(index), torch.tensor(positions), torch.tensor(targets)


def target_logprobs(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """``log softmax(logits)[target]`` a row: ``(n, vocabulary)`` and ``(n,)`` give ``(n,)``."""
    logits = logits.float()
    chosen = logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return chosen - torch.logsumexp(logits, dim=-1)


def score_rows(
    rows: Sequence[Row],
    score_batch: Callable[[Sequence[Row]], np.ndarray],
    budget: int = TOKENS_A_BATCH,
) -> list[np.ndarray]:
    """Score rows in batches; float64 arrays in the order of the rows.

    A batch that does not fit into memory is halved and tried again, to the same scores.

    Raises:
        ModelError: a single row does not fit.
    """
    results: list[np.ndarray] = [np.empty(0)] * len(rows)
    waiting = list(batches(rows, budget))
    while waiting:
        batch = waiting.pop(0)
        try:
            flat = score_batch([rows[i] for i in batch])
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            if len(batch) == 1:
                raise ModelError(
                    f"not enough memory for a text of {len(rows[batch[0]].ids)} tokens; free some, "
                    "or take a smaller model or dtype"
                ) from error
            if torch.cuda.is_available():
                torch.cuda.empty_cache()  # what is cached for the large batch's shapes
            half = len(batch) // 2
            waiting[:0] = [batch[:half], batch[half:]]
            continue
        start = 0
        for i in batch:
            count = len(rows[i].positions)
            results[i] = flat[start : start + count].astype(np.float64)
            start += count
    return results


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    words = str(error).lower()  # torch raises plain RuntimeError on a CPU
    return any(w in words for w in ("out of memory", "not enough memory", "can't allocate memory"))
