"""The transfer matrix and the leaderboard as sheets: plain cells that a format lays out.

A cell is a value, its change with a mark for better or worse and a star, and an interval. So
Markdown, LaTeX and HTML say the same and differ in nothing but layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.controls import is_control
from harness.entries import ALPHA, Entry, Matrix, OverSeeds, Row, SeedRow
from harness.reading import Column
from harness.render.rows import ANY, row_name, shown_rows, smallest_changes
from harness.standings import Leaderboard, Standing
from harness.stats import Interval, SeedSummary
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
        name = row_name(row)
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


Rows = tuple[list[str], list[list[str]]]
"""A header and rows of text."""


def leaderboard_table(board: Leaderboard, *, intervals: bool = True) -> Rows:
    """The leaderboard as text; controls have no rank, nor has what failed.

    Args:
        board: methods, best first.
        intervals: put 95 % intervals beside the means that have one.
    """
    standings = board.standings
    costs = list(dict.fromkeys(label for s in standings for label in s.cost))
    header = ["#", "method", "distance", "improvement", "harmed (surely)", "net of control"]
    header += [*costs, "in-domain", "transfer"]
    short = any(s.compared < s.expected for s in standings)
    if short:
        header.append("measured")
    rows = []
    rank = 0
    for s in standings:
        ranked = not s.control and s.distance is not None
        rank += ranked
        cells = [
            str(rank) if ranked else "",
            standing_name(s, board) + (" ◆" if s.pareto else ""),
            "failed" if s.distance is None and s.failed else number(s.distance),
            _estimated(s.mean, intervals) if s.mean else signed(s.improvement),
            f"{s.harmed}/{s.compared} ({s.surely_harmed})",
            _estimated(s.net, intervals),
        ]
        for label in costs:
            value = s.cost.get(label)
            cells.append("–" if value is None else f"{number(value[0])} ({signed(value[1])})")
        cells += [signed(s.in_domain), signed(s.transfer)]
        if short:
            cells.append(f"{s.compared}/{s.expected}")
        rows.append(cells)
    return header, rows


def standing_name(standing: Standing, board: Leaderboard) -> str:
    """A method, with its run and model where there are several."""
    name = standing.method + (" (control)" if standing.control else "")
    if len({(s.run, s.model) for s in board.standings}) > 1:
        name = f"{standing.run}/{standing.model}: {name}"
    return name


def nets_table(board: Leaderboard) -> Rows | None:
    """Methods by controls: mean improvement net of each; None for fewer than two controls."""
    names = list(dict.fromkeys(n.control for s in board.standings for n in s.nets))
    if len(names) < 2:
        return None
    rows = []
    for s in board.standings:
        if s.nets:
            own = {n.control: n.effect for n in s.nets}
            cells = [_estimated(own.get(name), intervals=True) for name in names]
            rows.append([standing_name(s, board), *cells])
    return ["method", *(f"net of {name}" for name in names)], rows


def seeds_table(board: Leaderboard) -> Rows | None:
    """Improvement, and that net of the control, over seeds; None where there is but one."""
    rows = []
    for s in board.standings:
        if s.over_seeds is not None:
            net = next((n.over_seeds for n in s.nets if n.control == s.net_of), None)
            rows.append(
                [
                    standing_name(s, board),
                    str(s.over_seeds.n),
                    _summary(s.over_seeds),
                    _summary(net),
                    s.net_of or "",
                ]
            )
    header = ["method", "seeds", "improvement over seeds", "net of control over seeds", "control"]
    return (header, rows) if rows else None


def matched_table(board: Leaderboard) -> Rows | None:
    """Methods by costs: improvement, and that net of the control at the same cost."""
    if not board.levels:
        return None
    rows = []
    for s in board.standings:
        cells = []
        for m in s.matched:
            text = _with_bounds(_spread(m.value, m.over_seeds), m.interval)
            net = _with_bounds(_spread(m.net, m.net_over_seeds), m.net_interval)
            cells.append(text if m.net is None else f"{text} (net {net})")
        if any(m.value is not None for m in s.matched):
            rows.append([standing_name(s, board), *cells])
    header = ["method", *(f"at +{cost:.3g} %" for cost in board.levels)]
    return (header, rows) if rows else None


def _summary(own: SeedSummary | None) -> str:
    if own is None:
        return "–"
    return _with_bounds(_spread(own.mean, own), own.interval)


def _with_bounds(text: str, own: Interval | None) -> str:
    return f"{text} {interval(*own)}" if own else text


def _spread(value: float | None, over_seeds: SeedSummary | None) -> str:
    sd = over_seeds.sd if over_seeds is not None else None
    return signed(value) + (f" ± {number(sd)}" if sd is not None else "")


def _estimated(value: Estimated | None, intervals: bool) -> str:
    if value is None:
        return "–"
    return _with_bounds(signed(value.value), value.interval if intervals else None)


LEADERBOARD_NOTE = (
    "distance: mean distance of the bias scores to their ideal, in points; improvement: how much "
    "nearer than the base; harmed: scores further from their ideal than the base's (surely: "
    "corrected p < 0.05); net of control: improvement minus that of the control most like the "
    "method, on the same items; then the mean language score and its change; in-domain, transfer: "
    "mean improvement on the source itself and on the other domains; ◆: on the Pareto front of "
    "improvement and language"
)

NETS_NOTE = "mean improvement minus that of each control, on the same items; 95 % intervals"
SEEDS_NOTE = "mean ± standard deviation over seeds, 95 % t interval"


def matched_note(board: Leaderboard) -> str:
    """What the columns of the table at the same language ability are."""
    language = board.language.metric if board.language else "the language metric"
    return (
        f"improvement where each curve over steps first crosses the same {language}, in percent "
        "above the base's, read between measured steps and never beyond; net: minus the control's "
        "at the same cost; 95 % intervals over items; ± standard deviation over seeds; methods "
        "that reach none of these costs or were fitted at once are left out"
    )


def controls_note(board: Leaderboard) -> str:
    """Which control was subtracted from which methods."""
    by_control: dict[str, list[str]] = {}
    for s in board.standings:
        if s.net_of:
            by_control.setdefault(s.net_of, []).append(s.method)
    return "; ".join(
        f"control of {'all methods' if len(by_control) == 1 else ', '.join(methods)}: {control}"
        for control, methods in by_control.items()
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
