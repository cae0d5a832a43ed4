"""Tables for machines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from harness.analysis.entry import Entry
from harness.analysis.leaderboard import Leaderboard, Standing
from harness.analysis.leaderboard_tables import board_tables
from harness.analysis.matrix import Matrix, Row
from harness.analysis.tables import Table
from harness.analysis.transfer import transfers
from harness.analysis.verdict import verdict
from harness.render.safe_text import json_text


def matrix_json(matrix: Matrix) -> str:
    """One object an entry, with the cell it belongs to.

    ``entries`` are those of single fits, ``pooled`` those of methods over their fits.
    """
    content = {
        "run": matrix.name,
        "correction": matrix.correction,
        "verdict": verdict(matrix).text,
        "entries": list(_entries(matrix, matrix.rows)),
        "pooled": list(_entries(matrix, matrix.pooled)),
        "transfer": [asdict(transfer) for transfer in transfers(matrix)],
    }
    return json_text(content)


def _entries(matrix: Matrix, rows: Iterable[Row]) -> Iterable[dict[str, Any]]:
    for row in rows:
        cell = row.cell.model_dump(exclude={"measures"})
        for entry in row.entries:
            unit = matrix.unit(entry.column).change
            stops = [stop._asdict() for stop in row.stops] or None
            about = {"step": row.step, "stopped_at": stops, "fits": row.fits}
            yield {**cell, **about, **_entry(entry, unit)}


def _entry(entry: Entry, unit: str) -> dict[str, Any]:
    return {
        **entry.column._asdict(),
        "role": entry.role,
        "status": entry.status,
        "reason": entry.reason,
        "base": entry.base.value if entry.base else None,
        "value": entry.value,
        "n": entry.after.n if entry.after else None,
        "change": entry.change,
        "unit": unit or None,
        "interval": entry.interval,
        "interval_covers": entry.covers if entry.interval else None,
        "spread": entry.spread.sd if entry.spread else None,
        "improvement": entry.improvement,
        "improvement_interval": entry.improvement_interval,
        "mark": entry.mark,
        "evidence": entry.evidence,
        "gained": entry.test.gained if entry.test else None,
        "lost": entry.test.lost if entry.test else None,
        "p": entry.p,
        "adjusted_p": entry.adjusted_p,
        "tests_in_family": entry.family or None,
        "detectable": entry.detectable,
        "shared_items": entry.shared,
        "units": entry.units,
        "note": entry.note or None,
        "warning": entry.warning,
    }


def leaderboard_json(board: Leaderboard) -> str:
    """One object a method, best first, and the tables that people see, cell by cell."""
    content = {
        "control": board.control,
        "unit": board.unit,
        "not_averaged": [{"score": name, "unit": unit} for name, unit in board.other_scores],
        "language": board.language._asdict() if board.language else None,
        "levels": board.levels,
        "dose": board.dose._asdict() if board.dose else None,
        "doses": board.doses,
        "differences": board.differences,
        "standings": [_standing(standing) for standing in board.standings],
        "tables": [table_object(table) for table in board_tables(board)],
    }
    return json_text(content)


def _standing(standing: Standing) -> dict[str, Any]:
    return {
        "run": standing.run,
        "model": standing.model,
        "method": standing.method,
        "control": standing.control,
        "rank": standing.rank.value,
        "rank_low": standing.rank.low,
        "rank_high": standing.rank.high,
        "no_rank_because": standing.rank.reason or None,
        "distance": standing.distance.value if standing.distance else None,
        "base_distance": standing.base_distance.value if standing.base_distance else None,
        "improvement": asdict(standing.improvement) if standing.improvement else None,
        "net": asdict(standing.net) if standing.net else None,
        "nets": [asdict(net) for net in standing.nets],
        "in_domain": asdict(standing.in_domain) if standing.in_domain else None,
        "transfer": asdict(standing.transfer) if standing.transfer else None,
        "gained": standing.gained,
        "harmed": standing.harmed,
        "undefined": standing.undefined,
        "surely_gained": standing.surely_gained,
        "surely_harmed": standing.surely_harmed,
        "compared": standing.compared,
        "expected": standing.expected,
        "costs": [{**column._asdict(), **asdict(cost)} for column, cost in standing.costs],
        "matched": [asdict(matched) for matched in standing.matched],
        "dose": standing.dose,
        "stopped_at": [stop._asdict() for stop in standing.stops] or None,
        "dosed": [asdict(matched) for matched in standing.dosed],
        "pareto": standing.pareto,
        "fits": standing.fits,
        "failed": standing.failed,
        "reasons": standing.reasons,
        "warnings": standing.warnings,
    }


def table_object(table: Table) -> dict[str, Any]:
    """A typed table as plain objects; fields of a cell that are not set are left out."""
    return {
        "key": table.key,
        "title": table.title,
        "legend": table.legend,
        "notes": table.notes,
        "columns": [{"key": c.key, "title": c.title, "form": c.form} for c in table.columns],
        "rows": [
            {
                "kind": row.kind,
                "method": row.method,
                "cells": [
                    {
                        name: value
                        for name, value in vars(cell).items()
                        if value is not None and value != ""
                    }
                    for cell in row.cells
                ],
            }
            for row in table.rows
        ],
    }
