"""Passages paired with their counterfactuals: what methods that learn from minimal pairs share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import Field, JsonValue

from harness.data.places import DataStore
from harness.errors import DebiasError
from harness.lm.handle import LanguageModel
from harness.types import DebiasRequest
from harness_debiasers.counterfactual import Swapper
from harness_debiasers.lm_loss import TextRow, text_rows
from harness_debiasers.training import TrainedDebiaser, TrainingConfig
from harness_debiasers.word_lists import WordListFile, rows_fingerprint, word_rows


class Pair(NamedTuple):
    """A text about its group, and its counterfactual about another group."""

    passage: TextRow
    counterfactual: TextRow


class PairTrainingConfig(TrainingConfig):
    """How weights are moved, and which pairs are made."""

    target_tokens: int = Field(200, ge=1, description="tokens of a text that are used")
    word_lists: WordListFile = None


PairTrainingConfigT = TypeVar("PairTrainingConfigT", bound=PairTrainingConfig)


class PairTrainedDebiaser(TrainedDebiaser[PairTrainingConfigT]):
    """Base of the methods that train on minimal pairs."""

    inputs = frozenset({"passages", "domain"})

    def fingerprint(self, data: DataStore) -> Mapping[str, JsonValue]:
        """Return the version of the built-in word lists, or the words of your file."""
        return rows_fingerprint(self.config.word_lists, data.domains)

    def pairs(self, request: DebiasRequest) -> list[Pair]:
        """Return the pairs of a request; see `minimal_pairs`."""
        return minimal_pairs(request, self.config.word_lists, self.config.target_tokens)


def minimal_pairs(request: DebiasRequest, lists: Path | None, longest: int) -> list[Pair]:
    """Make a pair for each passage with an attribute word and each exchange of the groups.

    A causal model reads every token of both; a masked one the tokens in which they differ, all
    masked at once.

    Args:
        request: model, domain and passages.
        lists: the user's own rows of counterparts.
        longest: tokens of a text that are used.

    Raises:
        DebiasError: no word list for the domain, or no passage holds a word of it.
    """
    swapper = Swapper(word_rows(request.domain, lists, request.data.domains))
    texts = [(p.text, other) for p in request.passages for other in swapper.counterfactuals(p.text)]
    pairs = [pair for one, other in texts if (pair := _pair(request.model, one, other, longest))]
    if not pairs:
        raise DebiasError(
            f"no passage of '{request.domain}' holds an attribute word near its start; choose "
            "another corpus, raise target_tokens or give word_lists"
        )
    return pairs


def _pair(model: LanguageModel, one: str, other: str, longest: int) -> Pair | None:
    if model.kind == "causal":
        rows = text_rows(model, [one, other], longest=longest)
        if len(rows) < 2 or rows[0].targets == rows[1].targets:  # they differ beyond the cut
            return None
        return Pair(*rows)
    most = min(longest, model.max_tokens - 2)
    ids = [model.encode(text)[:most] for text in (one, other)]
    places = differing(*ids)
    if not all(places):
        return None  # beyond the cut, or a word that is only taken away
    return Pair(
        *(_masked_row(model, sequence, at) for sequence, at in zip(ids, places, strict=True))
    )


def differing(one: Sequence[int], other: Sequence[int]) -> tuple[list[int], list[int]]:
    """Find the positions of each sequence that have no equal in the other, in order."""
    positions: tuple[list[int], list[int]] = ([], [])
    matcher = SequenceMatcher(None, list(one), list(other), autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind != "equal":
            positions[0].extend(range(a, b))
            positions[1].extend(range(c, d))
    return positions


def _masked_row(model: LanguageModel, ids: Sequence[int], places: Sequence[int]) -> TextRow:
    run, first = model.masked_input(ids, places)
    return TextRow(tuple(run), tuple(k + first for k in places), tuple(ids[k] for k in places), 0)
