"""Typed tables as the page shows them: texts, classes of style, and nothing in HTML."""

from __future__ import annotations

from dataclasses import dataclass

from harness.analysis.tables import RowKind, Table, TableCell, TableRow
from harness.render import palette
from harness.render.figures.canvas import Numbers
from harness.render.tables.cell_text import (
    FRONT,
    CellText,
    column_title,
    full_title,
    row_texts,
    shown_columns,
)
from harness.render.tables.numbers import number


@dataclass(frozen=True)
class CellView:
    """A cell of a table on the page.

    Attributes:
        text: value, change, marks, interval and p-value.
        css: classes: its shade, whether it is significant, framed, absent or a name.
        note: why there is no number, or a footnote.
        tag: a word in small print behind a name.
    """

    text: CellText
    css: str = ""
    note: str = ""
    tag: str = ""


@dataclass(frozen=True)
class RowView:
    """A row: its kind, and its cells; the first `heads` of its table are headings."""

    kind: RowKind
    cells: tuple[CellView, ...]


@dataclass(frozen=True)
class TableView:
    """A table on the page.

    Attributes:
        caption: what it shows, in one line.
        header: for each column its title, and whether it is flush left.
        rows: in order.
        lines: what explains it, below.
        heads: how many leading columns head the rows.
        shaded: whether its cells have shades, as a matrix has.
    """

    caption: str
    header: tuple[tuple[str, bool], ...]
    rows: tuple[RowView, ...]
    lines: tuple[str, ...] = ()
    heads: int = 1
    shaded: bool = False


def view_of(table: Table) -> TableView:
    """Return a typed table as the page shows it; names come first."""
    shown = shown_columns(table)
    heads = sum(k < table.heads for k in shown)
    scores = [cell for row in table.rows for cell in row.cells[table.heads :]]
    reach = max((abs(c.improvement) for c in scores if c.improvement is not None), default=0.0)
    rows = []
    for row in table.rows:
        texts = row_texts(table, row)
        cells = tuple(
            _name(row, texts[k])
            if table.columns[k].key == "method"
            else _cell(row.cells[k], texts[k], reach if k >= table.heads else 0.0, table.unit)
            for k in shown
        )
        rows.append(RowView(row.kind, cells))
    header = tuple((column_title(table, table.columns[k]), table.columns[k].left) for k in shown)
    lines = (*table.legend, *table.notes)
    return TableView(full_title(table), header, tuple(rows), lines, heads, table.key == "matrix")


def _name(row: TableRow, text: CellText) -> CellView:
    name = row.method if row.method else text.value
    tag = "control" if row.kind == "control" else ""
    return CellView(CellText(name + (f" {FRONT}" if row.pareto else "")), "name", tag=tag)


def _cell(cell: TableCell, text: CellText, reach: float, unit: str) -> CellView:
    if cell.absent:
        css = "absent" if cell.absent != "–" else ""
        return CellView(text, f"{css} own".strip() if cell.own else css, cell.note)
    shade = ""
    if cell.mark in ("better", "worse") and cell.improvement is not None and reach > 0:
        level = palette.level(cell.improvement, reach, significant=cell.significant)
        shade = f"{cell.mark}-{level}" if level else ""
    parts = (
        shade or ("undefined" if cell.mark == "undefined" else ""),
        "significant" if cell.significant else "",
        "own" if cell.own else "",
    )
    return CellView(text, " ".join(part for part in parts if part), _note(cell, unit))


def _note(cell: TableCell, unit: str) -> str:
    """Return what to show when a reader points at a cell."""
    parts = [cell.note]
    if cell.detectable is not None:
        parts.append(f"minimum detectable change: {number(cell.detectable)} {unit}".rstrip())
    return "; ".join(part for part in parts if part)


def view_of_numbers(numbers: Numbers, caption: str) -> TableView:
    """Return the numbers of a figure, or another table of text, as the page shows them."""
    return TableView(
        caption,
        tuple((name, k < numbers.left) for k, name in enumerate(numbers.header)),
        tuple(
            RowView("method", tuple(CellView(CellText(*_lines(text))) for text in row))
            for row in numbers.rows
        ),
        heads=1,
    )


def _lines(text: str) -> tuple[str, str, str, str]:
    """Return a text with its second line in the place of an interval."""
    first, _, second = text.partition("\n")
    return first, "", "", second
