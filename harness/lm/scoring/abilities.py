"""What a model can do, found by trying, on rows as long as those that are run.

A trial compares logits with those of each row run by itself. It counts only if it could have seen
the fault that it looks for: if the same tokens behind other text give clearly other logits. A trial
that fails, for whatever reason, means that the model cannot do it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import torch

from harness.errors import ModelError
from harness.lm.scoring.batches import Batching, Row, pad
from harness.lm.scoring.forward import (
    NEAR,
    NEAR_LOW,
    Forward,
    Inputs,
    distance,
    near,
)
from harness.lm.scoring.packing import BLOCK_TOKENS, Block, forest, grow

T = TypeVar("T")

BLOCK_SIZES = (1024, 512, 256, BLOCK_TOKENS)
"""Lengths of blocks that are tried. Longer texts are not run in trees: attention costs more there
than sharing saves."""

SHORT_ROW = 16
"""Length of the row at the end of a block that is tried."""

PADDED_ROW = 64
"""Length of the longest causal row that is tried with padding, which it has no way to see."""

TRIAL_TOKENS = 16
"""Length of the rows on which every model is tried when it is loaded."""

READ = 12
"""Positions of a row that are compared."""

CLEAR = 10.0
"""How many times the allowed difference a fault must make to be seen."""

CLEAR_LOW = 3.0
"""The same in a low precision."""

_known: dict[Hashable, Any] = {}
"""Answers by architecture, so that each is found once a process, not once a load."""


class Abilities:
    """What a module can do; each answer is found when it is first asked for."""

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self._blocks: dict[int, bool] = {}
        self._batching: Batching | None = None

    def block_tokens(self, most: int) -> int:
        """Longest block of trees, at most ``most`` tokens, that gives the logits of its rows.

        0: the model has to be run in rows. Its rows may be as long as the block.
        """
        if self._forward.kind != "causal":
            return 0
        return next((n for n in BLOCK_SIZES if n <= most and self._takes(n)), 0)

    def batching(self) -> Batching:
        """Which rows may share a batch without changing one another's logits."""
        if self._batching is None:
            rule: Batching = _once("batching", self._forward, _find_batching)
            self._batching = rule
            return rule
        return self._batching

    def _takes(self, size: int) -> bool:
        if size not in self._blocks:
            self._blocks[size] = _once(
                f"blocks of {size}", self._forward, lambda forward: _takes_blocks(forward, size)
            )
        return self._blocks[size]


def _once(what: str, forward: Forward, find: Callable[[Forward], T]) -> T:
    """An answer, kept for all modules of one architecture where it depends on nothing else."""
    architecture = _architecture(forward)
    if architecture is None:
        return find(forward)
    key = (what, architecture)
    if key not in _known:
        _known[key] = find(forward)
    answer: T = _known[key]
    return answer


def check_scores(forward: Forward, name: str) -> None:
    """Refuse a model whose output is random, not finite, or (causal) depends on later tokens.

    Raises:
        ModelError: it is one of these, or it cannot be run.
    """
    tokens = max(2, min(TRIAL_TOKENS, forward.longest))
    one, other = forward.ordinary_tokens(tokens), forward.ordinary_tokens(tokens, seed=1)
    half = tokens // 2
    read = [Row(ids, range(half), []) for ids in (one, [*one[:half], *other[half:]])]

    def repeats(forward: Forward) -> bool:
        return near(_alone(forward, read[0]), plain)

    try:
        with forward.inference():
            plain = _alone(forward, read[0])
            same = _once("repeats", forward, repeats)
            changed = _alone(forward, read[1]) if forward.kind == "causal" else plain
    except Exception as error:  # whatever a strange architecture raises
        text = " ".join(str(error).split())[:200]
        raise ModelError(
            f"model '{name}' cannot be run on a row of tokens: {type(error).__name__}: {text}"
        ) from error
    if not bool(torch.isfinite(plain).all()):
        raise ModelError(f"model '{name}' gives logits that are not finite; try dtype float32")
    if not same:
        raise ModelError(f"model '{name}' gives other logits each time that it is run on one text")
    if not near(changed, plain):
        raise ModelError(
            f"model '{name}' sees the tokens behind it, so it is not a causal language model; use "
            "`kind: masked` if it is a masked one"
        )


