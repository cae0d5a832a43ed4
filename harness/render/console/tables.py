"""Typed tables on the console, as wide as it is: 80 columns, 140, or more."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from rich.cells import cell_len
from rich.text import Text

from harness.analysis.tables import Table, TableCell, TableColumn, TableRow
from harness.render import palette
from harness.render.console.ruled import Ruled
from harness.render.console.terminal import Terminal
from harness.render.tables.cell_text import (
    FRONT,
    MARK_NOTE,
    CellText,
    column_title,
    full_title,
    row_texts,
    shown_columns,
)

Below = Literal["nothing", "intervals", "p-values"]
"""What the second line of a cell shows."""

NARROW = 24
"""Letters that the names of methods keep where there is little room."""


def print_table(console: Terminal, table: Table, *, below: Below = "nothing") -> None:
    """Print a table, in several parts where it is wider than the console.

    Args:
        console: the console to print to; all of its width is used.
        table: what to print; its legend is left to `print_legends`.
        below: what to show below a change.
    """
    shown = shown_columns(table)
    heads = [k for k in shown if k < table.heads]
    cells = {
        (i, k): _cell(row, row.cells[k], table.columns[k], text, below)
        for i, row in enumerate(table.rows)
        for k, text in enumerate(row_texts(table, row))
    }
    headers = {k: folded_header(column_title(table, table.columns[k])) for k in shown}
    title = full_title(table)
    body = [k for k in shown if k >= table.heads]
    for part in _parts(table, heads, body, cells, headers, console.width):
        columns = [*heads, *part]
        rows = [[cells[i, k] for k in columns] for i in range(len(table.rows))]
        left = [place for place, k in enumerate(columns) if table.columns[k].left]
        fold = left[:1] or [0]
        console.print(Ruled(title, [headers[k] for k in columns], rows, left=left, fold=fold))
        title = ""


def print_with_legend(console: Terminal, table: Table) -> None:
    """Print a table with intervals below their numbers, then its legend and its notes."""
    print_table(console, table, below="intervals")
    print_legends(console, [table])


def print_legends(console: Terminal, tables: Iterable[Table], notes: Iterable[str] = ()) -> None:
    """Print the lines that explain tables, each once, then the notes about their data.

    Args:
        console: the console to print to.
        tables: the tables above.
        notes: further notes.
    """
    shown = list(tables)
    lines = [line for table in shown for line in table.legend]
    if any(table.key in ("matrix", "comparison") for table in shown):
        lines.insert(1, f"{MARK_NOTE}; underlined: source and target are the same.")
    lines += [line for table in shown for line in table.notes]
    for line in dict.fromkeys([*lines, *notes]):
        console.print(line, style="dim")


def _cell(
    row: TableRow, cell: TableCell, column: TableColumn, text: CellText, below: Below
) -> Text:
    """Return a cell in colour: strong where a change is significant, pale where it may not be."""
    if cell.absent:
        return Text(cell.absent, "bold red" if cell.absent == "failed" else "dim")
    if column.form == "text":
        return _heading(row, text, column)
    if row.kind == "detectable":
        return Text(f"{text.value}  ", "dim")
    content = Text(style=style_of(cell))
    scored = column.form == "score"
    content.append(text.main + (text.marks.ljust(2) if scored else text.marks))
    second = text.p if below == "p-values" else text.detail if below == "intervals" else ""
    if second:
        content.append(f"\n{second}", "not bold not underline dim")
    return content


def _heading(row: TableRow, text: CellText, column: TableColumn) -> Text:
    """Return a name, without the tags of a method."""
    if column.key != "method":
        return Text(text.value, "dim" if row.kind == "detectable" else "")
    style = {"base": "bold", "detectable": "dim"}.get(row.kind, "")
    title = Text(row.method, style)
    title.append(f" {FRONT}" if row.pareto else "")
    return title.append(" control" if row.kind == "control" else "", "dim")


def style_of(cell: TableCell) -> str:
    """Return the style of a cell: colour by direction, strength by evidence."""
    underlined = "underline" if cell.own else ""
    colour = palette.TERMINAL.get(cell.mark, "")
    strength = "bold" if cell.significant else "dim" if cell.evidence is not None else ""
    return " ".join(part for part in (underlined, strength, colour) if part)


def folded_header(title: str) -> str:
    """Break a title between words and after underscores; no word is ever cut."""
    words = re.findall(r"[^\s_]+_?|_", title)
    longest = max(map(cell_len, words), default=0)
    lines = [""]
    for word in words:
        glue = "" if not lines[-1] or lines[-1].endswith("_") else " "
        if lines[-1] and cell_len(lines[-1] + glue + word) > max(longest, 11):
            lines.append(word)
        else:
            lines[-1] += glue + word
    return "\n".join(lines)


def _parts(
    table: Table,
    heads: Sequence[int],
    body: Sequence[int],
    cells: Mapping[tuple[int, int], Text],
    headers: Mapping[int, str],
    width: int,
) -> Iterator[list[int]]:
    """Yield columns in groups that fit the width next to the headings of the rows."""

    def needs(k: int) -> int:
        lines = [line for i in range(len(table.rows)) for line in cells[i, k].plain.split("\n")]
        return max(map(cell_len, [*lines, *headers[k].split("\n")])) + 1

    widths = {k: needs(k) for k in (*heads, *body)}
    named = next((k for k in heads if table.columns[k].left), heads[0])
    others = sum(widths[k] for k in heads if k != named)
    rooms = [width - 2 - others - widths[named], width - 2 - others - min(widths[named], NARROW)]
    # names stay whole if that costs no further part
    whole, folded = ([*_filled(body, widths, room)] for room in rooms)
    yield from whole if len(whole) <= len(folded) else folded


def _filled(body: Sequence[int], widths: Mapping[int, int], room: int) -> Iterator[list[int]]:
    part: list[int] = []
    left = room
    for k in body:
        if part and widths[k] > left:
            yield part
            part, left = [], room
        part.append(k)
        left -= widths[k]
    if part or not body:
        yield part
