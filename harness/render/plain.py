"""Tables for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from harness.leaderboard import Standing
from harness.matrix import Matrix


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
                    "p": entry.test.p if entry.test else None,
                    "adjusted_p": entry.adjusted_p,
                    "detectable": entry.detectable,
                }
            )
    return json.dumps({"run": matrix.name, "entries": entries}, indent=1, ensure_ascii=False)


def leaderboard_json(standings: Sequence[Standing]) -> str:
    """One object a method, best first."""
    rows = [{**asdict(standing), "improvement": standing.improvement} for standing in standings]
    return json.dumps(rows, indent=1, ensure_ascii=False)
