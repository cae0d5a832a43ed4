"""Typed tables on the console."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from harness.analysis.tables import Table, TableCell, TableRow
from harness.render.console.ruled import Ruled
from harness.render.console.terminal import Terminal
from harness.render.tables.cell_text import (
    FRONT,
    CellText,
    full_title,
    row_texts,
    shown_columns,
)

MOST_NAME = 26
"""Width that a method's name has at most before it is folded."""

WIDTH = 100

HEADER = 16
"""Width of a header's lines, about that of an interval."""

STYLES = {"better": "green", "worse": "red", "undefined": "yellow", "same": "dim"}


def print_table(
    console: Terminal,
    table: Table,
    width: int,
    *,
    intervals: bool = False,
    details: bool = False,
) -> None:
    """Print a table, in blocks of columns where it is wider than the console.

    Args:
        console: where to print.
        table: what to print.
        width: columns to use.
        intervals: in cells of form ``score``, the change with its interval instead of the value.
        details: intervals below their numbers.
    """
    shown = shown_columns(table)
    texts = [_texts(table, row, intervals=intervals, details=details) for row in table.rows]
    heads = [k for k in shown if k < table.heads]
    heads.sort(key=lambda k: table.columns[k].form == "rank")  # names first: they can be folded
    header = {k: _header(table.columns[k].title) for k in shown}
    title = full_title(table)
    for block in _blocks(texts, header, heads, [k for k in shown if k >= table.heads], width):
        columns = [*heads, *block]
        left = sum(table.columns[k].left for k in columns)
        rows = [[row[k] for k in columns] for row in texts]
        console.print(Ruled(title, [header[k] for k in columns], rows, left=left), width=width)
        title = ""


def print_with_legend(console: Terminal, table: Table) -> None:
    """Print a table with intervals below their numbers, its legend and its notes."""
    width = min(WIDTH, console.width)
    print_table(console, table, width, details=True)
    for line in (*table.legend, *table.notes):
        console.print(line, style="dim", width=width)


def _header(title: str) -> str:
    """A header in lines of a number's width, broken between words."""
    lines = [""]
    for word in title.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > HEADER:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def _blocks(
    texts: Sequence[Sequence[Text]],
    header: dict[int, str],
    heads: Sequence[int],
    columns: Sequence[int],
    width: int,
) -> Iterator[list[int]]:
    """Columns in groups that fit the width beside the headings of the rows."""

    def widest(k: int) -> int:
        cells = [line for row in texts for line in row[k].plain.split("\n")]
        return max(map(len, [*header[k].split("\n"), *cells]))

    room = width - sum(min(MOST_NAME, widest(k)) + 1 for k in heads) - 2
    block: list[int] = []
    left = room
    for k in columns:
        needed = widest(k) + 1
        if block and needed > left:
            yield block
            block, left = [], room
        block.append(k)
        left -= needed
    if block or not columns:
        yield block


def _texts(table: Table, row: TableRow, *, intervals: bool, details: bool) -> list[Text]:
    found = []
    for cell, column, text in zip(row.cells, table.columns, row_texts(table, row), strict=True):
        if column.key == "method":
            name = Text(row.method, "bold" if row.kind == "base" else "")
            name.append(f" {FRONT}" if row.pareto else "")
            found.append(name.append(" control" if row.kind == "control" else "", "dim"))
        elif intervals and column.form == "score" and cell.change is not None:
            bounds = text.detail or "[no interval]"
            shown = CellText(f"{_change(text)} {bounds}", text.marks)
            found.append(_styled(cell, shown, details=False))
        else:
            found.append(_styled(cell, text, details=details or table.key == "comparison"))
    return found


def _change(text: CellText) -> str:
    return text.main.split(" ", 1)[1]


def _styled(cell: TableCell, text: CellText, *, details: bool) -> Text:
    """A cell in the colour of its mark, bold where it is significant."""
    if cell.absent:
        return Text(cell.absent, "bold red" if cell.absent == "failed" else "dim")
    style = "" if cell.change is None and cell.mark == "same" else STYLES[cell.mark]
    if cell.significant:
        style = f"bold {style}"
    if cell.own:
        style = f"underline {style}"
    marks = text.marks.ljust(2) if cell.change is not None else text.marks
    found = Text(text.main + marks, style.strip())
    if text.detail and details:
        found.append(f"\n{text.detail}", "dim")
    return found