def _find_batching(forward: Forward) -> Batching:
    """Try rows of several lengths padded together, then rows of one length."""
    longest = min(PADDED_ROW if forward.kind == "causal" else BLOCK_SIZES[0], forward.longest)
    lengths = [longest, longest, max(1, longest - 1), max(1, longest // 2), max(1, longest // 9)]
    rows = [_read_row(forward.ordinary_tokens(length, seed)) for seed, length in enumerate(lengths)]
    with forward.inference():
        alone = [_alone(forward, row) for row in rows]
        for batching, count in (("padded", len(rows)), ("equal", 2)):
            try:
                together = _together(forward, rows[:count])
            except Exception:  # it cannot run rows together: try the next way
                continue
            if all(near(a, b) for a, b in zip(together, alone, strict=False)):
                return "padded" if batching == "padded" else "equal"
    return "single"


def _takes_blocks(forward: Forward, size: int) -> bool:
    """Try a block that is longer than any that is run."""
    try:
        with forward.inference():
            return _same_in_blocks(forward, size)
    except Exception:  # it cannot run blocks
        return False


def _same_in_blocks(forward: Forward, size: int) -> bool:
    longest = min(size, forward.longest)
    rows: list[Row] = []
    start, *tokens = forward.ordinary_tokens(1 + 2 * size + SHORT_ROW)
    # One row as long as any that is run; then, far behind the start token that it shares, a short
    # one. Where the model takes less than a block, more rows are between the two.
    left = size
    while left > 0:
        length = min(longest, left) if not rows else min(longest - 1, left)
        new, tokens = tokens[: length - (not rows)], tokens[length:]
        rows.append(_read_row([start, *new]))
        left -= length
    short = min(SHORT_ROW, longest - 1)
    rows.append(_read_row([start, *tokens[:short]]))
    block = grow(rows, range(len(rows)))
    alone = [_alone(forward, row) for row in rows]
    blocked = _in_block(forward, block, rows)
    if not all(near(a, b) for a, b in zip(blocked, alone, strict=True)):
        return False
    # had the short row seen the one before it, would that have shown?
    room = min(short, forward.longest - short)
    joined = [*rows[0].ids[:room], *rows[-1].ids[1:]]
    leaked = _alone(forward, Row(joined, [len(joined) - 1], []))
    low = leaked.dtype not in NEAR
    visible = NEAR.get(leaked.dtype, NEAR_LOW) * (CLEAR_LOW if low else CLEAR)
    return distance(leaked, alone[-1][-1:]) >= visible


def _read_row(ids: Sequence[int]) -> Row:
    """A row of which some positions are read, the last among them."""
    step = max(1, len(ids) // READ)
    positions = sorted(range(len(ids) - 1, -1, -step))
    return Row(ids, positions, [ids[p] for p in positions])


def _alone(forward: Forward, row: Row) -> torch.Tensor:
    """Logits at the positions read, of a row by itself through the whole model."""
    ids = torch.tensor([list(row.ids)], device=forward.device)
    logits = forward.module(input_ids=ids).logits
    assert isinstance(logits, torch.Tensor)
    return logits[0, list(row.positions)]


def _together(forward: Forward, rows: Sequence[Row]) -> list[torch.Tensor]:
    index = [i for i, row in enumerate(rows) for _ in row.positions]
    return _logits(
        forward,
        # An ordinary token as padding: the padding token's embedding may be zero, and hide a fault.
        Inputs(*pad(rows, forward.ordinary_tokens(1, seed=-1)[0], forward.device)),
        index,
        [p for row in rows for p in row.positions],
        [len(row.positions) for row in rows],
    )


def _in_block(forward: Forward, block: Block, rows: Sequence[Row]) -> list[torch.Tensor]:
    """Logits at the positions read of the rows of a block, in the order in which it holds them."""
    nodes = {(read.row, read.place): read.node for read in block.reads}
    positions = [nodes[i, k] for i, row in enumerate(rows) for k in range(len(row.positions))]
    inputs = forest([block], forward.filler, forward.device)
    counts = [len(row.positions) for row in rows]
    return _logits(forward, inputs, [0] * len(positions), positions, counts)


def _logits(
    forward: Forward,
    inputs: Inputs,
    index: Sequence[int],
    positions: Sequence[int],
    counts: Sequence[int],
) -> list[torch.Tensor]:
    rows, places = (torch.tensor(list(part), device=forward.device) for part in (index, positions))
    logits = torch.cat(list(forward.logits(inputs, rows, places)))
    return list(torch.split(logits, list(counts)))


def _architecture(forward: Forward) -> Hashable | None:
    """What answers depend on besides the weights; None: there may be more to it."""
    module = forward.module
    parts = list(module.modules())
    if any("forward" in p.__dict__ or p._forward_hooks or p._forward_pre_hooks for p in parts):
        return None
    dtype, device = module.dtype, forward.device.type
    config = str(module.config.to_json_string(use_diff=False))
    attention = getattr(module.config, "_attn_implementation", None)
    return (type(module), config, attention, dtype, device, forward.kind, forward.longest)
