"""Typed cells as plain text, the same words in every format.

`harness.analysis.tables` says what a cell holds; here it becomes a main text and a detail (the
interval), which a format puts beside or below each other.
"""

from __future__ import annotations

from typing import NamedTuple

from harness.analysis.tables import Table, TableCell, TableColumn, TableRow
from harness.render.tables.numbers import interval, number, signed

MARKS = {"better": "▲", "worse": "▼", "undefined": "~", "same": ""}
"""Nearer to the ideal, further from it, undefined, no change."""

FRONT = "◆"
MARK_NOTE = "▲ nearer to the ideal, ▼ further from it, ~ undefined, * significant"


class CellText(NamedTuple):
    """A cell as text: what it says, the mark and star behind that, and its interval."""

    main: str
    marks: str = ""
    detail: str = ""

    def joined(self) -> str:
        """All in one line."""
        return " ".join(part for part in (self.main + self.marks, self.detail) if part)


def cell_text(cell: TableCell, column: TableColumn) -> CellText:
    """The texts of a cell; digits and signs follow the column."""
    if cell.absent:
        return CellText(cell.absent)
    digits = column.digits
    marks = MARKS[cell.mark] + ("*" if cell.significant else "")
    bounds = interval(cell.interval.low, cell.interval.high, digits) if cell.interval else ""
    spread = f" ± {number(cell.spread, digits)}" if cell.spread is not None else ""
    if column.form == "text":
        return CellText(cell.text)
    if column.form == "rank":
        return CellText(_rank(cell))
    if column.form == "number":
        return CellText(number(cell.value, digits), "", bounds)
    if column.form == "effect":
        return CellText(signed(cell.value, digits) + spread, marks, bounds)
    if column.form == "count":
        return CellText(_count(cell))
    if cell.change is None:
        return CellText(number(cell.value, digits))
    unit = f" {cell.change_unit}" if cell.change_unit else ""
    changed = f"{number(cell.value, digits)} {signed(cell.change, digits)}{spread}{unit}"
    return CellText(changed, marks if column.form == "score" else "", bounds)


def _rank(cell: TableCell) -> str:
    span = "" if cell.rank_low is None else f"{cell.rank_low}–{cell.rank_high}"
    if cell.rank is None:
        return f"({span})" if span else cell.text
    return str(cell.rank) if cell.rank_low == cell.rank_high else f"{cell.rank} ({span})"


def _count(cell: TableCell) -> str:
    if cell.total is None:
        return str(cell.count)
    certain = f" ({cell.certain})" if cell.certain is not None else ""
    return f"{cell.count}/{cell.total}{certain}"


def row_title(row: TableRow) -> str:
    """The method of a row with its tags."""
    front = f" {FRONT}" if row.pareto else ""
    return row.method + (" (control)" if row.kind == "control" else "") + front


def row_texts(table: Table, row: TableRow) -> list[CellText]:
    """The texts of a row; its method carries the tags, and detectable changes a ± sign."""
    found = [cell_text(cell, column) for cell, column in zip(row.cells, table.columns, strict=True)]
    for position, column in enumerate(table.columns):
        if column.key == "method":
            found[position] = CellText(row_title(row))
        elif (
            row.kind == "detectable" and position >= table.heads and not row.cells[position].absent
        ):
            found[position] = CellText(f"±{found[position].main}")
    return found


def shown_columns(table: Table) -> list[int]:
    """The columns to print: all but the step where all methods have the same one."""
    return [
        position
        for position, column in enumerate(table.columns)
        if column.key != "step" or table.several_steps
    ]


def full_title(table: Table) -> str:
    """The title with the direction, and the step where it is the same for all methods."""
    steps = {row.step for row in table.rows if row.kind == "method" and row.step is not None}
    step = f", step {next(iter(steps))}" if table.key == "matrix" and len(steps) == 1 else ""
    return f"{table.title}{step}" + (f", {table.direction}" if table.direction else "")
