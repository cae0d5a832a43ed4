"""The long table of a run as Parquet."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any

from harness.render.exports.export_format import ExportFormat, ExportOptions
from harness.storage.store import Store


def parquet_bytes(rows: Iterable[Iterable[object]], columns: Mapping[str, object]) -> bytes:
    """Return a Parquet file with one row group; all columns are nullable.

    Args:
        rows: the values of each row, in the order of ``columns``.
        columns: the annotated type of each column by its name.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(pa, columns)
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    arrays = [pa.array(column, field.type) for column, field in zip(values, schema, strict=True)]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), sink, compression="zstd")
    return sink.getvalue()


def _schema(pa: Any, columns: Mapping[str, object]) -> Any:
    kinds = {
        str: pa.string(),
        int: pa.int64(),
        float: pa.float64(),
        bool: pa.bool_(),
    }

    def plain(hint: Any) -> Any:
        options = [part for part in getattr(hint, "__args__", (hint,)) if part is not type(None)]
        return kinds[options[0]]

    return pa.schema([(name, plain(hint)) for name, hint in columns.items()])


def _content(store: Store, options: ExportOptions) -> bytes:
    from harness.analysis.long_table import COLUMNS, tidy_rows

    return parquet_bytes(
        (row.cells() for row in tidy_rows(store, processes=options.processes)), COLUMNS
    )


PARQUET = ExportFormat("parquet", "the same as csv, with typed columns", _content, binary=True)
