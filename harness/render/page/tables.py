"""What the page of a run says, as plain data: numbers formatted, drawings made, nothing in HTML."""

from __future__ import annotations

from dataclasses import dataclass

from harness.analysis.effects import Estimated
from harness.analysis.leaderboard import Leaderboard
from harness.analysis.leaderboard_tables import board_tables as typed_boards
from harness.analysis.matrix import Matrix
from harness.analysis.matrix_tables import matrix_tables
from harness.analysis.tables import Table as TypedTable
from harness.analysis.tables import TableCell, TableColumn
from harness.analysis.transfer import Transfer, transfers
from harness.render.tables.cell_text import cell_text, row_texts
from harness.render.tables.numbers import interval, number, signed

LEVELS = 5
"""Shades of the heat map on either side of no change."""


@dataclass(frozen=True)
class Table:
    """A table of text: the first column heads its rows; ``left`` columns are flush left.

    A cell may have a second line, in small print.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1


@dataclass(frozen=True)
class HeatCell:
    """A cell of the heat map, ready to print."""

    value: str
    change: str = ""
    interval: str = ""
    mark: str = "same"
    level: int = 0
    significant: bool = False
    own: bool = False
    reason: str = ""
    """Why there is no score; or the smallest change that these data can see."""
    absent: bool = False


@dataclass(frozen=True)
class HeatLine:
    """A row of the heat map."""

    method: str
    source: str
    step: int
    control: bool
    base: bool
    cells: tuple[HeatCell, ...]
    again: bool = False
    """Whether the row above is of the same method."""


@dataclass(frozen=True)
class HeatMap:
    """A typed table with shades.

    Attributes:
        sheet: the table.
        targets: headers of its score columns.
        reach: the improvement of the darkest shade.
        step: the step of all rows; None where they differ.
        smallest: the minimum detectable change of each column, empty where none is known.
    """

    sheet: TypedTable
    targets: tuple[str, ...]
    reach: float
    lines: tuple[HeatLine, ...]
    step: int | None = None
    smallest: tuple[str, ...] = ()


def heat_maps(matrix: Matrix, *, each_seed: bool = False) -> list[HeatMap]:
    """The matrix with each cell's shade, on one scale a table."""
    found = []
    for table in matrix_tables(matrix, each_seed=each_seed):
        columns = table.columns[table.heads :]
        scores = [cell for row in table.rows for cell in row.cells[table.heads :]]
        reach = max((abs(c.improvement) for c in scores if c.improvement is not None), default=0.0)
        shown = [row for row in table.rows if row.kind != "detectable"]
        lines = tuple(
            HeatLine(
                row.method,
                row.source,
                row.step or 0,
                row.kind == "control",
                row.kind == "base",
                tuple(
                    _heat_cell(cell, column, reach)
                    for cell, column in zip(row.cells[table.heads :], columns, strict=True)
                ),
                again=k > 0 and shown[k - 1].method == row.method,
            )
            for k, row in enumerate(shown)
        )
        steps = {row.step for row in table.rows if row.kind == "method"}
        least = [row for row in table.rows if row.kind == "detectable"]
        smallest = [text.main for row in least for text in row_texts(table, row)[table.heads :]]
        step = next(iter(steps)) if len(steps) == 1 else None
        titles = tuple(column.title for column in columns)
        found.append(HeatMap(table, titles, reach, lines, step, tuple(smallest)))
    return found


def _heat_cell(cell: TableCell, column: TableColumn, reach: float) -> HeatCell:
    if cell.absent:
        return HeatCell(cell.absent, reason=cell.note, absent=cell.absent != "–")
    level = 0
    if cell.improvement and reach > 0:
        level = max(1, min(LEVELS, round(abs(cell.improvement) / reach * LEVELS)))
    text = cell_text(cell, column)
    value, _, change = text.main.partition(" ")
    return HeatCell(
        value=value,
        change=change,
        interval=text.detail,
        mark=cell.mark,
        level=level if cell.mark in ("better", "worse") else 0,
        significant=cell.significant,
        own=cell.own,
        reason=_reason(cell),
    )


def _reason(cell: TableCell) -> str:
    """What to show when a reader points at a cell."""
    parts = [cell.note]
    if cell.detectable is not None:
        parts.append(f"minimum detectable change: {number(cell.detectable)}")
    return "; ".join(part for part in parts if part)


def transfer_tables(matrix: Matrix) -> list[Table]:
    """Transfer of each method, a table a bias metric: a ratio, or the reason why there is none."""
    groups: dict[str, list[tuple[str, ...]]] = {}
    for own in transfers(matrix):
        if not own.control:
            title = f"{own.metric} ({own.evaluator}, {own.protocol})"
            groups.setdefault(title, []).append(_transfer(own))
    header = ("method", "on the source", "on other domains", "ratio", "nearer (significant)",
              "harmed (significant)", "source harmed")  # fmt: skip
    return [Table(title, header, tuple(rows)) for title, rows in groups.items()]


def _transfer(own: Transfer) -> tuple[str, ...]:
    ratio = own.ratio
    if ratio.value is None:
        shown = f"none\n{ratio.reason}"
    else:
        bounds = interval(*ratio.interval) if ratio.interval else ratio.reason or ""
        shown = f"{number(ratio.value)}\n{bounds}".strip()
    return (
        own.method,
        _mean(own.on_sources),
        _mean(own.on_targets),
        shown,
        f"{own.gained}/{own.compared} ({own.surely_gained})",
        f"{own.harmed}/{own.compared} ({own.surely_harmed})",
        f"{own.source_harmed}/{own.sources}",
    )


@dataclass(frozen=True)
class Board:
    """A table of the leaderboard, and the lines below it."""

    title: str
    table: Table
    lines: tuple[str, ...]


def board_tables(board: Leaderboard) -> list[Board]:
    """The leaderboard and what follows from it; each row is headed by its method."""
    return [_board(table) for table in typed_boards(board) if table.rows]


def _board(table: TypedTable) -> Board:
    order = sorted(range(len(table.columns)), key=lambda k: not table.columns[k].left)
    rows = []
    for row in table.rows:
        texts = row_texts(table, row)
        rows.append(
            tuple(_two_lines(texts[k].main + texts[k].marks, texts[k].detail) for k in order)
        )
    header = tuple(table.columns[k].title for k in order)
    return Board(
        table.title, Table(table.title, header, tuple(rows)), (*table.legend, *table.notes)
    )


def _two_lines(main: str, detail: str) -> str:
    return f"{main}\n{detail}" if detail else main


def _mean(value: Estimated | None) -> str:
    if value is None:
        return "undefined"
    bounds = interval(*value.interval) if value.interval else ""
    return f"{signed(value.value)}\n{bounds}".strip()
