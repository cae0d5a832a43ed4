"""A user's own tables: a CSV, JSON-lines or Parquet file with named columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from harness.data.files import expanded, is_file, shown, stamp
from harness.data.pins import inside
from harness.data.places import DataStore
from harness.data.tabular import Record, csv_records, jsonl_records, parquet_records
from harness.errors import DataError

READERS: Mapping[str, Callable[[Path, Sequence[str]], Iterator[Record]]] = {
    ".csv": csv_records,
    ".jsonl": jsonl_records,
    ".ndjson": jsonl_records,
    ".parquet": parquet_records,
}
"""Reads the values of some columns, by the ending of the file's name."""


def check_format(path: str) -> str:
    """Return a path whose ending is one of a known format.

    Raises:
        ValueError: it is not; says which are.
    """
    if Path(path).suffix.lower() not in READERS:
        raise ValueError(f"'{path}' must end in one of {', '.join(READERS)}")
    return path


def find_own_file(name: str, data: DataStore, who: str) -> Path:
    """Find a file by its path, or below the data folder.

    Args:
        name: path as the config gives it.
        data: says where the data folder is.
        who: the plugin, for the error.

    Raises:
        DataError: it is not there, or is not a regular file.
    """
    path = expanded(name)
    if not path.is_absolute() and not is_file(path) and data.data_dir is not None:
        below = inside(data.data_dir, name)
        if is_file(below):
            return below
    if not is_file(path):
        stamp(path)  # says what is wrong, if it is missing
        raise DataError(f"{who}: {shown(path)} is not a file; check 'path'")
    return path


def own_records(path: Path, columns: Sequence[str]) -> Iterator[Record]:
    """Yield the values of some columns of a table.

    Raises:
        DataError: a column is missing, or the file is malformed; says the line.
    """
    return READERS[path.suffix.lower()](path, columns)


def as_word(value: object) -> str:
    """Return a value as text: JSON and Parquet know numbers and truth values, CSV does not."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
