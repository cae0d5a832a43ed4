"""Reading text tables strictly: UTF-8, named columns, errors with the file and the line.

Our own reader because a data error needs its line, because texts such as ``NA`` are texts and no
missing values, and because a quoted field may hold a bare carriage return.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import DataError


class Line(NamedTuple):
    """A record of a table, and the line it begins at (from 1)."""

    number: int
    values: dict[str, Any]


def read_utf8(path: Path) -> str:
    """Return a file's text, line ends as they are; a byte-order mark is dropped.

    Raises:
        DataError: it cannot be opened, or is not UTF-8 (says line and byte).
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = error.start + len(content) - len(error.object)  # a dropped mark is not counted
        line = content.count(b"\n", 0, at) + 1
        raise DataError(
            f"{path}: line {line}, byte {at} (0x{content[at]:02x}) is not UTF-8; convert the "
            "file to UTF-8"
        ) from None


def read_csv(path: Path, required: Sequence[str]) -> Iterator[Line]:
    """Yield the records of a CSV file with a header row; every value is a string.

    Raises:
        DataError: not UTF-8, a column is missing (says which there are), a record has too few
            or too many fields, or a quote is never closed.
    """
    # newline="\n": a bare carriage return stays part of its field and begins no line
    reader = csv.reader(io.StringIO(read_utf8(path), newline="\n"), strict=True)
    number = 1
    try:
        header = next(reader, None)
        if header is None:
            raise DataError(f"{path}: the file is empty")
        require_columns(path, header, required)
        while True:
            number = reader.line_num + 1
            fields = next(reader, None)
            if fields is None:
                return
            if not fields:
                continue  # a blank line
            if len(fields) != len(header):
                raise DataError(
                    f"{path}: line {number}: {len(fields)} fields instead of {len(header)}; the "
                    "file is truncated or a text is not quoted"
                )
            yield Line(number, dict(zip(header, fields, strict=True)))
    except csv.Error as error:
        raise DataError(
            f"{path}: line {number}: {error}; the file is truncated or badly quoted"
        ) from None


def read_jsonl(path: Path, required: Sequence[str]) -> Iterator[Line]:
    """Yield the records of a JSON-lines file: an object a line; blank lines are skipped.

    Raises:
        DataError: not UTF-8, a line is no JSON object, or lacks a key.
    """
    for number, text in enumerate(read_utf8(path).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}: line {number}: not JSON ({error.msg}); the file is truncated or damaged"
            ) from None
        if not isinstance(values, dict):
            raise DataError(f"{path}: line {number}: not a JSON object")
        require_columns(f"{path}: line {number}", list(values), required)
        yield Line(number, values)


def require_columns(where: object, header: Sequence[str], required: Sequence[str]) -> None:
    """Check that every required column is there.

    Raises:
        DataError: one is missing; says which there are.
    """
    if missing := [name for name in required if name not in header]:
        raise DataError(
            f"{where}: no column {', '.join(map(repr, missing))}; it has: "
            f"{', '.join(repr(name) for name in header) or 'none'}"
        )


def require_text(path: Path, number: int, text: str) -> str:
    """Return a text that is not blank.

    Raises:
        DataError: it is blank; says the line.
    """
    if not text.strip():
        raise DataError(f"{path}: line {number}: empty text; remove the line or fill it")
    return text
