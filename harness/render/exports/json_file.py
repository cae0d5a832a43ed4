"""The long table of a run as JSON."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from harness.render.exports.export_format import ExportFormat, ExportOptions
from harness.render.safe_text import json_text
from harness.storage.store import Store


def json_bytes(rows: Iterable[Mapping[str, object]], columns: Collection[str]) -> bytes:
    """Return an object with the names of the fields and an array of objects, one on each line."""
    lines = ",\n".join(json_text(row, indent=None) for row in rows)
    head = json_text(list(columns), indent=None)
    return f'{{"fields": {head},\n"rows": [\n{lines}\n]}}\n'.encode()


def _content(store: Store, options: ExportOptions) -> bytes:
    from harness.analysis.long_table import COLUMNS, tidy_rows

    rows = tidy_rows(store, processes=options.processes)
    return json_bytes((row.values() for row in rows), COLUMNS)


JSON = ExportFormat("json", "the same as csv, as an array of objects", _content)
