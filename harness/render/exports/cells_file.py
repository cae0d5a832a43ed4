"""The cells of the matrix and leaderboard tables as CSV: what people see, one cell in a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields

from harness.analysis.tables import Table, TableCell
from harness.render.exports.csv_file import csv_bytes
from harness.render.exports.export_format import ExportFormat, ExportOptions
from harness.render.tables.cell_text import column_title
from harness.storage.store import Store

_ABOUT = ("table", "title", "kind", "model", "method", "source", "step", "column")
_VALUES = tuple(field.name for field in fields(TableCell) if field.name != "interval")
COLUMNS = (*_ABOUT, *_VALUES, "interval_low", "interval_high")


def cells_csv(tables: Iterable[Table], *, spreadsheet_safe: bool = True) -> bytes:
    """Return the cells of tables as CSV, with all digits.

    Args:
        tables: typed tables.
        spreadsheet_safe: write texts so that a spreadsheet cannot take them for formulas.
    """
    rows = (row.values() for row in _rows(tables))
    return csv_bytes(rows, COLUMNS, spreadsheet_safe=spreadsheet_safe)


def _rows(tables: Iterable[Table]) -> Iterator[dict[str, object]]:
    for table in tables:
        for row in table.rows:
            for column, cell in zip(table.columns[table.heads :], row.cells[table.heads :],
                                    strict=True):  # fmt: skip
                about = (table.key, table.title, row.kind, row.model, row.method, row.source,
                         row.shown_step, column_title(table, column))  # fmt: skip
                low, high = cell.interval if cell.interval is not None else (None, None)
                yield {
                    **dict(zip(_ABOUT, about, strict=True)),
                    **{name: getattr(cell, name) for name in _VALUES},
                    "interval_low": low,
                    "interval_high": high,
                }


def _content(store: Store, options: ExportOptions) -> bytes:
    from harness.analysis.leaderboard_tables import board_tables
    from harness.analysis.matrix_builder import matrix_of
    from harness.analysis.matrix_tables import matrix_tables
    from harness.analysis.ranking import rank

    tables = [*matrix_tables(matrix_of(store)), *board_tables(rank([store]))]
    return cells_csv(tables, spreadsheet_safe=options.spreadsheet_safe)


CELLS = ExportFormat("cells", "the cells of the matrix and leaderboard tables, as csv", _content)
