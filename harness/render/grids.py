"""The transfer matrix as small grids, one for each method: sources down, targets across.

The console, the HTML page and the exported figure lay out the same grids. A grid holds the typed
cells of `harness.analysis.tables`; nothing here computes a number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.analysis.tables import RowKind, Table, TableCell
from harness.analysis.units import PERCENT
from harness.render import palette
from harness.render.tables.cell_text import column_title
from harness.render.tables.numbers import signed

ANY_SOURCE = "any"
"""Heading of the only row of a grid whose method learns from no source."""


@dataclass(frozen=True)
class GridCell:
    """A cell of a grid.

    Attributes:
        cell: the typed cell of the matrix.
        text: the signed improvement, or the signed change where improvement is undefined.
        shade: name of its colour in `palette`; empty for none.
        undefined: whether `text` is a change that is neither better nor worse.
    """

    cell: TableCell
    text: str
    shade: str = ""
    undefined: bool = False


@dataclass(frozen=True)
class Grid:
    """One method, model and step.

    Attributes:
        method: its name.
        kind: ``method`` or ``control``.
        step: of all its rows.
        targets: names of the columns.
        rows: source and cells of each row.
    """

    method: str
    kind: RowKind
    step: int | None
    targets: tuple[str, ...]
    rows: tuple[tuple[str, tuple[GridCell, ...]], ...]


def grids(table: Table) -> list[Grid]:
    """Return the grids of one matrix table, in the order of its rows, methods before controls."""
    targets = tuple(column_title(table, column) for column in table.columns[table.heads :])
    lines = [row for row in table.rows if row.kind in ("method", "control")]
    scores = [cell for row in lines for cell in row.cells[table.heads :]]
    strongest = max((abs(c.improvement) for c in scores if c.improvement is not None), default=0.0)
    digits = 1 if table.unit == PERCENT.change else 2
    groups: dict[tuple[str, RowKind, int | None], list[tuple[str, tuple[GridCell, ...]]]] = {}
    for row in lines:
        cells = tuple(_cell(cell, strongest, digits) for cell in row.cells[table.heads :])
        key = (row.method, row.kind, row.step)
        groups.setdefault(key, []).append((row.source or ANY_SOURCE, cells))
    grids_of_table = [
        Grid(method, kind, step, targets, tuple(rows))
        for (method, kind, step), rows in groups.items()
    ]
    return sorted(grids_of_table, key=lambda grid: grid.kind == "control")


def what_is_shown(table: Table) -> str:
    """Return what the numbers of the grids of a table are, from its unit and direction."""
    ideal = table.direction.removeprefix("ideal ")
    if ideal != table.direction:
        return f"{table.unit or 'change,'} nearer to (+) or further from (−) {ideal}"
    unit = f", {table.unit}" if table.unit else ""
    return f"improvement{unit} ({table.direction})"


def _cell(cell: TableCell, strongest: float, digits: int) -> GridCell:
    if cell.absent or cell.change is None:
        return GridCell(cell, cell.absent or "–")
    if cell.improvement is None:
        return GridCell(cell, signed(cell.change, digits), undefined=cell.mark == "undefined")
    shade = palette.level(cell.improvement, strongest, significant=cell.significant)
    side = "better" if cell.improvement > 0 else "worse"
    return GridCell(cell, signed(cell.improvement, digits), f"{side}-{shade}" if shade else "")


def bias_tables(tables: Iterable[Table]) -> list[Table]:
    """Return the matrix tables of bias metrics that have grids, the most readable first.

    That is one in the unit of most of them, with most targets whose improvement is defined, then
    with most targets. A target whose base is at its ideal has only changes to show.
    """
    with_grids = [table for table in tables if table.role == "bias" and grids(table)]
    units = Counter(table.unit for table in with_grids)

    def readable(table: Table) -> tuple[int, int, int]:
        columns = list(zip(*(row.cells[table.heads :] for row in table.rows), strict=True))
        defined = [any(c.improvement is not None and c.evidence != "exact" for c in column)
                   for column in columns]  # fmt: skip
        return units[table.unit], sum(defined), len(columns)

    return sorted(with_grids, key=readable, reverse=True)


def width_of(shown: Sequence[Grid]) -> int:
    """Return the number of targets of the widest grid."""
    return max((len(grid.targets) for grid in shown), default=0)
