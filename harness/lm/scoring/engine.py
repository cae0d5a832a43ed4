"""Rows of tokens through a model: in trees, in padded rows, or one at a time; for scores and
for training.

The engine knows tokens and positions. What a text, its special tokens or a protocol is, is the
handle's business (`harness.lm.transformers_model`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from harness.lm.prompt_contrast import PromptContrast
from harness.lm.scoring.abilities import BLOCK_SIZES, Abilities
from harness.lm.scoring.batches import (
    TOKENS_A_BATCH,
    TOKENS_A_BATCH_GPU,
    TOKENS_A_BATCH_LONG,
    Row,
    batches,
    halving,
    pad,
    score_rows,
)
from harness.lm.scoring.forward import Forward, Inputs
from harness.lm.scoring.head import logits_logprobs
from harness.lm.scoring.packing import (
    BLOCK_TOKENS,
    Block,
    block_batches,
    blocks,
    families,
    forest,
    wanted,
)
from harness.lm.scoring.prompted_rows import behind

TRAINING_TOKENS = 512
"""Padded tokens that go forward at once while training."""


class Correction(NamedTuple):
    """A contrast with prompts, in tokens.

    Attributes:
        contrast: how distributions are corrected.
        prompts: tokens of each prompt.
        fronts: special tokens that a row may start with, and that a prompt then follows.
        most: longest row that the model takes.
    """

    contrast: PromptContrast
    prompts: tuple[tuple[int, ...], ...]
    fronts: tuple[tuple[int, ...], ...]
    most: int


class Engine:
    """Runs rows through a module.

    Attributes:
        forward: the one way through the module.
        abilities: what the module can do.
        alone: one row at a time, through the whole model and a plain softmax.
        correction: of every next-token distribution, if any.
        tokens_run: tokens that went through the model for scores so far.
    """

    def __init__(self, forward: Forward) -> None:
        self.forward = forward
        self.abilities = Abilities(forward)
        self.alone = False
        self.correction: Correction | None = None
        self.tokens_run = 0

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        return self.forward.device

    @property
    def budget(self) -> int:
        """Padded tokens in a batch."""
        return TOKENS_A_BATCH if self.device.type == "cpu" else TOKENS_A_BATCH_GPU

    @property
    def _long_budget(self) -> int:
        """Padded tokens in a batch of rows that are longer than a block."""
        on_cpu = self.device.type == "cpu"
        return min(self.budget, TOKENS_A_BATCH_LONG) if on_cpu else self.budget

    def score(self, rows: Sequence[Row]) -> list[np.ndarray]:
        """Log-probability of each row's targets, row by row, each ``(targets,)`` in float64."""
        if self.alone:
            return [self._score_alone(row) for row in rows]
        longest = 0 if self.correction is not None else self._block_tokens(rows, BLOCK_TOKENS)
        short = [i for i, row in enumerate(rows) if len(row.ids) <= longest]
        if len(short) < 2:
            short = []
        in_trees = set(short)
        others = [i for i in range(len(rows)) if i not in in_trees]
        related, single = self._related(rows, others)
        logprobs: list[np.ndarray] = [np.empty(len(row.positions)) for row in rows]
        for i, scores in zip(single, self._score_rows([rows[i] for i in single]), strict=True):
            logprobs[i] = scores
        work = [
            *block_batches(related, self._long_budget),
            *block_batches(blocks(rows, short), self.budget),
        ]
        for batch, flat in halving(work, self._score_blocks, lambda block: len(block.ids)):
            reads = (read for block in batch for read in block.reads)
            for read, score in zip(reads, flat.tolist(), strict=True):
                logprobs[read.row][read.place] = score
        return logprobs

    def _block_tokens(self, rows: Sequence[Row], most: int) -> int:
        """Longest block that the model takes; 0 where no two rows could share one."""
        fitting = sum(len(row.ids) <= most for row in rows)
        return self.abilities.block_tokens(most) if fitting > 1 else 0

    def _related(
        self, rows: Sequence[Row], numbers: Sequence[int]
    ) -> tuple[list[Block], list[int]]:
        """Blocks of rows that are too long for a common one, and the numbers of all others."""
        if self.correction is not None or len(numbers) < 2:
            return [], list(numbers)
        packed, _ = families(rows, numbers, BLOCK_SIZES[0])
        most = max((len(block.ids) for block in packed), default=0)
        sizes = [size for size in BLOCK_SIZES if size >= most]
        if not most or self.abilities.block_tokens(min(sizes)) < most:
            return [], list(numbers)
        return families(rows, numbers, BLOCK_SIZES[0])

    def _score_rows(self, rows: Sequence[Row]) -> list[np.ndarray]:
        """Scores of rows that share no prefix; long ones have batches of their own."""
        logprobs: list[np.ndarray] = [np.empty(0)] * len(rows)
        for is_long in (True, False):
            chosen = [i for i, row in enumerate(rows) if (len(row.ids) > BLOCK_TOKENS) is is_long]
            budget = self._long_budget if is_long else self.budget
            work = self._batches([rows[i] for i in chosen], budget)
            scored = score_rows([rows[i] for i in chosen], self._score_batch, work)
            for i, scores in zip(chosen, scored, strict=True):
                logprobs[i] = scores
        return logprobs

    def _batches(self, rows: Sequence[Row], budget: int) -> list[list[int]]:
        """Indices of rows that are run together, longest first."""
        return batches(rows, budget, self.abilities.batching() if len(rows) > 1 else "padded")

    def batches(self, rows: Sequence[Row]) -> list[list[int]]:
        """Indices of rows that may be run together, at most `budget` padded tokens a batch."""
        return self._batches(rows, self.budget)

    def _score_blocks(self, batch: Sequence[Block]) -> np.ndarray:
        """Scores of the reads of a batch of trees, flat, block by block."""
        with self.forward.inference():
            inputs = forest(batch, self.forward.filler, self.device)
            logprobs = self.forward.logprobs(inputs, *wanted(batch, self.device)).cpu().numpy()
        self.tokens_run += sum(len(block.ids) for block in batch)
        return logprobs

    def _score_batch(self, rows: Sequence[Row]) -> np.ndarray:
        """Scores of a batch of rows, flat, row by row."""
        read = [p for row in rows for p in row.positions]
        targets = torch.tensor([t for row in rows for t in row.targets], device=self.device)
        index = torch.tensor(
            [i for i, row in enumerate(rows) for _ in row.positions], device=self.device
        )
        place = torch.arange(len(read), device=self.device)
        with self.forward.inference():
            if not read:
                logprobs = targets.float()
            elif self.correction is not None:
                logprobs = logits_logprobs(self.logits(rows), place, targets)
            else:
                positions = torch.tensor(read, device=self.device)
                inputs = self.padded(rows)
                logprobs = self.forward.logprobs(inputs, index, positions, place, targets)
        self.tokens_run += sum(len(row.ids) for row in rows)
        return logprobs.cpu().numpy()

    def _score_alone(self, row: Row) -> np.ndarray:
        """Scores of one row by itself, through the whole model and a plain softmax."""
        self.tokens_run += len(row.ids)
        if not row.positions:
            return np.empty(0)
        with self.forward.inference():
            if self.correction is not None:
                logits = torch.cat(list(self.logits([row])))
            else:
                ids = torch.tensor([list(row.ids)], device=self.device)
                logits = self.forward.module(input_ids=ids).logits[0, list(row.positions)]
            table = torch.log_softmax(logits.float(), dim=-1)
            targets = torch.tensor(list(row.targets), device=table.device)
            return table.gather(-1, targets.unsqueeze(-1))[:, 0].double().cpu().numpy()

    def logits(self, rows: Sequence[Row]) -> Iterator[torch.Tensor]:
        """Logits at every position read, row by row, some at a time: ``(n, vocabulary)``."""
        correction, read = self.correction, [p for row in rows for p in row.positions]
        if not read:
            return
        index = [i for i, row in enumerate(rows) for _ in row.positions]
        streams = [self._run(rows, index, read)]
        if correction is not None:
            for prompt in correction.prompts:
                streams.append(self._run(*behind(rows, prompt, correction.fronts, correction.most)))
        for plain, *prompted in zip(*streams, strict=True):
            yield plain if correction is None else correction.contrast.apply(plain, prompted)

    def _run(
        self, rows: Sequence[Row], index: Sequence[int], positions: Sequence[int]
    ) -> Iterator[torch.Tensor]:
        owners = torch.tensor(index, device=self.device)
        where = torch.tensor(positions, device=self.device)
        return self.forward.logits(self.padded(rows), owners, where)

    def padded(self, rows: Sequence[Row]) -> Inputs:
        """Rows as a model takes them, padded on the right."""
        return Inputs(*pad(rows, self.forward.filler, self.device))

    def training_logits(
        self, rows: Sequence[Sequence[int]], index: Sequence[int], position: Sequence[int]
    ) -> torch.Tensor:
        """Logits with a graph at the places asked for; see `LanguageModel.training_logits`.

        Nothing is run behind the last position that is read of a row; rows are packed like those
        that are scored, or padded in groups of similar length where the model takes no trees.
        """
        asked: list[list[int]] = [[] for _ in rows]
        for k, row in enumerate(index):
            asked[row].append(k)
        read = [
            Row(
                list(row[: max(position[k] for k in of_row) + 1]),
                [position[k] for k in of_row],
                of_row,
            )
            if of_row and self.forward.kind == "causal"
            else Row(row, [position[k] for k in of_row], of_row)
            for row, of_row in zip(rows, asked, strict=True)
        ]
        numbers = [i for i, row in enumerate(read) if row.targets]
        longest = self.abilities.block_tokens(TRAINING_TOKENS) if len(numbers) > 1 else 0
        short = [i for i in numbers if len(read[i].ids) <= longest]
        chosen = set(short)
        parts: list[torch.Tensor] = []
        order: list[int] = []
        for group in block_batches(blocks(read, short, longest), TRAINING_TOKENS):
            reads = wanted(group, self.device)
            inputs = forest(group, self.forward.filler, self.device)
            logits = self.forward.logits(
                inputs, reads.block, reads.positions, chunk=len(reads.block)
            )
            parts.append(torch.cat(list(logits))[reads.place])
            order += reads.targets.tolist()  # here they number the questions, and are no tokens
        padded = [read[i] for i in numbers if i not in chosen]
        for batch in self._batches(padded, TRAINING_TOKENS):
            group_rows = [padded[i] for i in batch]
            owners = [i for i, r in enumerate(group_rows) for _ in r.targets]
            parts += self.forward.logits(
                self.padded(group_rows),
                torch.tensor(owners, device=self.device),
                torch.tensor([p for r in group_rows for p in r.positions], device=self.device),
                chunk=len(owners),
            )
            order += [k for r in group_rows for k in r.targets]
        back = torch.argsort(torch.tensor(order, device=self.device))
        return torch.cat(parts)[back]
