"""Shared prefixes run once: rows of a causal model as trees, several trees packed in one block.

Sentences of a pair or triple begin alike, and so do many others of a suite. Rows are sorted by
their tokens, so that rows with the same beginning are together, and cut into blocks of about equal
length. In a block every distinct prefix is run once; a mask lets each token see the tokens of
its own prefix and no other, so its output is the one it has in a row of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from harness.lm.scoring.batches import Row
from harness.lm.scoring.forward import Inputs

BLOCK_TOKENS = 128
"""Longest block. Attention is paid for every pair of a block's tokens: four percent of a small
model's time at this length, and a third at a thousand."""

FULL_ENOUGH = 0.75
"""Share of a block from which on the next one may begin, wherever the least is shared."""


class Read(NamedTuple):
    """One score wanted: ``log p(target)`` after node ``node`` is score ``place`` of row ``row``."""

    node: int
    target: int
    row: int
    place: int


class Block(NamedTuple):
    """A forest of tokens, parents before children.

    Attributes:
        ids: token of each node.
        depth: its position in its text.
        parent: the node before it in its text; -1 for the first.
        reads: the scores wanted of the block's rows, sorted by node.
    """

    ids: list[int]
    depth: list[int]
    parent: list[int]
    reads: list[Read]


def blocks(rows: Sequence[Row], numbers: Sequence[int], length: int = BLOCK_TOKENS) -> list[Block]:
    """Pack rows, each at most ``length`` tokens long, into blocks of at most that length.

    Args:
        rows: all rows.
        numbers: which of them to pack; `Read.row` is such a number.
        length: longest block.
    """
    order = sorted(numbers, key=lambda i: tuple(rows[i].ids))
    packed = []
    at = 0
    while at < len(order):
        end = _end(rows, order, at, length)
        packed.append(grow(rows, order[at:end]))
        at = end
    return packed


def families(
    rows: Sequence[Row], numbers: Sequence[int], length: int
) -> tuple[list[Block], list[int]]:
    """Pack rows that are too long for `blocks` where they share at least half of their tokens.

    Args:
        rows: all rows.
        numbers: which of them to pack.
        length: longest block.

    Returns:
        Blocks of at least two rows each, and the numbers of the rows that are in none.
    """
    groups: list[list[int]] = []
    size, before = 0, rows[0].ids if rows else ()
    for number in sorted(numbers, key=lambda i: tuple(rows[i].ids)):
        ids = rows[number].ids
        shared = _shared(before, ids)
        if groups and 2 * shared >= len(ids) and size + len(ids) - shared <= length:
            groups[-1].append(number)
            size += len(ids) - shared
        else:
            groups.append([number])
            size = len(ids)
        before = ids
    packed = [grow(rows, group) for group in groups if len(group) > 1]
    return packed, [group[0] for group in groups if len(group) == 1]


def _end(rows: Sequence[Row], order: Sequence[int], start: int, length: int) -> int:
    """Where the block that starts at a place of the order ends: late, where little is shared."""
    size, end, least = 0, start + 1, length
    for at in range(start, len(order)):
        row = rows[order[at]].ids
        shared = _shared(rows[order[at - 1]].ids, row) if at > start else 0
        if at > start and size >= FULL_ENOUGH * length and shared <= least:
            end, least = at, shared
        size += len(row) - shared
        if size > length:
            # too long before it was full enough: one row, or rows that fill it all but
            return end if least < length else max(at, start + 1)
    return len(order)


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the longest common prefix."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count


def grow(rows: Sequence[Row], numbers: Iterable[int]) -> Block:
    """Make one block of rows, in the order given; a row shares the prefix of the one before it."""
    block = Block([], [], [], [])
    path: list[int] = []
    before: Sequence[int] = ()
    for number in numbers:
        row = rows[number]
        shared = _shared(before, row.ids)
        path = path[:shared]
        for token in row.ids[shared:]:
            block.parent.append(path[-1] if path else -1)
            block.depth.append(len(path))
            path.append(len(block.ids))
            block.ids.append(token)
        block.reads.extend(
            Read(path[position], target, number, place)
            for place, (position, target) in enumerate(zip(row.positions, row.targets, strict=True))
        )
        before = row.ids
    block.reads.sort(key=lambda read: read.node)
    return block


def block_batches(packed: Sequence[Block], budget: int) -> Iterator[list[Block]]:
    """Blocks of similar length together, at most ``budget`` padded tokens a batch."""
    order = sorted(packed, key=lambda block: -len(block.ids))
    at = 0
    while at < len(order):
        size = max(1, budget // len(order[at].ids))
        yield order[at : at + size]
        at += size


def forest(batch: Sequence[Block], filler: int, device: torch.device) -> Inputs:
    """What a model is run on for blocks, padded to the longest; padding sees itself alone."""
    longest = max(len(block.ids) for block in batch)
    ids = np.full((len(batch), longest), filler, dtype=np.int64)
    depth = np.zeros_like(ids)
    visible = np.zeros((len(batch), 1, longest, longest), dtype=bool)
    visible[:] = np.eye(longest, dtype=bool)
    for i, block in enumerate(batch):
        count = len(block.ids)
        ids[i, :count] = block.ids
        depth[i, :count] = block.depth
        sees = visible[i, 0]
        for node, parent in enumerate(block.parent):
            if parent >= 0:
                sees[node] |= sees[parent]
    return Inputs(*(torch.from_numpy(part).to(device) for part in (ids, visible, depth)))


class Wanted(NamedTuple):
    """Which of a batch's outputs are read, and for which scores.

    Attributes:
        block: of each node read, ``(n,)``.
        positions: its place in the block, ``(n,)``.
        place: which of these ``n`` each score is read at, ascending, ``(scores,)``.
        targets: token of each score, ``(scores,)``.
    """

    block: torch.Tensor
    positions: torch.Tensor
    place: torch.Tensor
    targets: torch.Tensor


def wanted(batch: Sequence[Block], device: torch.device) -> Wanted:
    """A node that several rows read goes through the output layer once."""
    index, positions, place, targets = [], [], [], []
    for i, block in enumerate(batch):
        last = -1
        for read in block.reads:
            if read.node != last:
                index.append(i)
                positions.append(read.node)
                last = read.node
            place.append(len(index) - 1)
            targets.append(read.target)
    return Wanted(
        *(
            torch.tensor(part, dtype=torch.long, device=device)
            for part in (index, positions, place, targets)
        )
    )
