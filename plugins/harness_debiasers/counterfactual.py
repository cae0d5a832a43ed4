"""Texts with the words of one group put in the place of another's."""

from __future__ import annotations

import random
import re
from typing import Literal

from harness.data.words import COMBINING
from harness_debiasers.word_lists import WordRows

Variant = Literal["clean", "bias-bench"]

TRAILING = ".,?!;:"
_FUNCTION_WORDS = (
    "a about after again all an and are as at away back because before being both but by down "
    "for from had has her him his if in into is it its just more most my not now of off on once "
    "only or our out over since so than that the their then there this through to today too "
    "under until up very was were what when where which while who why will with would yesterday "
    "you your "
)
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
"""What can follow ``her`` as an object or ``his`` as a pronoun; other words are taken for nouns
or their adjectives, which make both possessive."""


class Swapper:
    """Makes counterfactuals from rows of counterparts.

    ``clean``: whole words in any case, the case kept, the longest match first, the words between
    untouched; ``her``, ``his`` and ``him`` by what follows. ``bias-bench``: what the code
    of Meade et al. 2022 does: lower-case tokens between spaces, at most one mark after them, the
    last row wins, white space made single, and for three roles a target drawn once a text and
    role.
    """

    def __init__(self, rows: WordRows, variant: Variant = "clean") -> None:
        self.roles = rows.roles
        self.variant = variant
        self._place: dict[str, tuple[int, int]] = {}
        for number, row in enumerate(rows.rows):
            for role, word in enumerate(row):
                if variant == "bias-bench" or word not in self._place:
                    self._place[word] = (number, role)
        self._rows = rows.rows
        ordered = sorted(self._place, key=lambda word: (-len(word), word))
        words = "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in ordered)
        letter = rf"[\w{COMBINING}-]"
        self._pattern = re.compile(rf"(?<!{letter})(?:{words})(?!{letter})", re.IGNORECASE)

    def mentions(self, text: str) -> set[str]:
        """Return the roles whose words occur in a text."""
        if self.variant == "bias-bench":
            places = [self._place.get(_bare(token)[0]) for token in text.split()]
        else:
            places = [self._place[_plain(m[0])] for m in self._pattern.finditer(text)]
        return {self.roles[place[1]] for place in places if place is not None}

    def counterfactuals(self, text: str, seed: int = 0) -> list[str]:
        """Return the text with every role exchanged: one for two roles, two for three (one in the
        published variant, drawn by the seed); none if no word of a list occurs."""
        if not self.mentions(text):
            return []
        count = len(self.roles)
        if self.variant == "bias-bench":
            draw = random.Random(f"{seed}:{text}")
            target = [draw.choice([r for r in range(count) if r != role]) for role in range(count)]
            return [" ".join(self._published(token, target) for token in text.split())]
        return [self.swap(text, shift) for shift in range(1, count)]

    def swap(self, text: str, shift: int = 1) -> str:
        """Return the text with each role replaced by the one ``shift`` further, in a circle."""

        def replaced(match: re.Match[str]) -> str:
            word = _plain(match[0])
            row, role = self._place[word]
            target = (role + shift) % len(self.roles)
            other_word = self._pronoun(word, text[match.end() :]) or self._rows[row][target]
            return _cased(other_word, match[0])

        return self._pattern.sub(replaced, text)

    def _pronoun(self, word: str, rest: str) -> str | None:
        """Choose his or him for ``her``, her or hers for ``his``, by the word that follows."""
        if word not in ("her", "his") or "her" not in self._place or "his" not in self._place:
            return None
        follows = re.match(r"\s+([\w'-]+)", rest)
        possessive = follows is not None and follows[1].lower() not in FUNCTION_WORDS
        if word == "her":
            return "his" if possessive else "him"
        return "her" if possessive else "hers"

    def _published(self, token: str, target: list[int]) -> str:
        word, mark = _bare(token)
        if token in self._place:  # mr. is in the list with its mark
            word, mark = token, ""
        if word not in self._place:
            return token
        row, role = self._place[word]
        return self._rows[row][target[role]] + mark


def _bare(token: str) -> tuple[str, str]:
    return (token[:-1], token[-1]) if token[-1] in TRAILING else (token, "")


def _plain(matched: str) -> str:
    return " ".join(matched.lower().split())


def _cased(word: str, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if like[:1].isupper() else word
