"""What the page of a run says, as plain data: numbers formatted, drawings made, nothing in HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.corrections import CORRECTIONS
from harness.analysis.leaderboard import Leaderboard
from harness.analysis.matrix_builder import Entry, Matrix, Row
from harness.analysis.transfer import Estimated, Transfer, transfers
from harness.render.tables.leaderboard_table import (
    Rows,
    controls_note,
    leaderboard_table,
    matched_note,
    matched_table,
    nets_table,
    seeds_table,
)
from harness.render.tables.matrix_table import Absent, Score, Sheet, matrix_sheets
from harness.render.tables.numbers import interval, number, signed
from harness.storage.cells import is_control

LEVELS = 5
"""Shades of the heat map on either side of no change."""


@dataclass(frozen=True)
class Table:
    """A table of text: the first column heads its rows; ``left`` columns are flush left.

    A cell may have a second line, in small print.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1


@dataclass(frozen=True)
class HeatCell:
    """A cell of the heat map, ready to print."""

    value: str
    change: str = ""
    interval: str = ""
    mark: str = "same"
    level: int = 0
    significant: bool = False
    own: bool = False
    reason: str = ""
    """Why there is no score; or the smallest change that these data can see."""
    absent: bool = False


@dataclass(frozen=True)
class HeatLine:
    """A row of the heat map."""

    method: str
    source: str
    step: int
    control: bool
    base: bool
    cells: tuple[HeatCell, ...]
    again: bool = False
    """Whether the row above is of the same method."""


@dataclass(frozen=True)
class HeatMap:
    """A sheet with shades.

    Attributes:
        reach: the improvement of the darkest shade.
        step: the step of all rows; None where they differ.
        smallest: the smallest change to see of each column, empty where none is known.
    """

    sheet: Sheet
    reach: float
    lines: tuple[HeatLine, ...]
    step: int | None = None
    smallest: tuple[str, ...] = ()


def heat_maps(matrix: Matrix, *, each_seed: bool = False) -> list[HeatMap]:
    """The matrix with each cell's shade, on one scale a sheet."""
    found = []
    for sheet in matrix_sheets(matrix, each_seed=each_seed):
        scores = [s for line in sheet.lines for s in line.scores if isinstance(s, Score)]
        reach = max((abs(s.gain) for s in scores if s.gain is not None), default=0.0)
        lines = tuple(
            HeatLine(
                line.method,
                line.source,
                line.step,
                line.control,
                line.base,
                tuple(_heat_cell(score, reach) for score in line.scores),
                again=k > 0 and sheet.lines[k - 1].method == line.method,
            )
            for k, line in enumerate(sheet.lines)
        )
        steps = {line.step for line in sheet.lines if not line.base and not line.control}
        known = any(sheet.smallest)
        least = tuple(f"±{number(own)}" if own else "" for own in sheet.smallest) if known else ()
        step = next(iter(steps)) if len(steps) == 1 else None
        found.append(HeatMap(sheet, reach, lines, step, least))
    return found


def _heat_cell(score: Score | Absent, reach: float) -> HeatCell:
    if isinstance(score, Absent):
        words = "–" if score.what == "no value" else score.what
        return HeatCell(words, reason=score.reason or "", absent=score.what != "no value")
    seen = score.detectable
    level = 0
    if score.gain and reach > 0:
        level = max(1, min(LEVELS, round(abs(score.gain) / reach * LEVELS)))
    return HeatCell(
        value=number(score.value),
        change=""
        if score.change is None
        else signed(score.change) + (f" ± {number(score.sd, 1)}" if score.sd is not None else ""),
        interval=interval(score.low, score.high, 1),
        mark=score.mark,
        level=level,
        significant=score.significant,
        own=score.own,
        reason=f"these data cannot see changes under {number(seen)}" if seen else "",
    )


# -- what stands at the top ------------------------------------------------------------------


def summary(matrix: Matrix) -> list[str]:
    """The run in a few sentences, harm told as loudly as gain."""
    rows = [row for row in matrix.rows if not is_control(row.cell)]
    pairs = [(row, e) for row in rows for e in row.entries if e.status == "measured"]
    bias = [(r, e) for r, e in pairs if e.towards_target and e.improvement is not None]
    found = []
    if bias:
        inside = [e for r, e in bias if e.column.domain == r.cell.source]
        outside = [e for r, e in bias if e.column.domain != r.cell.source]
        for what, own in (("on the source itself", inside), ("on other domains", outside)):
            if own:
                found.append(_counted(what, own))
        found.append(_standing(bias, matrix))
    for label, changes in _language(pairs).items():
        low, high = min(changes), max(changes)
        span = f"{signed(low, 1)} %" if low == high else f"{signed(low, 1)} to {signed(high, 1)} %"
        found.append(f"Language ability: {label} changed by {span}.")
    detectable = [e.detectable for _, e in bias if e.detectable is not None]
    if detectable:
        found.append(
            f"These data are unlikely to show changes under {min(detectable):.1f} to "
            f"{max(detectable):.1f} points (paired test, 80 % power, 10 % of items flipping)."
        )
    seeds = {row.cell.seed for row in rows if row.cell.seed is not None}
    if len(seeds) == 1:
        found.append(
            "Every method was fitted with one seed: how much another seed would change these "
            "numbers is not known."
        )
    warned = sum(e.warning is not None for _, e in bias)
    if warned:
        found.append(
            f"In {warned} of {len(bias)} scores the aggregate moved but the balanced mean of its "
            "halves did not: rarer group words, not less stereotyping, may be behind those."
        )
    return [sentence.replace(" %", "\N{NO-BREAK SPACE}%") for sentence in found]


