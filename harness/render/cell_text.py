"""A typed cell as text: the same strings for the console, Markdown, LaTeX and HTML.

Every format lays these strings out and adds colour and escaping. None of them formats a number of
a table by itself, so a number reads the same everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.analysis.tables import Mark, TableCell, TableColumn
from harness.render.tables.numbers import interval, number, signed

Detail = Literal["interval", "p"]
"""What stands beside a change: its 95 % interval, or its corrected p-value."""

MARKS: dict[Mark, str] = {"better": "✓", "worse": "✗", "same": "", "undefined": "~"}
"""Nearer to the ideal, further from it, no change, neither."""

MARKS_LEGEND = "✓ nearer to the ideal, ✗ further from it, ~ neither can be said; * significant"


@dataclass(frozen=True)
class CellText:
    """The texts of a cell; those that do not apply are empty.

    Attributes:
        main: the value, or what stands in its place.
        change: its signed change, with the standard deviation over fits.
        detail: the interval of the change, or its corrected p-value.
        mark: one of `MARKS`.
        star: ``*`` for a significant change.
        absent: whether `main` says why there is no number.
    """

    main: str
    change: str = ""
    detail: str = ""
    mark: str = ""
    star: str = ""
    absent: bool = False

    @property
    def marks(self) -> str:
        """Mark and star."""
        return self.mark + self.star


def cell_text(cell: TableCell, column: TableColumn, detail: Detail = "interval") -> CellText:
    """Return the texts of a cell.

    Args:
        cell: of a table.
        column: the column it is in.
        detail: whether to show the interval or the corrected p-value of a change.
    """
    if cell.absent:
        return CellText(cell.absent, absent=cell.absent != "–")
    if column.form == "text":
        return CellText(cell.text)
    if column.form == "rank":
        bounds = f"{cell.rank_low}–{cell.rank_high}" if cell.rank_low is not None else ""
        return CellText(str(cell.rank) if cell.rank is not None else cell.text, detail=bounds)
    if column.form == "count":
        return _count(cell)
    if cell.value is None:
        return CellText("")
    digits = column.digits
    if column.form == "number":
        return CellText(number(cell.value, digits))
    shown = _detail(cell, detail, digits)
    mark, star = MARKS[cell.mark], "*" if cell.significant else ""
    if column.form == "effect":
        main = signed(cell.value, digits) + _spread(cell, digits)
        return CellText(main, detail=shown, mark="~" if mark == "~" else "", star=star)
    change = signed(cell.change, 1 if column.form == "cost" else digits) if _changed(cell) else ""
    if change and cell.change_unit:
        change += f" {cell.change_unit}"
    return CellText(
        number(cell.value, digits),
        change + (_spread(cell, digits) if change else ""),
        shown,
        mark if column.form == "score" else "",
        star,
    )


def _changed(cell: TableCell) -> bool:
    return cell.change is not None


def _spread(cell: TableCell, digits: int) -> str:
    return f" ± {number(cell.spread, digits)}" if cell.spread is not None else ""


def _detail(cell: TableCell, detail: Detail, digits: int) -> str:
    if detail == "p":
        p = cell.adjusted_p
        return "" if p is None else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    return interval(*cell.interval, digits) if cell.interval is not None else ""


def _count(cell: TableCell) -> CellText:
    if cell.count is None:
        return CellText("–")
    main = str(cell.count) if cell.total is None else f"{cell.count}/{cell.total}"
    return CellText(main, detail=f"({cell.certain})" if cell.certain else "")


def in_one_line(text: CellText) -> str:
    """Return a cell as one line: ``53.40 (−1.50 [−2.80, −0.20]) ✓*``."""
    inside = " ".join(part for part in (text.change, text.detail) if part)
    if text.change:
        inside = f"({inside})"
    return " ".join(part for part in (text.main, inside, text.marks) if part)
