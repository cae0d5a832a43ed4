"""The transfer matrix and the leaderboard as sheets: plain cells that a format lays out.

A cell is a value, its change with a mark for better or worse and a star, and an interval. So
Markdown, LaTeX and HTML say the same and differ in nothing but layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.analysis.corrections import ALPHA, CORRECTIONS
from harness.analysis.matrix import Entry, Matrix, OverSeeds, Row, SeedRow
from harness.render.tables.rows import ANY, row_name, shown_rows, smallest_changes
from harness.storage.cells import is_control
from harness.storage.reader import Column

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
    sd: float | None = None
    """Standard deviation of the change over seeds: then the interval and the star are over seeds,
    and the others are means over seeds."""
    detectable: float | None = None
    """The smallest change that these items would likely show."""


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
    """The matrix of one metric; `smallest` is the smallest change to see of each column."""

    evaluator: str
    protocol: str
    metric: str
    direction: str
    targets: tuple[str, ...]
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    smallest: tuple[float | None, ...] = ()

    @property
    def seeds(self) -> bool:
        """Whether some of its rows are over seeds."""
        scores = (score for line in self.lines for score in line.scores)
        return any(isinstance(score, Score) and score.sd is not None for score in scores)

    @property
    def anywhere(self) -> bool:
        """Whether some of its rows stand for every source."""
        return any(line.source == ANY for line in self.lines)

    @property
    def title(self) -> str:
        """Metric, evaluator and protocol in words."""
        return f"{self.metric} ({self.evaluator}, {self.protocol})"


def matrix_sheets(matrix: Matrix, *, each_seed: bool = False) -> list[Sheet]:
    """One sheet for each evaluator, protocol and metric, in the matrix's order.

    Args:
        matrix: what.
        each_seed: a row for each seed instead of their mean.
    """
    rows = shown_rows(matrix, each_seed=each_seed)
    groups: dict[tuple[str, str, str], list[Column]] = {}
    for column in matrix.columns:
        groups.setdefault((column.evaluator, column.protocol, column.metric), []).append(column)
    return [_sheet(matrix, rows, key, columns) for key, columns in groups.items()]


def _sheet(
    matrix: Matrix,
    rows: Sequence[Row | SeedRow],
    key: tuple[str, str, str],
    columns: Sequence[Column],
) -> Sheet:
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
    models = {row.cell.model for row in rows}
    for row in rows:
        found = tuple(score_of(row, column) for column in columns)
        if all(isinstance(s, Absent) and s.what == "not run" for s in found):
            continue
        name = row_name(row, matrix.names)
        if len(models) > 1:
            name = f"{row.cell.model}: {name}"
        lines.append(
            Line(name, row.cell.source or "", row.step, found, control=is_control(row.cell))
        )
    least = smallest_changes(matrix)
    return Sheet(
        *key,
        direction,
        tuple(c.domain for c in columns),
        tuple(columns),
        tuple(lines),
        tuple(least.get(column) for column in columns),
    )


def score_of(row: Row | SeedRow, column: Column) -> Score | Absent:
    """The cell of a matrix."""
    own = row.cell.source == column.domain
    if isinstance(row, SeedRow):
        found = next((e for e in row.entries if e.column == column), None)
        return Absent("not run") if found is None else _over_seeds(found, own)
    return _of_items(row.entry(column), own)


def _over_seeds(entry: OverSeeds, own: bool) -> Score:
    change = entry.change
    return Score(
        value=entry.value.mean,
        change=change.mean,
        low=change.interval.low if change.interval else None,
        high=change.interval.high if change.interval else None,
        gain=entry.improvement.mean,
        mark=_mark(entry.improvement.mean),
        significant=entry.adjusted_p is not None and entry.adjusted_p < ALPHA,
        own=own,
        sd=change.sd,
    )


def _mark(gain: float | None) -> Mark:
    return "same" if not gain else "better" if gain > 0 else "worse"


def _of_items(entry: Entry | None, own: bool) -> Score | Absent:
    if entry is None or entry.status == "missing":
        return Absent("not run")
    if entry.status == "failed":
        return Absent("failed", entry.reason)
    if entry.after is None or entry.after.value is None:
        return Absent("no value")
    return Score(
        value=entry.after.value,
        change=entry.change,
        low=entry.interval.low if entry.interval else None,
        high=entry.interval.high if entry.interval else None,
        gain=entry.improvement,
        mark=_mark(entry.improvement),
        significant=entry.significant,
        own=own,
        detectable=entry.detectable,
    )


def matrix_note(matrix: Matrix) -> str:
    """How to read a cell."""
    intervals = any(entry.interval for row in matrix.rows for entry in row.entries)
    parts = [
        "score, change from the base",
        "95 % interval of the change over items (paired bootstrap)" if intervals else "",
        f"* p < 0.05 after {CORRECTIONS[matrix.correction].title} correction over all cells shown",
        "rows of several seeds: mean change ± standard deviation, interval and star over seeds (t)"
        if matrix.seeds
        else "",
        "smallest change to see: a smaller one these items would likely miss (paired, 80 % power; "
        "shares: if 10 % of items flip; else by the bootstrap, the column's largest)"
        if smallest_changes(matrix)
        else "",
    ]
    return "; ".join(part for part in parts if part)


ANY_NOTE = "from any: the same model whatever the source, shown and tested once"
