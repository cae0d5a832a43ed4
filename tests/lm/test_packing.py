"""Trees: every prefix is run once, every token sees its own prefix, and scores do not move."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.lm.handle import LanguageModel, ModelKind
from harness.lm.scoring import packing
from harness.lm.scoring.batches import Row
from harness.lm.scoring.head import logits_logprobs, streamed_logprobs
from harness.lm.transformers_model import TransformersModel
from harness.testing.tiny_models import build_tiny


def made_rows(seed: int, count: int = 120, longest: int = 40) -> list[Row]:
    """Rows that share prefixes of every length, some of them the whole row."""
    draw = random.Random(seed)
    rows: list[list[int]] = []
    for _ in range(count):
        start = draw.choice(rows)[: draw.randrange(longest)] if rows and draw.random() < 0.7 else []
        rows.append([*start, *(draw.randrange(9) for _ in range(draw.randrange(1, 12)))][:longest])
    return [
        Row(ids[:-1] or ids, list(range(len(ids) - 1)), ids[1:])
        for ids in draw.sample(rows, len(rows))
    ]


@pytest.mark.parametrize("seed", range(5))
def test_blocks_hold_every_row_and_no_prefix_twice(seed: int) -> None:
    rows = made_rows(seed)
    found = packing.blocks(rows, range(len(rows)), length=64)
    read: dict[int, dict[int, tuple[tuple[int, ...], int]]] = {}
    for block in found:
        assert len(block.ids) <= 64
        paths: list[tuple[int, ...]] = []
        for token, parent, depth in zip(block.ids, block.parent, block.depth, strict=True):
            paths.append((*(paths[parent] if parent >= 0 else ()), token))
            assert depth == len(paths[-1]) - 1
        assert len(set(paths)) == len(paths)
        for one in block.reads:
            read.setdefault(one.row, {})[one.place] = (paths[one.node], one.target)
    for number, row in enumerate(rows):
        for place, (position, target) in enumerate(zip(row.positions, row.targets, strict=True)):
            assert read[number][place] == (tuple(row.ids[: position + 1]), target)


def test_little_is_run_twice_and_little_is_padding() -> None:
    rows = made_rows(1, count=600)
    found = packing.blocks(rows, range(len(rows)), length=128)
    distinct = {tuple(row.ids[:k]) for row in rows for k in range(1, len(row.ids) + 1)}
    run = sum(len(block.ids) for block in found)
    assert run <= 1.05 * len(distinct)
    assert len(distinct) < 0.7 * sum(len(row.ids) for row in rows)
    padded = sum(
        len(batch) * max(len(block.ids) for block in batch)
        for batch in packing.block_batches(found, 1024)
    )
    assert padded <= 1.06 * run


def test_a_token_sees_its_prefix_and_nothing_else() -> None:
    rows = made_rows(2, count=30)
    (block,) = packing.blocks(rows, range(len(rows)), length=10_000)
    short = packing.blocks(rows[:1], [0])[0]
    inputs = packing.forest([block, short], filler=0, device=torch.device("cpu"))
    visible = inputs.mask[0, 0]
    for node, parent in enumerate(block.parent):
        seen = {node}
        while parent >= 0:
            seen.add(parent)
            parent = block.parent[parent]
        assert set(visible[node].nonzero()[:, 0].tolist()) == seen
    padding = inputs.mask[1, 0, len(short.ids) :]
    assert int(padding.sum()) == len(padding)  # itself alone, so its softmax is finite


def test_scores_in_trees_are_scores_alone(smollm2: LanguageModel, shared_data: Path) -> None:
    with (shared_data / "crows_pairs/crows_pairs_anonymized.csv").open(newline="") as stream:
        pairs = list(csv.DictReader(stream))[::75]
    texts = [pair[side] for pair in pairs for side in ("sent_more", "sent_less")]
    smollm2.forget_scores()
    before = smollm2.tokens_scored
    packed = smollm2.token_scores(texts)
    run = smollm2.tokens_scored - before
    with smollm2.alone():
        single = smollm2.token_scores(texts)
        run_alone = smollm2.tokens_scored - before - run
    assert run < 0.9 * run_alone
    for one, other in zip(packed, single, strict=True):
        assert abs(np.nanmean(one.logprobs) - np.nanmean(other.logprobs)) < 1e-4
    assert smollm2.token_scores(texts)[0] is packed[0]  # what was scored alone was not kept
    smollm2.forget_scores()


@pytest.mark.parametrize("bias", [False, True])
def test_slices_of_the_vocabulary_add_up_to_the_softmax(
    bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.lm.scoring.head.SLICE", 7)
    monkeypatch.setattr("harness.lm.scoring.head.PLACES", 5)
    draw = torch.Generator().manual_seed(0)
    hidden = 30 * torch.randn(13, 8, generator=draw)  # logits far beyond what exp can hold
    weight = torch.randn(45, 8, generator=draw)
    shift = torch.randn(45, generator=draw) if bias else None
    place = torch.tensor([0, 0, 3, 4, 5, 5, 9, 12])
    targets = torch.tensor([44, 0, 6, 7, 13, 14, 30, 42])
    logits = torch.nn.functional.linear(hidden, weight, shift)
    table = torch.log_softmax(logits.double(), -1)
    expected = table[place, targets]
    found = streamed_logprobs(weight, shift, hidden, place, targets)
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-5)
    parts = logits_logprobs(logits.split([6, 7]), place, targets)
    torch.testing.assert_close(parts.double(), expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_training_in_packed_rows_has_the_gradients_of_rows_alone(kind: ModelKind) -> None:
    module, tokenizer = build_tiny(kind)
    model = TransformersModel(module, tokenizer, kind=kind, name="tiny")
    rows = [[1, 5, 6, 7, 8, 9, 11], [1, 5, 6, 3, 4], [3, 4, 5, 6, 7, 8, 9, 2, 1, 12], [1, 5]]
    index, position = [2, 0, 0, 1, 2], [8, 6, 2, 3, 1]

    def gradients(logits: torch.Tensor) -> list[torch.Tensor]:
        module.zero_grad()
        (torch.log_softmax(logits, dim=-1)[:, 7] * torch.arange(1.0, 6.0)).sum().backward()
        return [p.grad.clone() for p in module.parameters() if p.grad is not None]

    packed = model.training_logits(rows, index, position)
    alone = torch.stack(
        [
            module(input_ids=torch.tensor([rows[i]])).logits[0, p]
            for i, p in zip(index, position, strict=True)
        ]
    )
    torch.testing.assert_close(packed, alone, atol=1e-4, rtol=1e-4)
    for one, other in zip(gradients(packed), gradients(alone), strict=True):
        torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-3)
