"""Controls for mask rules: as many words as a rule masks, but others; and the whole text."""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Literal

from pydantic import Field, JsonValue

from harness.data.places import DataStore
from harness.data.words import Range, touched, word_spans
from harness.families import Masker, PluginConfig
from harness.types import MaskedPassage, MaskRequest, Passage, Span
from harness_maskers.wordlist import Wordlist, WordlistConfig

CHOICE_VERSION = "2"
"""Version of the choice, part of the content key: raise it when words are chosen differently."""


class RandomConfig(PluginConfig):
    """The rule that is imitated, and in what respect."""

    like: WordlistConfig = Field(
        WordlistConfig(), description="config of the wordlist masker that is imitated"
    )
    match: Literal["count", "frequency"] = Field(
        "count",
        description="count: any other words of the passage; frequency: words about as frequent in "
        "the passages as those that the rule masks",
    )


class RandomWords(Masker[RandomConfig]):
    """Masks as many units as `wordlist` does, chosen at random among the other words.

    A unit is what the rule masks as one span. It is answered by one span of as many adjacent
    words, so that a two-word term counts alike in both. Where a passage has no such run of other
    words left, a shorter one is masked; where it has no other word left, fewer units are.

    With ``match: frequency``, a unit is answered by words of the same frequency class: the
    classes are powers of two of the number of passages (of those to be masked) that hold the word.
    Where a passage has no other word of that class, the nearest class is taken.
    """

    name = "random"
    summary = "Control: as many units as wordlist masks, chosen at random among the other words."
    reference = "this project"
    control = "masks"

    def fingerprint(self, data: DataStore) -> Mapping[str, JsonValue]:
        """Return the fingerprint of the imitated rule, and the version of the choice."""
        return {**Wordlist(self.config.like).fingerprint(data), "choice": CHOICE_VERSION}

    def mask(self, request: MaskRequest) -> Sequence[MaskedPassage]:
        """Choose at random, seeded by the request's seed and the passage's id.

        With ``match: count``, the choice does not depend on the other passages of the request.
        """
        grade = _grades(request.passages) if self.config.match == "frequency" else None
        answers = []
        for answer in Wordlist(self.config.like).mask(request):
            name = f"{request.seed}:{answer.passage.id}".encode()
            rng = random.Random(hashlib.sha256(name).digest())
            spans = tuple(
                Span(start=start, end=end, kind="random", reason=f"random, seed {request.seed}")
                for start, end in _choose(answer, rng, grade)
            )
            answers.append(MaskedPassage(passage=answer.passage, spans=spans))
        return answers


Grade = Callable[[str], int]
"""Frequency class of a word."""


def _grades(passages: Sequence[Passage]) -> Grade:
    """Estimate the frequency classes of words on some passages."""
    counts: Counter[str] = Counter()
    for passage in passages:
        text = passage.text
        counts.update({text[start:end].casefold() for start, end in word_spans(text)})
    return lambda word: math.floor(math.log2(max(1, counts[word.casefold()])))


def _choose(answer: MaskedPassage, rng: random.Random, grade: Grade | None) -> list[Range]:
    """Choose for each unit of the rule a run of other words, and return the runs in order."""
    text = answer.passage.text
    words = word_spans(text)
    masked = touched(words, [(span.start, span.end) for span in answer.spans])
    grades = [grade(text[start:end]) if grade else 0 for start, end in words]
    runs = _Runs(text, words, [not flag for flag in masked], grades, rng)
    chosen = []
    for size, wanted in sorted(_units(answer, words, grades), reverse=True):
        run = runs.take(size, wanted)
        if run is None:
            break
        chosen.append((words[run.start][0], words[run.stop - 1][1]))
    return sorted(chosen)


def _units(
    answer: MaskedPassage, words: Sequence[Range], grades: Sequence[int]
) -> list[tuple[int, int]]:
    """For each span of the rule, how many words it touches, and the class of the rarest."""
    units = []
    position = 0
    for span in answer.spans:
        while position < len(words) and words[position][1] <= span.start:
            position += 1
        last = position
        while last < len(words) and words[last][0] < span.end:
            last += 1
        if last > position:
            units.append((last - position, min(grades[position:last])))
    return units


class _Runs:
    """The runs of words of a passage that are still free, drawn at random.

    A run has nothing but white space or hyphens between its words. Each length is listed once, in
    random order by frequency class, so that all draws together take time linear in the passage.
    """

    def __init__(
        self,
        text: str,
        words: Sequence[Range],
        free: list[bool],
        grades: Sequence[int],
        rng: random.Random,
    ) -> None:
        self._free = free
        self._grades = grades
        self._rng = rng
        self._joined = [
            not text[left[1] : right[0]].strip(" \t\r\n-") for left, right in pairwise(words)
        ]
        self._listed: dict[int, dict[int, list[int]]] = {}

    def take(self, size: int, wanted: int) -> range | None:
        """Draw a run of words and use it up; a shorter one if there is none of the size.

        Of the runs of one length, those are drawn from whose rarest word is nearest to the class
        wanted. None: no word is free.
        """
        for length in range(size, 0, -1):
            by_grade = self._of_length(length)
            for grade in sorted(by_grade, key=lambda g: (abs(g - wanted), g)):
                starts = by_grade[grade]
                while starts:
                    first = starts.pop()
                    if all(self._free[first : first + length]):
                        self._free[first : first + length] = [False] * length
                        return range(first, first + length)
        return None

    def _of_length(self, length: int) -> dict[int, list[int]]:
        """First words of the runs of a length, shuffled, by the class of their rarest word."""
        if length not in self._listed:
            by_grade: dict[int, list[int]] = {}
            for first in range(len(self._free) - length + 1):
                last = first + length - 1
                if all(self._free[first : last + 1]) and all(self._joined[first:last]):
                    grade = min(self._grades[first : last + 1])
                    by_grade.setdefault(grade, []).append(first)
            for starts in by_grade.values():
                self._rng.shuffle(starts)
            self._listed[length] = by_grade
        return self._listed[length]


class AllWords(Masker[PluginConfig]):
    """Masks every word, so that the method becomes gradient ascent on the whole text."""

    name = "all"
    summary = "Control: every word, which makes the method sequence-level gradient ascent."
    reference = "Jang et al. 2023, https://aclanthology.org/2023.acl-long.805"

    def mask(self, request: MaskRequest) -> Sequence[MaskedPassage]:
        """Mask from the first to the last character that is not white space."""
        answers = []
        for passage in request.passages:
            start = len(passage.text) - len(passage.text.lstrip())
            end = len(passage.text.rstrip())
            span = Span(start=start, end=end, kind="all", reason="the whole text")
            answers.append(MaskedPassage(passage=passage, spans=(span,)))
        return answers
