"""A masked passage in pieces, for the console and the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from harness.types import MaskedPassage


class Piece(NamedTuple):
    """A part of a passage on one line.

    Attributes:
        text: the characters, with white space as spaces and without control characters.
        kind: the rule that masks it; None where it is not masked.
    """

    text: str
    kind: str | None


def pieces(answer: MaskedPassage) -> Iterator[Piece]:
    """Yield the parts of a passage in order: what is masked, and what is not."""
    text = answer.passage.text
    end = 0
    for span in answer.spans:
        yield Piece(one_line(text[end : span.start]), None)
        yield Piece(one_line(text[span.start : span.end]), span.kind)
        end = span.end
    yield Piece(one_line(text[end:]), None)


def one_line(text: str) -> str:
    """Return a text with white space as spaces and without control characters."""
    return "".join(
        " " if char.isspace() else char if char.isprintable() else "\ufffd" for char in text
    )
