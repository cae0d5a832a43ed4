"""The long table of a run as Parquet."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, get_type_hints

from harness.render.exports.export_format import ExportFormat, ExportOptions
from harness.storage.store import Store


def parquet_bytes(rows: Sequence[Any], row_type: type, fields: Sequence[str]) -> bytes:
    """Return a Parquet file with one row group; all columns are nullable.

    Args:
        rows: objects of ``row_type``.
        row_type: its annotations give the column types.
        fields: the names of the columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(pa, row_type, fields)
    columns = [pa.array([getattr(row, name) for row in rows], schema.field(name).type)
               for name in fields]  # fmt: skip
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), sink, compression="zstd")
    return sink.getvalue()


def _schema(pa: Any, row_type: type, fields: Sequence[str]) -> Any:
    kinds = {
        str: pa.string(),
        int: pa.int64(),
        float: pa.float64(),
        bool: pa.bool_(),
    }
    hints = get_type_hints(row_type)

    def plain(hint: Any) -> Any:
        options = [part for part in getattr(hint, "__args__", (hint,)) if part is not type(None)]
        return kinds[options[0]]

    return pa.schema([(name, plain(hints[name])) for name in fields])


def _content(store: Store, options: ExportOptions) -> bytes:
    from harness.analysis.long_table import FIELDS, TidyRow, tidy_rows

    return parquet_bytes(tidy_rows(store), TidyRow, FIELDS)


PARQUET = ExportFormat("parquet", "the same as csv, with typed columns", _content, binary=True)
