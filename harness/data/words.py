"""What a word of a text is, and which words some character ranges touch."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

Range = tuple[int, int]
"""A half-open range of characters, ``[start, end)``."""


def _marks() -> str:
    blocks = (range(0x300, 0x3100), range(0xA000, 0xAC00), range(0xFE20, 0xFE30))
    chars = (chr(code) for block in blocks for code in block)
    return "".join(char for char in chars if unicodedata.category(char).startswith("M"))


COMBINING = _marks()
"""Accents and vowel signs, for a regular expression's class: part of the letter before them."""

_LETTER = rf"[^\W_{COMBINING}]"
_CHAR = rf"[{COMBINING}]|[^\W_]"
WORD = re.compile(rf"{_LETTER}(?:{_CHAR})*(?:['’ʼ\-‐‑](?:{_CHAR})+)*")
"""A word: letters and digits of any script, with hyphens and apostrophes inside."""


def word_spans(text: str) -> list[Range]:
    """Return the character ranges of the words of a text, in order."""
    return [hit.span() for hit in WORD.finditer(text)]


def touched(ranges: Sequence[Range], spans: Sequence[Range]) -> list[bool]:
    """Say of each range whether it overlaps one of the spans, in linear time.

    Args:
        ranges: sorted, not overlapping.
        spans: sorted, not overlapping.
    """
    flags: list[bool] = []
    position = 0
    for start, end in ranges:
        while position < len(spans) and spans[position][1] <= start:
            position += 1
        flags.append(position < len(spans) and spans[position][0] < end)
    return flags


def touched_words(text: str, spans: Sequence[Range]) -> tuple[int, tuple[int, ...]]:
    """Return how many words a text has, and the positions of those that overlap a span.

    Args:
        text: whose words are counted, from 0.
        spans: ranges of its characters, sorted, not overlapping.
    """
    flags = touched(word_spans(text), spans)
    return len(flags), tuple(position for position, flag in enumerate(flags) if flag)


def without_overlap(length: int, candidates: Sequence[Range]) -> list[int]:
    """Choose ranges that do not overlap, in the order given, and return their positions.

    Linear in the total length of the candidates.

    Args:
        length: length of the text.
        candidates: the ranges, the preferred ones first.
    """
    covered = bytearray(length)
    chosen = []
    for position, (start, end) in enumerate(candidates):
        if not any(covered[start:end]):
            covered[start:end] = b"\x01" * (end - start)
            chosen.append(position)
    return chosen