def _counted(what: str, entries: Sequence[Entry]) -> str:
    gains = [e.improvement for e in entries if e.improvement is not None]
    up, down = sum(g > 0 for g in gains), sum(g < 0 for g in gains)
    return (
        f"{what[0].upper()}{what[1:]}, {up} of {len(gains)} bias scores came nearer to their "
        f"ideal and {down} went further from it (mean {signed(sum(gains) / len(gains))} points)."
    )


def _standing(bias: Sequence[tuple[Row, Entry]], matrix: Matrix) -> str:
    stands = [e for _, e in bias if e.significant and e.improvement]
    better = sum((e.improvement or 0.0) > 0 for e in stands)
    correction = CORRECTIONS[matrix.correction].title
    return (
        f"After {correction} correction over all cells, {better} of the gains and "
        f"{len(stands) - better} of the harms are significant at 0.05."
    )


def _language(pairs: Sequence[tuple[Row, Entry]]) -> dict[str, list[float]]:
    """Relative changes of the metrics that have no target, in per cent, by name."""
    found: dict[str, list[float]] = {}
    for _, entry in pairs:
        if entry.towards_target or entry.change is None or entry.base is None:
            continue
        if entry.base.value:
            label = f"{entry.column.metric} ({entry.column.evaluator})"
            found.setdefault(label, []).append(100.0 * entry.change / entry.base.value)
    return found


def transfer_tables(matrix: Matrix) -> list[Table]:
    """Transfer of each method, a table a bias metric: a ratio, or the reason why there is none."""
    groups: dict[str, list[tuple[str, ...]]] = {}
    for own in transfers(matrix):
        if not own.control:
            title = f"{own.metric} ({own.evaluator}, {own.protocol})"
            groups.setdefault(title, []).append(_transfer(own))
    header = ("method", "on the source", "on other domains", "ratio", "nearer (surely)",
              "harmed (surely)", "source harmed")  # fmt: skip
    return [Table(title, header, tuple(rows)) for title, rows in groups.items()]


def _transfer(own: Transfer) -> tuple[str, ...]:
    ratio = own.ratio
    if ratio.value is None:
        shown = f"none\n{ratio.reason}"
    else:
        bounds = interval(*ratio.interval) if ratio.interval else ratio.reason or ""
        shown = f"{number(ratio.value)}\n{bounds}".strip()
    return (
        own.method,
        _mean(own.on_sources),
        _mean(own.on_targets),
        shown,
        f"{own.gained}/{own.compared} ({own.surely_gained})",
        f"{own.harmed}/{own.compared} ({own.surely_harmed})",
        f"{own.source_harmed}/{own.sources}",
    )


@dataclass(frozen=True)
class Board:
    """The leaderboard and what follows from it; tables that a run has no data for are None."""

    ranking: Table
    controls: str
    nets: Table | None
    seeds: Table | None
    matched: Table | None
    matched_note: str


def board_tables(board: Leaderboard) -> Board:
    """Tables of the leaderboard; each row is headed by its method."""
    header, rows = leaderboard_table(board)
    order = [1, 0, *range(2, len(header))]
    ranking = ([header[k] for k in order], [[row[k] for k in order] for row in rows])
    return Board(
        _of_text("Leaderboard", ranking),
        controls_note(board),
        _maybe("Net of each control", nets_table(board)),
        _maybe("Over seeds", seeds_table(board)),
        _maybe("At the same language ability", matched_table(board)),
        matched_note(board),
    )


def _maybe(caption: str, rows: Rows | None) -> Table | None:
    return None if rows is None else _of_text(caption, rows)


def _of_text(caption: str, rows: Rows) -> Table:
    header, lines = rows
    return Table(caption, tuple(header), tuple(tuple(map(_two_lines, line)) for line in lines))


def _two_lines(cell: str) -> str:
    """An interval, a change, or what is net of a control, goes to a second line."""
    return re.sub(r" (?=\[|\(net|\([+−]|\(0\.)", "\n", cell)


def _mean(value: Estimated | None) -> str:
    if value is None:
        return "–"
    bounds = interval(*value.interval) if value.interval else ""
    return f"{signed(value.value)}\n{bounds}".strip()
