"""The long table of a run as CSV, Parquet and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from harness.analysis.long_table import COLUMNS, TidyRow


def csv_bytes(rows: Sequence[TidyRow]) -> bytes:
    """UTF-8, a header, lines ending in a line feed; an empty field stands for nothing."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow(["" if value is None else value for value in row.values().values()])
    return stream.getvalue().encode()


def json_bytes(rows: Sequence[TidyRow]) -> bytes:
    """An object with the names of the fields and an array of objects, one a line."""
    lines = ",\n".join(json.dumps(row.values(), ensure_ascii=False) for row in rows)
    head = json.dumps(list(COLUMNS))
    return f'{{"fields": {head},\n"rows": [\n{lines}\n]}}\n'.encode()


def parquet_bytes(rows: Sequence[TidyRow]) -> bytes:
    """One row group; the column types are those of `TidyRow`, all nullable."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist([row.values() for row in rows], schema=_schema(pa))
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _schema(pa: Any) -> Any:
    kinds = {
        str: pa.string(),
        int: pa.int64(),
        float: pa.float64(),
        bool: pa.bool_(),
    }

    def plain(hint: Any) -> Any:
        options = [part for part in getattr(hint, "__args__", (hint,)) if part is not type(None)]
        return kinds[options[0]]

    return pa.schema([(name, plain(hint)) for name, hint in COLUMNS.items()])
