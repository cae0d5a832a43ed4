"""Term lists: reading them from files, and finding their terms in texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.data.domains import Counterparts
from harness.data.tabular import read_utf8
from harness.data.words import COMBINING
from harness.errors import DataError

LONGEST_TERM = 200
"""Characters of a term. A longer one is a line of some other file."""

_QUOTES = "\"'\u201c\u201d\u2018\u201e\u00ab\u00bb`"
_BULLETS = ("- ", "* ", "\u2022", "\u2013 ")


def no_term(word: str) -> str | None:
    """Say why a text is no term: it would be found in no passage, and nothing would tell."""
    if len(word) > LONGEST_TERM:
        return (
            f"a term of {len(word):,} characters ({word[:40]!r}…); write one word or phrase a line"
        )
    if any(mark in word for mark in ",;\t"):
        return f"{word!r} has several words between marks; write one term on each line"
    if word.strip().startswith(_BULLETS):
        return f"{word!r} begins with a bullet, which is in no text; leave it out"
    if word.strip(_QUOTES) != word and word.strip()[:1] in _QUOTES:
        return f"{word!r} is in quotation marks, which would have to be in the text; leave them out"
    return None


def read_terms(path: Path) -> tuple[str, ...]:
    """Read a list with one term a line; blank lines and lines that start with ``#`` are skipped.

    Raises:
        DataError: the file cannot be read, is not UTF-8, has no term, or has a line that is none
            (says the line).
    """
    terms: dict[str, None] = {}
    for number, line in _content_lines(read_utf8(path)):
        if (reason := no_term(line)) is not None:
            raise DataError(f"{path}: line {number}: {reason}")
        terms[line] = None
    if not terms:
        raise DataError(f"{path}: the word list has no term; write one on each line")
    return tuple(terms)


def read_counterparts(path: Path, most: int | None = None) -> Counterparts:
    """Read rows of counterparts from a CSV file: the roles first, then one row a meaning.

    Blank lines and lines that start with ``#`` are skipped.

    Args:
        path: the file.
        most: refuse a larger file, in bytes.

    Raises:
        DataError: the file cannot be read, a row is incomplete, or a word is none (says the line).
    """
    rows: list[tuple[str, ...]] = []
    for number, line in _content_lines(read_utf8(path, most)):
        row = tuple(word.strip() for word in line.split(","))
        if len(row) < 2 or not all(row) or (rows and len(row) != len(rows[0])):
            wanted = len(rows[0]) if rows else "two or more"
            raise DataError(f"{path}: line {number}: give {wanted} words between commas")
        if (reason := next(filter(None, map(no_term, row)), None)) is not None:
            raise DataError(f"{path}: line {number}: {reason}")
        rows.append(row)
    if len(rows) < 2:
        raise DataError(f"{path}: give a line that names the roles and at least one row of words")
    return Counterparts(roles=rows[0], rows=tuple(rows[1:]))


def _content_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines that are neither blank nor a comment, without white space around, by number."""
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield number, stripped


def term_pattern(terms: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern that matches any of the terms as whole words, in any letter case.

    Longer terms are tried first, and any white space between the words of a term matches. Without
    a term the pattern matches nothing.
    """
    ordered = sorted(set(terms), key=lambda term: (-len(term), term))
    words = "|".join(re.escape(term).replace(r"\ ", r"\s+") for term in ordered)
    letter = rf"[\w{COMBINING}]"
    whole = rf"(?<!{letter})(?:{words})(?!{letter})"
    return re.compile(whole if ordered else r"(?!)", re.IGNORECASE)
