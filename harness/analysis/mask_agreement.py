"""How far maskers agree on the same passages: Cohen's kappa, span overlap, passages that differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.special import stdtrit

from harness.analysis.interval import Interval
from harness.data.words import Range, touched, touched_words
from harness.errors import DataError
from harness.types import MaskedPassage

LEAST_PASSAGES = 8
"""With fewer passages, no interval is given."""


class MaskAgreement(BaseModel):
    """How two maskers agree on the same passages.

    A word counts as masked if a span touches it. Shares are between 0 and 1, and None where there
    is nothing to share (no passage, no span).
    """

    model_config = ConfigDict(frozen=True)

    first: str
    second: str
    passages: int
    differing: int
    """Passages in which the two mask different words."""
    words: int
    both: int
    """Words that both mask."""
    only_first: int
    only_second: int
    spans: int
    """Spans of both maskers together."""
    meeting: int
    """Spans that overlap a span of the other masker."""
    kappa_interval: Interval | None = None
    """95 % interval of `kappa` by the jackknife over passages; None below 8 passages."""

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa over words: 1 is full agreement, 0 what independent choices give.

        None if it is not defined, because both mask every word or neither masks one.
        """
        return _kappa(self.words, self.both, self.only_first, self.only_second)

    @property
    def span_overlap(self) -> float | None:
        """Share of the spans of either masker that overlap a span of the other."""
        return self.meeting / self.spans if self.spans else None

    @property
    def differing_share(self) -> float | None:
        """Share of passages in which the two mask different words."""
        return self.differing / self.passages if self.passages else None


class MaskedWords(NamedTuple):
    """What a masker masked in a passage: all that the comparison needs of it.

    Attributes:
        words: how many words the passage has.
        masked: positions of the words that a span touches, counted from 0.
        spans: the masked ranges of characters, sorted, not overlapping.
    """

    words: int
    masked: tuple[int, ...]
    spans: tuple[Range, ...]

    @classmethod
    def of(cls, answer: MaskedPassage) -> MaskedWords:
        """Take the words and spans of a masked passage."""
        spans = tuple((span.start, span.end) for span in answer.spans)
        return cls(*touched_words(answer.passage.text, spans), spans)


class _Counts(NamedTuple):
    words: int
    both: int
    only_first: int
    only_second: int
    spans: int
    meeting: int


def agreements(answers: Mapping[str, Sequence[MaskedPassage]]) -> tuple[MaskAgreement, ...]:
    """Compare each pair of maskers, in the order given.

    Args:
        answers: for each masker, by its label, the masked passages: the same ones for all.

    Raises:
        DataError: two maskers have not masked the same passages.
    """
    return tuple(
        agreement(one, answers[one], other, answers[other])
        for one, other in combinations(answers, 2)
    )


def agreement(
    first: str, one: Sequence[MaskedPassage], second: str, other: Sequence[MaskedPassage]
) -> MaskAgreement:
    """Compare two maskers on the same passages.

    Raises:
        DataError: the passages differ.
    """
    if [a.passage.text for a in one] != [b.passage.text for b in other]:
        raise DataError(f"'{first}' and '{second}' did not mask the same passages")
    return agreement_of_words(
        first, list(map(MaskedWords.of, one)), second, list(map(MaskedWords.of, other))
    )


def agreement_of_words(
    first: str, one: Sequence[MaskedWords], second: str, other: Sequence[MaskedWords]
) -> MaskAgreement:
    """Compare two maskers on the same passages, whose texts need not be known.

    Args:
        first: label of a masker.
        one: what it masked in each passage.
        second: label of the other.
        other: what that one masked, in the same order.
    """
    counted = [_count(a, b) for a, b in zip(one, other, strict=True)]
    total = _Counts(*(sum(column) for column in zip(*counted, strict=True))) if counted else None
    words, both, only_first, only_second, spans, meeting = total or _Counts(0, 0, 0, 0, 0, 0)
    return MaskAgreement(
        first=first,
        second=second,
        passages=len(counted),
        differing=sum(c.only_first + c.only_second > 0 for c in counted),
        words=words,
        both=both,
        only_first=only_first,
        only_second=only_second,
        spans=spans,
        meeting=meeting,
        kappa_interval=_kappa_interval(counted),
    )


def differing(
    one: Sequence[MaskedPassage], other: Sequence[MaskedPassage]
) -> list[tuple[MaskedPassage, MaskedPassage]]:
    """Return the answers of two maskers to the passages in which they mask different words."""
    return [
        (a, b)
        for a, b in zip(one, other, strict=True)
        if MaskedWords.of(a).masked != MaskedWords.of(b).masked
    ]


def _count(one: MaskedWords, other: MaskedWords) -> _Counts:
    first, second = set(one.masked), set(other.masked)
    return _Counts(
        words=one.words,
        both=len(first & second),
        only_first=len(first - second),
        only_second=len(second - first),
        spans=len(one.spans) + len(other.spans),
        meeting=sum(touched(one.spans, other.spans)) + sum(touched(other.spans, one.spans)),
    )


def _kappa(words: float, both: float, only_first: float, only_second: float) -> float | None:
    """Cohen's kappa from whole numbers of words, multiplied by their square until the division."""
    first, second, pairs = both + only_first, both + only_second, words**2
    by_chance = first * second + (words - first) * (words - second)
    if by_chance == pairs:
        return None
    agreed = words * (words - only_first - only_second)
    return (agreed - by_chance) / (pairs - by_chance)


def _kappa_interval(counted: Sequence[_Counts]) -> Interval | None:
    """The interval by the delete-one jackknife over passages, with a t quantile.

    The words of a passage are not independent observations; the passages are.
    """
    n = len(counted)
    if n < LEAST_PASSAGES:
        return None
    table = np.array([c[:4] for c in counted], dtype=float)
    total = table.sum(axis=0)
    whole = _kappa(*total)
    left_out = [_kappa(*(total - row)) for row in table]
    values = np.array([value for value in left_out if value is not None])
    if whole is None or len(values) < n:
        return None
    spread = math.sqrt((n - 1) / n * float(((values - values.mean()) ** 2).sum()))
    half = float(stdtrit(n - 1, 0.975)) * spread
    return Interval(max(-1.0, whole - half), min(1.0, whole + half))
