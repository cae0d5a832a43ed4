"""Typed tables on the console, as wide as it is: 80 columns, 140, or more."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich.text import Text

from harness.analysis.tables import Table, TableCell, TableColumn, TableRow
from harness.render import palette
from harness.render.cell_text import MARKS_LEGEND, Detail, cell_text
from harness.render.console.ruled import Ruled
from harness.render.console.terminal import Terminal

NARROW = 14
"""Letters that a heading cell keeps when there is little room."""


def print_table(
    console: Terminal,
    table: Table,
    *,
    title: str = "",
    details: bool = False,
    detail: Detail = "interval",
    legend: bool = True,
) -> None:
    """Print a table, in several parts side by side where it is wider than the console.

    Args:
        console: the console to print to; all of its width is used.
        table: what to print.
        title: in place of the table's own.
        details: show the intervals (or p-values) of changes, in a second line.
        detail: which of the two.
        legend: print the table's legend and notes below it.
    """
    hidden = set() if table.several_steps else {"step"}
    heads = [k for k, c in enumerate(table.columns[: table.heads]) if c.key not in hidden]
    body = range(table.heads, len(table.columns))
    cells = {
        (i, k): text_of(row, row.cells[k], table.columns[k], details, detail)
        for i, row in enumerate(table.rows)
        for k in (*heads, *body)
    }
    shown = title or _title(table)
    for part in _parts(table, heads, body, cells, console.width):
        columns = [*heads, *part]
        header = [folded_header(table.columns[k].title) for k in columns]
        rows = [[cells[i, k] for k in columns] for i in range(len(table.rows))]
        left = [place for place, k in enumerate(columns) if table.columns[k].left]
        fold = left[0] if left else 0
        console.print(Ruled(shown, header, rows, left=left, fold=fold))
        shown = ""
    if legend:
        print_legend(console, table)


def print_legend(console: Terminal, table: Table) -> None:
    """Print the lines that explain a table, then its notes."""
    lines = list(table.legend)
    if table.key == "matrix" and lines:
        lines.insert(1, MARKS_LEGEND + "; underlined: source and target are the same.")
    for line in (*lines, *table.notes):
        console.print(line, style="dim")


def _title(table: Table) -> str:
    steps = {row.step for row in table.rows if row.kind == "method"}
    parts = [table.title, table.direction]
    if table.key == "matrix" and len(steps) == 1:
        parts.append(f"step {next(iter(steps))}")
    return ", ".join(part for part in parts if part)


def text_of(
    row: TableRow, cell: TableCell, column: TableColumn, details: bool, detail: Detail
) -> Text:
    """Return a cell in colour: strong where a change is significant, pale where it may be chance.

    Args:
        row: of the cell.
        cell: what to show.
        column: of the cell.
        details: whether to add the interval or p-value as a second line.
        detail: which of the two.
    """
    shown = cell_text(cell, column, detail)
    if shown.absent:
        return Text(shown.main, "bold red" if cell.absent == "failed" else "dim")
    if column.form == "text":
        return _heading(row, shown.main, column)
    if row.kind == "detectable":
        return Text(f"±{shown.main}  " if cell.value is not None else "", "dim")
    text = Text(style=_style(cell))
    text.append(f"{shown.main} {shown.change}".strip())
    if column.form in ("score", "effect"):
        text.append(f"{shown.mark or ' '}{shown.star or ' '}")
    if shown.detail and (details or column.form in ("rank", "count")):
        text.append(f"\n{shown.detail}", "not underline dim")
    return text


def _heading(row: TableRow, words: str, column: TableColumn) -> Text:
    text = Text(words, "bold" if row.kind == "base" else "dim" if row.kind == "detectable" else "")
    if column.key == "method":
        if row.pareto:
            text.append(" ◆")
        if row.kind == "control":
            text.append(" control", "dim")
    return text


def _style(cell: TableCell) -> str:
    """Return colour by direction and strength by evidence."""
    own = "underline " if cell.own else ""
    if cell.mark not in ("better", "worse"):
        return f"{own}dim" if cell.mark == "undefined" else own
    strength = "bold " if cell.significant else "" if cell.evidence is None else "dim "
    return f"{own}{strength}{palette.TERMINAL[cell.mark]}"


def folded_header(title: str) -> str:
    """Break a title between its words and after underscores; no word is ever cut."""
    words = re.findall(r"[^\s_]+_?|_", title)
    longest = max(map(len, words), default=0)
    lines = [""]
    for word in words:
        glue = "" if not lines[-1] or lines[-1].endswith("_") else " "
        if lines[-1] and len(lines[-1]) + len(glue) + len(word) > max(longest, 11):
            lines.append(word)
        else:
            lines[-1] += glue + word
    return "\n".join(lines)


def _parts(
    table: Table,
    heads: Sequence[int],
    body: Sequence[int],
    cells: dict[tuple[int, int], Text],
    width: int,
) -> Iterator[list[int]]:
    """Yield columns in groups that fit the width beside the headings of the rows."""

    def needs(k: int) -> int:
        lines = [line for i in range(len(table.rows)) for line in cells[i, k].plain.split("\n")]
        lines += folded_header(table.columns[k].title).split("\n")
        return max(map(len, lines)) + 1

    named = next((k for k in heads if table.columns[k].left), heads[0])
    others = sum(needs(k) for k in heads if k != named)
    room = width - 2 - min(needs(named), max(NARROW, width // 3)) - others
    part: list[int] = []
    left = room
    for k in body:
        if part and needs(k) > left:
            yield part
            part, left = [], room
        part.append(k)
        left -= needs(k)
    yield part
