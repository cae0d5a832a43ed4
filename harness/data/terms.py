"""Term lists: reading them from files, and finding their terms in texts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from harness.data.domains import Counterparts
from harness.data.tabular import read_utf8
from harness.errors import DataError


def read_terms(path: Path) -> tuple[str, ...]:
    """Read a list with one term a line; blank lines and lines that start with ``#`` are skipped.

    Raises:
        DataError: the file cannot be read, is not UTF-8, or has no term.
    """
    lines = (line.strip() for line in read_utf8(path).splitlines())
    terms = tuple(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    if not terms:
        raise DataError(f"{path}: the word list has no term; write one on each line")
    return terms


def read_counterparts(path: Path) -> Counterparts:
    """Read rows of counterparts from a CSV file: the roles first, then one row a meaning.

    Blank lines and lines that start with ``#`` are skipped.

    Raises:
        DataError: the file cannot be read, or a row is incomplete (says the line).
    """
    rows: list[tuple[str, ...]] = []
    for number, line in enumerate(read_utf8(path).splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        row = tuple(word.strip() for word in line.split(","))
        if len(row) < 2 or not all(row) or (rows and len(row) != len(rows[0])):
            wanted = len(rows[0]) if rows else "two or more"
            raise DataError(f"{path}: line {number}: give {wanted} words between commas")
        rows.append(row)
    if len(rows) < 2:
        raise DataError(f"{path}: give a line that names the roles and at least one row of words")
    return Counterparts(roles=rows[0], rows=tuple(rows[1:]))


def term_pattern(terms: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern that matches any of the terms as whole words, in any letter case.

    Longer terms are tried first, and any white space between the words of a term matches. Without
    a term the pattern matches nothing.
    """
    ordered = sorted(set(terms), key=lambda term: (-len(term), term))
    words = "|".join(re.escape(term).replace(r"\ ", r"\s+") for term in ordered)
    return re.compile(rf"(?<!\w)(?:{words})(?!\w)" if ordered else r"(?!)", re.IGNORECASE)
