"""The long table of a run as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from harness.render.exports.export_format import ExportFormat, ExportOptions
from harness.storage.store import Store

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins with one of these for a formula (OWASP, CSV injection)."""


def csv_bytes(rows: Sequence[Any], fields: Sequence[str], *, spreadsheet_safe: bool) -> bytes:
    """Return a CSV file: UTF-8, a header, lines that end in a line feed, empty fields for None.

    Args:
        rows: objects with an attribute for each field.
        fields: the names of the columns.
        spreadsheet_safe: put an apostrophe in front of texts that a spreadsheet would take for a
            formula. Numbers are never changed.
    """
    values = attrgetter(*fields)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(fields)
    for row in rows:
        cells = values(row)
        writer.writerow([harmless(cell) for cell in cells] if spreadsheet_safe else cells)
    return stream.getvalue().encode("utf-8", "backslashreplace")


def harmless(value: object) -> object:
    """Return a cell that no spreadsheet executes: formulas become texts, other values stay."""
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value


def _content(store: Store, options: ExportOptions) -> bytes:
    from harness.analysis.long_table import FIELDS, tidy_rows

    return csv_bytes(tidy_rows(store), FIELDS, spreadsheet_safe=options.spreadsheet_safe)


CSV = ExportFormat("csv", "every number of the run, one in a row", _content)
