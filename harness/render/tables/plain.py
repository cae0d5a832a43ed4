"""Tables for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from harness.analysis.leaderboard import Standing
from harness.analysis.matrix_builder import Matrix, SeedRow
from harness.analysis.transfer import transfers
from harness.render.safe_text import json_text


def matrix_json(matrix: Matrix) -> str:
    """One object an entry, with the cell it belongs to."""
    entries = []
    for row in matrix.rows:
        cell = row.cell.model_dump(exclude={"measures"})
        for entry in row.entries:
            entries.append(
                {
                    **cell,
                    "step": row.step,
                    **entry.column._asdict(),
                    "status": entry.status,
                    "reason": entry.reason,
                    "base": entry.base.value if entry.base else None,
                    "value": entry.after.value if entry.after else None,
                    "n": entry.after.n if entry.after else None,
                    "change": entry.change,
                    "improvement": entry.improvement,
                    "gained": entry.test.gained if entry.test else None,
                    "lost": entry.test.lost if entry.test else None,
                    "p": entry.p,
                    "adjusted_p": entry.adjusted_p,
                    "detectable": entry.detectable,
                    "interval": entry.interval,
                    "improvement_interval": entry.improvement_interval,
                    "shared_items": entry.shared,
                    "warning": entry.warning,
                }
            )
    found = {
        "run": matrix.name,
        "correction": matrix.correction,
        "entries": entries,
        "seeds": [_seeds(row) for row in matrix.seeds],
        "transfer": [asdict(own) for own in transfers(matrix)],
    }
    return json_text(found)


def _seeds(row: SeedRow) -> dict[str, Any]:
    cell = row.cell.model_dump(exclude={"measures", "seed", "fit_key"})
    entries = [
        {
            **entry.column._asdict(),
            "seeds": entry.seeds,
            "value": entry.value._asdict(),
            "change": entry.change._asdict(),
            "improvement": entry.improvement._asdict(),
            "p": entry.p,
            "adjusted_p": entry.adjusted_p,
        }
        for entry in row.entries
    ]
    return {**cell, "step": row.step, "entries": entries}


def leaderboard_json(standings: Sequence[Standing]) -> str:
    """One object a method, best first."""
    rows = [{**asdict(standing), "improvement": standing.improvement} for standing in standings]
    return json_text(rows)
