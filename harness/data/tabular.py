"""Reading tables strictly: CSV, JSON lines and Parquet; errors name the file and the line.

CSV and JSON lines have our own readers because an error needs its line, because texts such as
``NA`` are texts and not missing values, and because a quoted field may hold a bare carriage
return. Parquet is read by pyarrow.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from harness.data.files import MAX_BYTES, opened, read_bytes
from harness.errors import DataError

_BOMS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


class Line(NamedTuple):
    """A record of a table, and the line it begins at (from 1)."""

    number: int
    values: dict[str, Any]


class Record(NamedTuple):
    """The values of the columns asked for, in that order, and the line or row (from 1)."""

    number: int
    values: tuple[Any, ...]


def read_utf8(path: Path, most: int | None = None) -> str:
    """Return a file's text, line ends as they are; a byte-order mark is dropped.

    Args:
        path: the file.
        most: refuse a larger file, in bytes.

    Raises:
        DataError: it is not a file that can be read, is not UTF-8 (says line and byte), or holds
            a NUL character.
    """
    content = read_bytes(path, most)
    for mark, name in _BOMS.items():
        if content.startswith(mark):
            raise DataError(f"{path}: the file is {name}; convert it to UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = error.start + len(content) - len(error.object)  # a dropped mark is not counted
        line = content.count(b"\n", 0, at) + 1
        raise DataError(
            f"{path}: line {line}, byte {at} (0x{content[at]:02x}) is not UTF-8{_guess(content)}; "
            "convert the file to UTF-8"
        ) from None
    if (at := text.find("\0")) >= 0:
        line = text.count("\n", 0, at) + 1
        raise DataError(f"{path}: line {line}: a NUL character; the file is damaged or not a text")
    return text


def _guess(content: bytes) -> str:
    """Say that a file may be Windows-1252, the usual encoding of files that are not UTF-8."""
    try:
        content.decode("cp1252")
    except UnicodeDecodeError:
        return ""
    return " (it may be Windows-1252)" if b"\0" not in content else ""


# -- CSV -------------------------------------------------------------------------------------


def read_csv(path: Path, required: Sequence[str]) -> Iterator[Line]:
    """Yield the records of a CSV file with a header row; every value is a string.

    Raises:
        DataError: not UTF-8, a column is missing (says which there are) or given twice, a record
            has too few or too many fields, or a quote is never closed.
    """
    header: list[str] = []
    for number, fields in _csv_rows(path, required, header):
        yield Line(number, dict(zip(header, fields, strict=True)))


def csv_records(path: Path, columns: Sequence[str]) -> Iterator[Record]:
    """Yield the values of some columns of a CSV file; faster than `read_csv` on a large one.

    Raises:
        DataError: see `read_csv`.
    """
    header: list[str] = []
    rows = _csv_rows(path, columns, header)
    first = next(rows, None)
    if first is None:
        return
    pick = _picker([header.index(name) for name in columns])
    yield Record(first[0], pick(first[1]))
    for number, fields in rows:
        yield Record(number, pick(fields))


def _csv_rows(
    path: Path, required: Sequence[str], header: list[str]
) -> Iterator[tuple[int, list[str]]]:
    """Lines and fields of the records; the header's names are put into ``header`` first."""
    csv.field_size_limit(sys.maxsize)  # pandas writes longer fields than the default of 131,072
    # newline="\n": a bare carriage return stays part of its field and begins no line
    reader = csv.reader(io.StringIO(read_utf8(path), newline="\n"), strict=True)
    number = 1
    try:
        first = next(reader, None)
        if first is None:
            raise DataError(f"{path}: the file is empty")
        header += first
        require_columns(path, header, required)
        size = len(header)
        number = reader.line_num + 1
        for fields in reader:
            if len(fields) == size and (size == 1 or any(fields)):
                yield number, fields
            elif any(fields) or len(fields) == 1:  # not a blank line
                raise DataError(
                    f"{path}: line {number}: {len(fields)} fields instead of {size}; the file is "
                    "truncated or a text is not quoted"
                )
            number = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path}: line {number}: {error}; the file is truncated or badly quoted"
        ) from None


def _picker(positions: Sequence[int]) -> Any:
    """A function from a record to the values at some positions, as a tuple."""
    if len(positions) == 1:
        (only,) = positions
        return lambda fields: (fields[only],)
    return itemgetter(*positions) if positions else lambda fields: ()


# -- JSON lines ------------------------------------------------------------------------------


def read_jsonl(path: Path, required: Sequence[str]) -> Iterator[Line]:
    """Yield the records of a JSON-lines file: an object a line; blank lines are skipped.

    Raises:
        DataError: not UTF-8, a line is not a JSON object, lacks a key or has it twice, or a text
            holds half of a character (a lone surrogate).
    """
    for number, text in enumerate(read_utf8(path).split("\n"), start=1):
        if not text.strip():
            continue
        where = f"{path}: line {number}"
        values = parse_json(text, where)
        if not isinstance(values, dict):
            raise DataError(f"{where}: not a JSON object")
        require_columns(where, list(values), required)
        yield Line(number, values)


