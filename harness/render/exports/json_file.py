"""The long table of a run as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from harness.render.exports.export_format import ExportFormat, ExportOptions
from harness.render.safe_text import json_text
from harness.storage.store import Store


def json_bytes(rows: Sequence[Any], fields: Sequence[str]) -> bytes:
    """Return an object with the names of the fields and an array of objects, one on each line."""
    values = attrgetter(*fields)
    lines = ",\n".join(
        json_text(dict(zip(fields, values(row), strict=True)), indent=None) for row in rows
    )
    head = json_text(list(fields), indent=None)
    return f'{{"fields": {head},\n"rows": [\n{lines}\n]}}\n'.encode()


def _content(store: Store, options: ExportOptions) -> bytes:
    from harness.analysis.long_table import FIELDS, tidy_rows

    return json_bytes(tidy_rows(store), FIELDS)


JSON = ExportFormat("json", "the same as csv, as an array of objects", _content)
