"""The two halves of a score (stereotype and anti-stereotype pairs) before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.analysis.fits import Fit, fit_of
from harness.analysis.matrix_builder import Column, Entry, Matrix
from harness.metrics import Metric
from harness.storage.cells import is_control

MOST_FITS = 20
"""Rows of a panel."""


class Move(NamedTuple):
    """One score before and after."""

    name: str
    items: int
    before: float
    after: float


@dataclass(frozen=True)
class HalvesRow:
    """A method and source: its halves, their balanced mean, and the score of all items."""

    fit: Fit
    seeds: int
    moves: tuple[Move, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class HalvesPanel:
    """The halves of one paired suite and domain, a row for each method and source.

    Attributes:
        column: the score of all pairs.
        ideal: of each score.
        rows: in the order of the matrix; controls are left out.
        fits: how many methods and sources there are; `rows` are fewer where only the largest
            changes are shown.
        unit: of a change.
    """

    column: Column
    ideal: float
    rows: tuple[HalvesRow, ...]
    fits: int
    unit: str = ""


def halves_panels(matrix: Matrix) -> list[HalvesPanel]:
    """Return a panel for each column that has halves, with the means over seeds.

    Of many fits, those whose halves moved most are shown.
    """
    panels = []
    for column in matrix.columns:
        groups: dict[Fit, list[Entry]] = {}
        for row in matrix.rows:
            entry = row.entry(column)
            if entry is not None and entry.halves and not is_control(row.cell):
                groups.setdefault(fit_of(row.cell, matrix.names), []).append(entry)
        rows = []
        ideal = 50.0
        for fit, entries in groups.items():
            moves = [_moves(entry) for entry in entries]
            names = dict.fromkeys(name for move in moves for name in move)
            mean = tuple(
                _mean(name, [move[name] for move in moves if name in move]) for name in names
            )
            warnings = tuple(entry.warning for entry in entries if entry.warning)
            rows.append(HalvesRow(fit, len(entries), mean, warnings))
            target = entries[0].base.direction.target if entries[0].base else None
            ideal = ideal if target is None else target
        if rows:
            unit = matrix.unit(column).change
            panels.append(HalvesPanel(column, ideal, _moved_most(rows), len(rows), unit))
    return panels


def _moved_most(rows: Sequence[HalvesRow]) -> tuple[HalvesRow, ...]:
    if len(rows) <= MOST_FITS:
        return tuple(rows)
    sizes = [max((abs(m.after - m.before) for m in row.moves), default=0.0) for row in rows]
    chosen = sorted(range(len(rows)), key=lambda k: -sizes[k])[:MOST_FITS]
    return tuple(rows[k] for k in sorted(chosen))


def _moves(entry: Entry) -> dict[str, Move]:
    parts: list[tuple[str, Metric | None, Metric | None]] = [
        (half.name, half.base, half.after) for half in entry.halves
    ]
    if entry.balanced:
        parts.append(("balanced", entry.balanced.base, entry.balanced.after))
    parts.append(("all", entry.base, entry.after))
    return {
        name: Move(name, after.n, before.value, after.value)
        for name, before, after in parts
        if before is not None and before.value is not None
        if after is not None and after.value is not None
    }


def _mean(name: str, moves: Sequence[Move]) -> Move:
    n = len(moves)
    before, after = sum(m.before for m in moves) / n, sum(m.after for m in moves) / n
    return Move(name, moves[0].items, before, after)