def jsonl_records(path: Path, columns: Sequence[str]) -> Iterator[Record]:
    """Yield the values of some keys of a JSON-lines file.

    Raises:
        DataError: see `read_jsonl`.
    """
    for number, values in read_jsonl(path, columns):
        yield Record(number, tuple(values[name] for name in columns))


def parse_json(text: str, where: str) -> Any:
    """Parse JSON strictly: no key twice, no half of a character, a bounded depth.

    Args:
        text: the JSON.
        where: the file, and the line if the text is one line of it, for messages.

    Raises:
        DataError: it is not such JSON.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        line = f": line {error.lineno}" if "\n" in text.strip() else ""
        raise DataError(
            f"{where}{line}: not JSON ({error.msg}); the file is truncated or damaged"
        ) from None
    except RecursionError:
        raise DataError(f"{where}: JSON that is nested too deeply") from None
    except ValueError as error:  # a key twice, an integer of thousands of digits
        raise DataError(f"{where}: {str(error).partition(';')[0]}") from None
    if "\\u" in text:
        check_characters(value, where)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {double[:60]!r} is given twice")
    return values


def check_characters(value: Any, where: str) -> None:
    """Refuse lone surrogates: a model cannot be asked about half of a character, nor can it be
    stored.

    Args:
        value: texts in lists and mappings.
        where: the file and line, or the key, for messages.

    Raises:
        DataError: a text or key holds one.
    """
    todo = [("", value)]
    while todo:
        key, part = todo.pop()
        if isinstance(part, str):
            try:
                part.encode("utf-8")
            except UnicodeEncodeError:
                place = f" of {key!r}" if str(key).isprintable() and key != "" else ""
                raise DataError(
                    f"{where}: the text{place} holds half of a character (a lone surrogate, as of "
                    "an emoji that was cut in two); repair the text"
                ) from None
        elif isinstance(part, dict):
            todo += [(name, name) for name in part]
            todo += part.items()
        elif isinstance(part, (list, tuple)):
            todo += [(key, item) for item in part]


# -- Parquet ---------------------------------------------------------------------------------


def parquet_records(path: Path, columns: Sequence[str]) -> Iterator[Record]:
    """Yield the values of some columns of a Parquet file; ``number`` is the row, from 1.

    Raises:
        DataError: it is not a Parquet file, lacks a column (says which there are), is damaged,
            or would need too much memory.
    """
    import pyarrow
    import pyarrow.parquet

    with opened(path) as stream:
        try:
            file = pyarrow.parquet.ParquetFile(stream)
            require_columns(path, file.schema_arrow.names, columns)
            groups = range(file.metadata.num_row_groups)
            size = sum(file.metadata.row_group(group).total_byte_size for group in groups)
            if size > MAX_BYTES:
                raise DataError(
                    f"{path}: {size:,} bytes when unpacked, more than the limit of {MAX_BYTES:,}; "
                    "split the file"
                )
            number = 0
            for batch in file.iter_batches(columns=list(dict.fromkeys(columns))):
                values = [batch.column(name).to_pylist() for name in columns]
                for record in zip(*values, strict=True):
                    number += 1
                    yield Record(number, record)
        except (pyarrow.ArrowException, UnicodeDecodeError, ValueError, OSError) as error:
            reason = str(error).strip().splitlines()
            raise DataError(
                f"{path}: cannot be read as Parquet: {reason[0] if reason else error!r}"
            ) from None


# -- columns ---------------------------------------------------------------------------------


def require_columns(where: object, header: Sequence[str], required: Sequence[str]) -> None:
    """Check that every required column is there, and that no column is given twice.

    Raises:
        DataError: a column is missing or given twice; says which there are.
    """
    named = [name for name in header if name]
    if len(set(named)) != len(named):
        double = next(name for name in named if named.count(name) > 1)
        raise DataError(f"{where}: the column {double!r} is given twice; rename one")
    if missing := [name for name in required if name not in header]:
        hint = ""
        if len(header) == 1 and missing:
            for mark, word in ((";", "semicolons"), ("\t", "tabs")):
                if missing[0] in header[0].split(mark):
                    hint = f"; the fields seem to be separated by {word}: save it with commas"
        raise DataError(
            f"{where}: no column {', '.join(map(repr, missing))}; it has: "
            f"{', '.join(repr(name) for name in header[:50]) or 'none'}{hint}"
        )


def require_text(path: Path, number: int, text: str) -> str:
    """Return a text that is not blank.

    Raises:
        DataError: it is blank; says the line.
    """
    if not text.strip():
        raise DataError(f"{path}: line {number}: empty text; remove the line or fill it")
    return text
