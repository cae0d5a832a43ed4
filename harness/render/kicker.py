"""A few words about a run, printed above its verdict."""

from __future__ import annotations

from harness.analysis.matrix import Matrix
from harness.analysis.verdict import Verdict
from harness.render.tables.numbers import signed
from harness.storage.cells import is_control
from harness.storage.reader import shown_step


def kicker(matrix: Matrix, answer: Verdict) -> list[str]:
    """Return the name of the run, its model, its size, its steps and its cost.

    Args:
        matrix: of the run.
        answer: its verdict.
    """
    rows = [row for row in matrix.pooled if not is_control(row.cell)]
    models = list(dict.fromkeys(row.cell.model for row in rows)) or [m for m, _ in matrix.base]
    sources = {row.cell.source for row in rows if row.cell.source}
    targets = {entry.column.domain for row in rows for entry in row.entries if entry.role == "bias"}
    stops = [stop for row in rows for stop in row.stops]
    steps = {row.shown_step for row in rows}
    parts = [matrix.name, ", ".join(dict.fromkeys(models))]
    if sources and targets:
        parts.append(f"{_many(len(sources), 'source')} × {_many(len(targets), 'target')}")
    if answer.fits:
        parts.append(f"{_many(answer.fits, 'fit')} per method")
    if stops:
        parts.append(f"stopped at step {shown_step(0, stops)}")
    elif len(steps) == 1:
        parts.append(f"step {next(iter(steps))}")
    if answer.cost is not None:
        low, high = (signed(value, 1) for value in (answer.cost.low, answer.cost.high))
        span = low if low == high else f"{low} to {high}"
        unit = f" {answer.cost.unit}" if answer.cost.unit else ""
        parts.append(f"{answer.cost.column.metric.replace('_', ' ')} {span}{unit}")
    return parts


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
