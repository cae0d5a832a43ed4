"""Batches of token rows and the log-probabilities of their targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import torch

from harness.errors import ModelError

T = TypeVar("T")
R = TypeVar("R")

TOKENS_A_BATCH = 2048
"""Padded tokens in a batch on a CPU: enough to keep a matrix product busy."""

TOKENS_A_BATCH_LONG = 1024
"""The same of long rows, whose attention wants the cache: two windows together take longer than one
after the other."""

TOKENS_A_BATCH_GPU = 16384
"""Padded tokens in a batch on any other device; halved where memory does not allow it."""


class Row(NamedTuple):
    """Tokens to run, and which targets to score at which positions.

    ``log p(targets[k])`` is read from the output at ``positions[k]``.
    """

    ids: Sequence[int]
    positions: Sequence[int]
    targets: Sequence[int]


Batching = Literal["padded", "equal", "single"]
"""Which rows may share a batch: any, padded; those of one length; none."""


def batches(
    rows: Sequence[Row], budget: int = TOKENS_A_BATCH, batching: Batching = "padded"
) -> list[list[int]]:
    """Indices of rows that are run together, longest first.

    Args:
        rows: all rows.
        budget: padded tokens of a batch; a longer row is a batch of its own.
        batching: which rows may share a batch.
    """
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i].ids))
    groups: list[list[int]] = []
    for i in order:
        longest = len(rows[groups[-1][0]].ids) if groups else 0
        full = longest * (len(groups[-1]) + 1) > budget if groups else True
        apart = batching == "single" or (batching == "equal" and len(rows[i].ids) != longest)
        if full or apart:
            groups.append([])
        groups[-1].append(i)
    return groups


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


def score_rows(
    rows: Sequence[Row],
    score_batch: Callable[[Sequence[Row]], np.ndarray],
    work: Sequence[list[int]] | None = None,
) -> list[np.ndarray]:
    """Score rows in batches (of their indices); float64 arrays in the order of the rows.

    Raises:
        ModelError: a single row does not fit into memory.
    """
    results: list[np.ndarray] = [np.empty(0)] * len(rows)
    for batch, flat in halving(
        batches(rows) if work is None else work,
        lambda batch: score_batch([rows[i] for i in batch]),
        lambda i: len(rows[i].ids),
    ):
        start = 0
        for i in batch:
            count = len(rows[i].positions)
            results[i] = flat[start : start + count].astype(np.float64)
            start += count
    return results


def halving(
    work: Iterable[list[T]], run: Callable[[list[T]], R], tokens: Callable[[T], int]
) -> Iterator[tuple[list[T], R]]:
    """Run batches; one that does not fit into memory is halved and tried again.

    Args:
        work: the batches.
        run: what is done with one.
        tokens: length of one of its parts, for messages.

    Raises:
        ModelError: a single part does not fit.
    """
    waiting = list(work)
    while waiting:
        batch = waiting.pop(0)
        try:
            result = run(batch)
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            if len(batch) == 1:
                raise ModelError(
                    f"not enough memory for a text of {tokens(batch[0])} tokens; free some, "
                    "or take a smaller model or dtype"
                ) from error
            if torch.cuda.is_available():
                torch.cuda.empty_cache()  # what is cached for the large batch's shapes
            half = len(batch) // 2
            waiting[:0] = [batch[:half], batch[half:]]
            continue
        yield batch, result


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    words = str(error).lower()  # torch raises plain RuntimeError on a CPU
    return any(w in words for w in ("out of memory", "not enough memory", "can't allocate memory"))
