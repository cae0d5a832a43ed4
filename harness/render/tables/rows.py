"""The rows of a matrix as tables show them: seeds summarised, one computation in one row."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace

from harness.analysis.matrix import Matrix, Row, SeedRow
from harness.storage.cells import MethodNames, in_common
from harness.storage.reader import Column

SMALLEST = "smallest change to see"
"""Heading of the row with the smallest detectable changes."""

ANY = "any"
"""Shown as the source of what is the same from every source."""


def shown_rows(matrix: Matrix, *, each_seed: bool = False) -> list[Row | SeedRow]:
    """Rows in their order, fewer where that loses nothing.

    Several seeds become one row with their mean, unless each is asked for. A fit that reads no
    source, passage or mask (`dropout`, `identity`) is one computation with the same scores for
    each of them: it is shown once.
    """
    rows = list[Row | SeedRow](matrix.rows) if each_seed else _summarised(matrix)
    found: dict[tuple[object, ...], list[Row | SeedRow]] = {}
    for number, row in enumerate(rows):
        cell = row.cell
        name: tuple[object, ...] = (
            cell.model,
            cell.debiaser,
            row.step,
            cell.seed,
            cell.fit_key,
        )
        known = found.get(name)
        if known and (cell.fit_key is None or known[0].entries != row.entries):
            name = (*name, number)
        found.setdefault(name, []).append(row)
    every = {row.cell.source for row in rows}
    return [_in_one(same, every) for same in found.values()]


def _in_one(rows: Sequence[Row | SeedRow], every: Set[str | None]) -> Row | SeedRow:
    """One row of those that are one computation, without the axes that make no difference."""
    cell = in_common([row.cell for row in rows])
    sources = list(dict.fromkeys(row.cell.source for row in rows))
    if len(sources) > 1:
        name = ANY if set(sources) == every else ", ".join(s or "" for s in sources)
        cell = cell.model_copy(update={"source": name})
    return replace(rows[0], cell=cell)


def _summarised(matrix: Matrix) -> list[Row | SeedRow]:
    """Rows with those of several seeds replaced by their summary."""
    found: list[Row | SeedRow] = []
    summaries = {(own.cell.identity.without("seed"), own.step): own for own in matrix.seeds}
    shown: set[tuple[object, ...]] = set()
    for row in matrix.rows:
        name = (row.cell.identity.without("seed"), row.step)
        if name not in summaries:
            found.append(row)
        elif name not in shown:
            shown.add(name)
            found.append(summaries[name])
    return found


def row_name(row: Row | SeedRow, names: MethodNames, *, seed: bool = True) -> str:
    """Name of the row's method, with its seed (0 is left out) or with how many seeds it has."""
    words = names.name(row.cell)
    if isinstance(row, SeedRow):
        return words + (f", {max(len(e.seeds) for e in row.entries)} seeds" if row.entries else "")
    return words + (f", seed {row.cell.seed}" if seed and row.cell.seed else "")


def smallest_changes(matrix: Matrix) -> dict[Column, float]:
    """For each column the smallest change that its items would likely show.

    Of a share it is the same for every cell of the same items; of other metrics the largest.
    """
    found: dict[Column, float] = {}
    for row in matrix.rows:
        for e in row.entries:
            if e.detectable is not None:
                found[e.column] = max(found.get(e.column, 0.0), e.detectable)
    return found
