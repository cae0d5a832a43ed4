"""The transfer matrix and the leaderboard as sheets: plain cells that a format lays out.

A cell is a value, its change with a mark for better or worse and a star, and an interval. So
Markdown, LaTeX and HTML say the same and differ in nothing but layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.controls import is_control
from harness.leaderboard import Standing
from harness.matrix import Column, Entry, Matrix, Row
from harness.transfer import Estimated

Mark = Literal["better", "worse", "same"]


@dataclass(frozen=True)
class Score:
    """A score of a debiased model beside the base's."""

    value: float
    change: float | None = None
    low: float | None = None
    high: float | None = None
    gain: float | None = None
    """How much nearer to the ideal; negative is harm."""
    mark: Mark = "same"
    significant: bool = False
    own: bool = False
    """Whether the target is the domain it was debiased in."""


@dataclass(frozen=True)
class Absent:
    """No score, and why: failed, not run, or nothing to speak of."""

    what: Literal["failed", "not run", "no value"]
    reason: str | None = None


@dataclass(frozen=True)
class Line:
    """A row of a sheet: its heading, and a score for each column."""

    method: str
    source: str
    step: int
    scores: tuple[Score | Absent, ...]
    control: bool = False
    base: bool = False


@dataclass(frozen=True)
class Sheet:
    """The matrix of one metric."""

    evaluator: str
    protocol: str
    metric: str
    direction: str
    targets: tuple[str, ...]
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]

    @property
    def title(self) -> str:
        """Metric, evaluator and protocol in words."""
        return f"{self.metric} ({self.evaluator}, {self.protocol})"


def method_name(row: Row, *, seed: bool = True) -> str:
    """Debiaser, masker, and what differs from the usual: label, seed."""
    cell = row.cell
    words = " + ".join(part for part in (cell.debiaser, cell.masker) if part)
    if cell.label not in (None, "hateful"):
        words += f" ({cell.label})"
    if seed and cell.seed:
        words += f", seed {cell.seed}"
    return words


def matrix_sheets(matrix: Matrix) -> list[Sheet]:
    """One sheet for each evaluator, protocol and metric, in the matrix's order."""
    groups: dict[tuple[str, str, str], list[Column]] = {}
    for column in matrix.columns:
        groups.setdefault((column.evaluator, column.protocol, column.metric), []).append(column)
    return [_sheet(matrix, key, columns) for key, columns in groups.items()]


def _sheet(matrix: Matrix, key: tuple[str, str, str], columns: Sequence[Column]) -> Sheet:
    lines = []
    direction = ""
    for model in dict.fromkeys(model for model, _ in matrix.base):
        scores: list[Score | Absent] = []
        for column in columns:
            metric = matrix.base.get((model, column))
            if metric is not None:
                ideal = metric.direction
                direction = (
                    f"ideal {ideal.target:g}"
                    if ideal.kind == "target"
                    else f"{ideal.kind} is better"
                )
            value = metric.value if metric else None
            scores.append(Absent("no value") if value is None else Score(value))
        lines.append(Line(f"{model} (base)", "", 0, tuple(scores), base=True))
    models = {row.cell.model for row in matrix.rows}
    for row in matrix.rows:
        found = tuple(score_of(row, row.entry(column)) for column in columns)
        if all(isinstance(s, Absent) and s.what == "not run" for s in found):
            continue
        name = method_name(row)
        if len(models) > 1:
            name = f"{row.cell.model}: {name}"
        lines.append(
            Line(name, row.cell.source or "", row.step, found, control=is_control(row.cell))
        )
    return Sheet(*key, direction, tuple(c.domain for c in columns), tuple(columns), tuple(lines))


def score_of(row: Row, entry: Entry | None) -> Score | Absent:
    """The cell of a matrix."""
    if entry is None or entry.status == "missing":
        return Absent("not run")
    if entry.status == "failed":
        return Absent("failed", entry.reason)
    if entry.after is None or entry.after.value is None:
        return Absent("no value")
    gain = entry.improvement
    mark: Mark = "same" if not gain else "better" if gain > 0 else "worse"
    return Score(
        value=entry.after.value,
        change=entry.change,
        low=entry.interval.low if entry.interval else None,
        high=entry.interval.high if entry.interval else None,
        gain=gain,
        mark=mark,
        significant=entry.significant,
        own=row.cell.source == entry.column.domain,
    )


def signed(value: float | None, digits: int = 2) -> str:
    """A change with its sign, with a true minus; no sign for zero."""
    if value is None:
        return "–"
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0.0:
        return text
    return ("+" if value > 0 else "−") + text


def number(value: float | None, digits: int = 2) -> str:
    """A value, or a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """``[low, high]``, or nothing."""
    if low is None or high is None:
        return ""
    return f"[{number(low, digits)}, {number(high, digits)}]"


def leaderboard_table(
    standings: Sequence[Standing], *, intervals: bool = True
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the leaderboard as text; controls have no rank.

    Args:
        standings: best first.
        intervals: put 95 % intervals beside the means that have one.
    """
    costs = list(dict.fromkeys(label for s in standings for label in s.cost))
    models = {(s.run, s.model) for s in standings}
    header = ["#", "method", "distance", "improvement", "net of control"]
    header += ["in-domain", "transfer", "harmed", "front"]
    failed = any(s.failed for s in standings)
    if failed:
        header.append("failed")
    rows = []
    rank = 0
    for s in standings:
        rank += not s.control
        name = s.method + (" (control)" if s.control else "")
        if len(models) > 1:
            name = f"{s.run}/{s.model}: {name}"
        cells = [
            "" if s.control else str(rank),
            name,
            number(s.distance),
            _estimated(s.mean, intervals) if s.mean else signed(s.improvement),
            _estimated(s.net, intervals),
            signed(s.in_domain),
            signed(s.transfer),
            f"{s.harmed}/{s.compared}",
            "yes" if s.pareto else "",
        ]
        if failed:
            cells.append(str(s.failed))
        for label in costs:
            value = s.cost.get(label)
            cells.append("–" if value is None else f"{number(value[0])} ({signed(value[1])})")
        rows.append(cells)
    return [*header, *costs], rows


def _estimated(value: Estimated | None, intervals: bool) -> str:
    if value is None:
        return "–"
    bounds = interval(*value.interval) if intervals and value.interval else ""
    return f"{signed(value.value)} {bounds}".strip()


LEADERBOARD_NOTE = (
    "distance: mean distance of the bias scores to their ideal, in points; improvement: how much "
    "nearer than the base; net of control: improvement minus that of the control most like the "
    "method, on the same items; in-domain, transfer: mean improvement on the source itself and on "
    "the other domains; harmed: scores further from their ideal than the base's; front: on the "
    "Pareto front of improvement and language; the last columns: mean language score and its change"
)


def matrix_note(matrix: Matrix) -> str:
    """How to read a cell."""
    corrections = {"bh": "Benjamini-Hochberg", "holm": "Holm"}
    intervals = any(entry.interval for row in matrix.rows for entry in row.entries)
    parts = [
        "score, change from the base",
        "95 % interval of the change over items (paired bootstrap)" if intervals else "",
        f"* p < 0.05 after {corrections.get(matrix.correction, matrix.correction)} correction "
        "over all cells shown",
    ]
    return "; ".join(part for part in parts if part)
