"""Counterfactual data augmentation (Zmigrod et al. 2019), as in Meade et al. 2022."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field, JsonValue

from harness.data.places import DataStore
from harness.errors import DebiasError
from harness.lm.handle import LanguageModel
from harness.types import Checkpoint, DebiasRequest
from harness_debiasers.counterfactual import Swapper
from harness_debiasers.lm_loss import TextRow, mean_logprob, text_rows
from harness_debiasers.training import TrainedDebiaser, TrainingConfig, train
from harness_debiasers.word_lists import WordListFile, WordRows, rows_fingerprint, word_rows

if TYPE_CHECKING:
    import torch

PADDED_TOGETHER = 1000
"""Lines that the published code tokenises, and so pads, at a time."""


class CdaConfig(TrainingConfig):
    """How text is augmented. The published run takes 2,000 steps of 256 blocks of 1,024 tokens."""

    learning_rate: float = Field(5e-5, gt=0, description="step size (as published)")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "linear", description="learning rate over the steps, after the warm-up"
    )
    variant: Literal["clean", "bias-bench"] = Field(
        "clean",
        description="clean: case kept, pronouns by context, no loss on padding; bias-bench: the "
        "published behaviour, quirks and all",
    )
    sides: Literal["two", "one"] = Field(
        "two", description="two: train on the swapped text and on its original; one: swapped alone"
    )
    line_tokens: int = Field(200, ge=2, description="a line is cut after so many (clean)")
    block_tokens: int = Field(
        1024, ge=2, description="tokens of a block, at most the context (bias-bench, causal)"
    )
    word_lists: WordListFile = None


class Cda(TrainedDebiaser[CdaConfig]):
    """Goes on training on neutral text in which the groups of a domain are exchanged."""

    name = "cda"
    summary = "Further training on text with the domain's groups exchanged."
    reference = "Zmigrod et al. 2019; Meade et al. 2022, https://aclanthology.org/2022.acl-long.132"
    inputs = frozenset({"neutral", "domain"})

    def fingerprint(self, data: DataStore) -> Mapping[str, JsonValue]:
        """Return the version of the built-in word lists, or the words of your file."""
        return rows_fingerprint(self.config.word_lists, data.domains)

    def debias(self, request: DebiasRequest) -> Iterator[Checkpoint]:
        """See `Debiaser.debias`."""
        config = self.config
        lines = [p.text for p in request.neutral]
        pairs_of_words = word_rows(request.domain, config.word_lists, request.data.domains)
        augmented, changed = augment(lines, pairs_of_words, config, request.seed)
        if not augmented:
            raise DebiasError(
                f"no text of the neutral corpus holds an attribute word of '{request.domain}'; "
                "choose another corpus, raise limits.neutral or give word_lists"
            )
        rows = self._training_rows(request, augmented)
        facts: dict[str, JsonValue] = {
            "lines": len(lines),
            "lines_with_an_attribute_word": changed,
            "training_texts": len(augmented),
        }

        def objective(
            model: LanguageModel, batch: Sequence[TextRow]
        ) -> tuple[torch.Tensor, Mapping[str, float]]:
            loss = -mean_logprob(model, batch)
            return loss, {"token_nll": float(loss.detach())}

        yield from train(request, config, rows, objective, facts)

    def _training_rows(self, request: DebiasRequest, texts: Sequence[str]) -> list[TextRow]:
        model, config = request.model, self.config
        if config.variant == "clean" or model.kind == "masked":
            return text_rows(model, texts, seed=request.seed, longest=config.line_tokens)
        size = min(config.block_tokens, model.max_tokens)
        return padded_blocks([model.encode(text) for text in texts], size, model.start_id)


def augment(
    lines: Sequence[str], word_lists: WordRows, config: CdaConfig, seed: int
) -> tuple[list[str], int]:
    """Return counterfactuals of the lines with an attribute word, with originals if asked.

    Returns:
        The texts, and the number of lines that hold an attribute word; other lines are dropped.
    """
    swapper = Swapper(word_lists, config.variant)
    texts, changed = [], 0
    for line in lines:
        swapped = swapper.counterfactuals(line, seed)
        if not swapped:
            continue
        changed += 1
        texts += swapped
        if config.sides == "two":
            texts.append(" ".join(line.split()) if config.variant == "bias-bench" else line)
    return texts, changed


def padded_blocks(encoded: Sequence[Sequence[int]], size: int, filler: int) -> list[TextRow]:
    """Pad lines to the longest of their group, join them, and cut blocks of ``size`` tokens.

    The padding is trained on, as published. A last block that is not full is dropped, unless it
    is the only one.
    """
    joined: list[int] = []
    for at in range(0, len(encoded), PADDED_TOGETHER):
        group = encoded[at : at + PADDED_TOGETHER]
        longest = max(map(len, group))
        for ids in group:
            joined += [*ids, *[filler] * (longest - len(ids))]
    blocks = [joined[at : at + size] for at in range(0, len(joined), size)]
    if len(blocks) > 1 and len(blocks[-1]) < size:
        blocks.pop()
    return [
        TextRow(tuple(ids[:-1]), tuple(range(len(ids) - 1)), tuple(ids[1:]), number)
        for number, ids in enumerate(blocks)
        if len(ids) > 1
    ]
