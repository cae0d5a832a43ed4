"""Tables as `datasets.Dataset`, in memory: no cache files, no loading script, no remote code.

CSV and JSON lines are parsed by `harness.data.tabular` and put into a `Dataset` from there. The CSV
reader of `datasets` (pandas) would take a text such as ``NA`` for a missing value, has no line for
an error, and leaves lock files in the user's cache. Parquet is read by `datasets` itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.pins import Row
from harness.data.tabular import Line, require_columns
from harness.errors import DataError

if TYPE_CHECKING:
    import datasets


def dataset_of(columns: Sequence[str], rows: Iterable[Row]) -> datasets.Dataset:
    """Put parsed items into a `Dataset` of string columns."""
    from datasets import Dataset

    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    return Dataset.from_dict(
        {name: list(column) for name, column in zip(columns, values, strict=True)}
    )


def rows_of(table: datasets.Dataset, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of the named columns."""
    values = table.to_dict()
    return zip(*(values[name] for name in columns), strict=True)


def read_parquet(path: Path, required: Sequence[str]) -> Iterator[Line]:
    """Yield the records of a Parquet file; ``number`` is the row, from 1.

    Raises:
        DataError: it is no Parquet file, or lacks a column (says which there are).
    """
    import datasets
    from datasets.exceptions import DatasetsError

    silent = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        # `datasets` copies what it reads into a cache; this one goes with the block
        with tempfile.TemporaryDirectory(prefix="harness-") as cache:
            table = datasets.Dataset.from_parquet(str(path), cache_dir=cache, keep_in_memory=True)
    except (DatasetsError, ValueError, OSError) as error:
        cause = error.__cause__ or error
        reason = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
        raise DataError(f"{path}: cannot be read as Parquet: {reason}") from None
    finally:
        if not silent:
            datasets.enable_progress_bars()
    require_columns(path, table.column_names, required)
    names = table.column_names
    for number, values in enumerate(rows_of(table, names), start=1):
        yield Line(number, dict(zip(names, values, strict=True)))
