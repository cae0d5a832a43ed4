"""The matrix and the leaderboard as GitHub-flavoured Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.analysis.leaderboard import Leaderboard
from harness.analysis.leaderboard_tables import board_tables
from harness.analysis.matrix import Matrix
from harness.analysis.matrix_tables import matrix_tables
from harness.analysis.tables import Table, TableRow
from harness.analysis.verdict import verdict
from harness.render.exports.export_format import ExportFormat, ExportOptions
from harness.render.safe_text import one_line
from harness.render.tables.cell_text import (
    MARK_NOTE,
    column_title,
    full_title,
    row_texts,
    shown_columns,
)
from harness.storage.store import Store


def markdown_text(matrix: Matrix, board: Leaderboard) -> str:
    """A document: the verdict, the matrix of each metric, the leaderboard, notes and failures."""
    parts = [
        f"# {escape(matrix.name)}",
        escape(verdict(matrix).text),
        "## Transfer matrix",
    ]
    for table in matrix_tables(matrix):
        parts += _section(table, f"**{escape(full_title(table))}**")
    parts.append(escape(f"{MARK_NOTE}; underlined: source and target are the same."))
    parts += [escape(note) for note in matrix.notes]
    if matrix.failures:
        parts.append("## Failed")
        parts.append(
            "\n".join(f"- {escape(title)}: {escape(reason)}" for title, reason in matrix.failures)
        )
    for table in board_tables(board):
        mark = "##" if table.key == "leaderboard" else "###"
        parts += _section(table, f"{mark} {escape(table.title)}")
    return "\n\n".join(parts) + "\n"


def _section(table: Table, title: str) -> list[str]:
    """A title, the table, and the lines below it."""
    shown = shown_columns(table)
    header = [escape(column_title(table, table.columns[k])) for k in shown]
    rows = [[_cells(table, row)[k] for k in shown] for row in table.rows]
    left = [table.columns[k].left for k in shown]
    lines = [escape(line) for line in (*table.legend, *table.notes)]
    return [title, _table(header, rows, left=left), *(["<br>\n".join(lines)] if lines else [])]


def _cells(table: Table, row: TableRow) -> list[str]:
    texts = [escape(text.joined()) for text in row_texts(table, row)]
    return [
        f"<u>{text}</u>" if cell.own and text else text
        for text, cell in zip(texts, row.cells, strict=True)
    ]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[bool]) -> str:
    """A pipe table; columns of text are flush left, the others flush right."""
    rule = ["---" if flush else "---:" for flush in left]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def escape(text: str) -> str:
    """Make a text safe in a table and free of accidental markup."""
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", one_line(text))


def _content(store: Store, options: ExportOptions) -> bytes:
    from harness.analysis.matrix_builder import matrix_of
    from harness.analysis.ranking import rank

    return markdown_text(matrix_of(store), rank([store])).encode()


MARKDOWN = ExportFormat(
    "markdown", "the matrix and the leaderboard as GitHub-flavoured tables", _content
)
