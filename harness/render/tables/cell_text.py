"""A typed cell as text: the same strings for the console, Markdown, LaTeX, HTML and CSV.

`harness.analysis.tables` says what a cell contains. Here it becomes a value, a change, an interval
and marks. A format puts them beside or below each other and adds colour and escaping. No format
writes a number of a table in another way.
"""

from __future__ import annotations

from typing import NamedTuple

from harness.analysis.tables import Mark, Table, TableCell, TableColumn, TableRow
from harness.data.domains import NO_DOMAIN
from harness.render.tables.numbers import interval, number, signed

MARKS: dict[Mark, str] = {"better": "✓", "worse": "✗", "undefined": "~", "same": ""}
"""Nearer to the ideal, further from it, neither, no change."""

FRONT = "◆"
MARK_NOTE = "✓ nearer to the ideal, ✗ further from it, ~ undefined, * significant"


class CellText(NamedTuple):
    """The texts of a cell; those that do not apply are empty.

    Attributes:
        value: the value, or what is shown in its place.
        change: its signed change.
        marks: one of `MARKS`, then ``*`` for a significant change.
        detail: the interval.
        p: the corrected p-value.
    """

    value: str
    change: str = ""
    marks: str = ""
    detail: str = ""
    p: str = ""

    @property
    def main(self) -> str:
        """Value and change."""
        return f"{self.value} {self.change}".strip()

    def joined(self) -> str:
        """Return all but the p-value in one line: ``53.40 −1.50✓* [−2.80, −0.20]``."""
        return " ".join(part for part in (self.main + self.marks, self.detail) if part)


def cell_text(cell: TableCell, column: TableColumn) -> CellText:
    """Return the texts of a cell; digits and signs follow the column."""
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
        return CellText(number(cell.value, digits), detail=bounds)
    if column.form == "effect":
        return CellText(signed(cell.value, digits) + spread, "", marks, bounds, _p(cell))
    if column.form == "count":
        return CellText(_count(cell))
    if cell.change is None:
        return CellText(number(cell.value, digits))
    unit = f" {cell.change_unit}" if cell.change_unit else ""
    changed = f"{signed(cell.change, digits)}{spread}{unit}"
    shown_marks = marks if column.form == "score" else ""
    return CellText(number(cell.value, digits), changed, shown_marks, bounds, _p(cell))


def _p(cell: TableCell) -> str:
    p = cell.adjusted_p
    return "" if p is None else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _rank(cell: TableCell) -> str:
    span = "" if cell.rank_low is None else f"{cell.rank_low}–{cell.rank_high}"
    if cell.rank is None:
        return f"({span})" if span else cell.text
    return str(cell.rank) if cell.rank_low == cell.rank_high else f"{cell.rank} ({span})"


def _count(cell: TableCell) -> str:
    if cell.total is None:
        return "–" if cell.count is None else str(cell.count)
    certain = f" ({cell.certain})" if cell.certain is not None else ""
    return f"{cell.count}/{cell.total}{certain}"


def row_title(row: TableRow) -> str:
    """Return the method of a row with its tags."""
    front = f" {FRONT}" if row.pareto else ""
    return row.method + (" (control)" if row.kind == "control" else "") + front


def row_texts(table: Table, row: TableRow) -> list[CellText]:
    """Return the texts of a row; its method has the tags, detectable changes a ± sign."""
    texts = [cell_text(cell, column) for cell, column in zip(row.cells, table.columns, strict=True)]
    for position, column in enumerate(table.columns):
        if column.key == "method":
            texts[position] = CellText(row_title(row))
        elif (
            row.kind == "detectable" and position >= table.heads and not row.cells[position].absent
        ):
            texts[position] = CellText(f"±{texts[position].main}")
    return texts


def shown_columns(table: Table) -> list[int]:
    """Return the columns to print: all but the step where all methods have the same one."""
    return [
        position
        for position, column in enumerate(table.columns)
        if column.key != "step" or table.several_steps
    ]


def column_title(table: Table, column: TableColumn) -> str:
    """Return the header of a column; a metric of no domain is called by its own name."""
    return table.metric if column.title == NO_DOMAIN and table.metric else column.title


def full_title(table: Table) -> str:
    """Return the title with the direction, and the step where all methods have the same."""
    steps = {row.shown_step for row in table.rows if row.kind == "method"} - {""}
    step = f", step {next(iter(steps))}" if table.key == "matrix" and len(steps) == 1 else ""
    return f"{table.title}{step}" + (f", {table.direction}" if table.direction else "")
