"""The long table of a run as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable

from harness.render.exports.export_format import ExportFormat, ExportOptions
from harness.storage.store import Store

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins with one of these for a formula (OWASP, CSV injection)."""


def csv_bytes(
    rows: Iterable[Iterable[object]], columns: Collection[str], *, spreadsheet_safe: bool
) -> bytes:
    """Return a CSV file: UTF-8, a header, lines that end in a line feed, empty fields for None.

    Args:
        rows: the values of each row, in the order of ``columns``.
        columns: the names of the columns.
        spreadsheet_safe: put an apostrophe in front of texts that a spreadsheet would take for a
            formula. Numbers are never changed.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    if spreadsheet_safe:
        rows = ([harmless(c) if isinstance(c, str) else c for c in row] for row in rows)
    writer.writerows(rows)
    return stream.getvalue().encode("utf-8", "backslashreplace")


def harmless(value: object) -> object:
    """Return a cell that no spreadsheet executes: formulas become texts, other values stay."""
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value


def _content(store: Store, options: ExportOptions) -> bytes:
    from harness.analysis.long_table import COLUMNS, tidy_rows

    rows = (row.cells() for row in tidy_rows(store, processes=options.processes))
    return csv_bytes(rows, COLUMNS, spreadsheet_safe=options.spreadsheet_safe)


CSV = ExportFormat("csv", "every number of the run, one in a row", _content)
