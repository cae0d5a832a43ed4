"""The leaderboard and what follows from it, as typed tables."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

from harness.analysis.leaderboard import LanguageCost, Leaderboard, Standing
from harness.analysis.leaderboard_columns import (
    BOARD_COLUMNS,
    NONE,
    BoardColumn,
    effect_cell,
    name_cell,
    standing_name,
)
from harness.analysis.matched_cost import FEWEST_STEPS, Matched
from harness.analysis.matrix_tables import stops_in_words
from harness.analysis.stats import FitSummary
from harness.analysis.tables import Mark, Table, TableCell, TableColumn, TableRow
from harness.storage.reader import Column


def leaderboard_table(board: Leaderboard) -> Table:
    """The leaderboard: methods nearest to the ideal first, controls without a rank."""
    columns = [column for column in BOARD_COLUMNS if column.shown(board)]
    language = list(dict.fromkeys(c for s in board.standings for c, _ in s.costs))
    titles = _language_titles(language)
    return Table(
        key="leaderboard",
        title=_in_unit("Leaderboard: mean distance of the bias scores to their ideals", board),
        columns=(
            *(_titled(c, board) for c in columns),
            *(
                TableColumn(
                    f"language:{'/'.join(column)}",
                    titles[column],
                    "language metric, and its change from the base",
                    "cost",
                )
                for column in language
            ),
        ),
        rows=tuple(
            _board_row(
                standing,
                board,
                [
                    *(column.cell(standing, board) for column in columns),
                    *(_cost(dict(standing.costs).get(column)) for column in language),
                ],
            )
            for standing in board.standings
        ),
        legend=tuple(_board_legend(board, columns)),
        notes=tuple(_board_notes(board)),
        heads=2,
        unit=board.unit,
    )


def _titled(column: BoardColumn, board: Leaderboard) -> TableColumn:
    """A column of the leaderboard with the name of its control."""
    title = column.title.format(control=board.control or "control")
    return TableColumn(column.key, title, column.description, column.form, column.digits)


def _in_unit(title: str, board: Leaderboard) -> str:
    """A title with the unit of the numbers below it."""
    return f"{title}, in {board.unit}" if board.unit else title


def _language_titles(columns: Sequence[Column]) -> dict[Column, str]:
    """The metric, with evaluator, protocol and domain where they differ between columns."""
    titles = {}
    for column in columns:
        title = column.metric.replace("_", " ")
        alike = [other for other in columns if other.metric == column.metric and other != column]
        if any(other.evaluator != column.evaluator for other in alike):
            title += f" {column.evaluator}"
        if any(other.protocol != column.protocol for other in alike):
            title += f" {column.protocol}"
        if any(other.domain != column.domain for other in alike):
            title += f" {column.domain}"
        titles[column] = title
    return titles


def _cost(cost: LanguageCost | None) -> TableCell:
    if cost is None:
        return NONE
    return TableCell(
        value=cost.value,
        change=cost.change,
        change_unit=cost.unit,
        interval=cost.interval,
        evidence="untested" if cost.interval is None else None,
    )


def _board_row(standing: Standing, board: Leaderboard, cells: Sequence[TableCell]) -> TableRow:
    return TableRow(
        "control" if standing.control else "method",
        tuple(cells),
        model=standing.model,
        method=standing_name(standing, board),
        pareto=standing.pareto,
    )


def _board_legend(board: Leaderboard, columns: Sequence[BoardColumn]) -> list[str]:
    """Two lines: columns that their header does not explain, then the marks."""
    titled = [_titled(column, board) for column in columns]
    parts = [f"{column.title}: {column.description}" for column in titled if column.description]
    marks = ["[ ]: 95 % interval", "no rank: nothing gained, or too uncertain"]
    if any(s.pareto for s in board.standings):
        marks.append("◆: no other method improves more at a lower or equal cost (Pareto front)")
    return ["; ".join(parts) + ".", "; ".join(marks) + "."]


def _board_notes(board: Leaderboard) -> list[str]:
    notes = []
    if board.differences:
        what = "; ".join(board.differences[:6])
        if len(board.differences) > 6:
            what += f"; and {len(board.differences) - 6} more"
        if board.left_out:
            notes.append(f"Left out, because it differs: {', '.join(board.left_out)}: {what}.")
        else:
            notes.append(
                f"Not ranked together, because the runs differ: {what}. --only-comparable leaves "
                "the others out."
            )
    if board.other_scores:
        names = ", ".join(
            f"{name} in {unit}" if unit else name for name, unit in board.other_scores
        )
        units = {unit for _, unit in board.other_scores} - {board.unit, ""}
        hint = f" --unit {shlex.quote(min(units))} ranks by those." if len(units) == 1 else ""
        notes.append(f"In no mean here, for it has another unit or no ideal value: {names}.{hint}")
    stops = [stop for standing in board.standings for stop in standing.stops]
    if stops:
        notes.append(stops_in_words(stops))
    if board.budget is not None:
        notes.append(
            f"over: costs more than {board.budget:g} % by the language metric, or its cost is not "
            "known; not ranked."
        )
    unranked = [s for s in board.standings if s.rank.low is not None and s.rank.value is None]
    if unranked:
        notes.append(
            f"{len(unranked)} methods have no rank, because the data cannot tell their place: "
            "# shows the ranks that each could have."
        )
    notes += [f"No interval of {few}." for few in board.few]
    for s in board.standings:
        if 0 < s.compared < s.expected:
            name = standing_name(s, board)
            notes.append(f"{name}: {s.compared} of {s.expected} scores are measured.")
    return notes


def nets_table(board: Leaderboard) -> Table | None:
    """Methods by controls: improvement net of each control; None for fewer than two controls."""
    names = list(dict.fromkeys(net.control for s in board.standings for net in s.nets))
    if len(names) < 2:
        return None
    rows = []
    for standing in board.standings:
        if standing.nets:
            nets = {net.control: net.effect for net in standing.nets}
            cells = [name_cell(standing, board), *(effect_cell(nets.get(name)) for name in names)]
            rows.append(_board_row(standing, board, cells))
    return Table(
        key="nets",
        title=_in_unit("Net of each control", board),
        columns=(
            TableColumn("method", "method"),
            *(TableColumn(name, f"net of {name}", form="effect") for name in names),
        ),
        rows=tuple(rows),
        legend=(
            "Improvement minus that of one control a column, on the same items, with 95 % "
            "intervals. –: the control cannot be compared with that method.",
        ),
    )


def fits_table(board: Leaderboard) -> Table | None:
    """Improvement, and that net of the control, over fits; None where methods have one fit."""
    rows = []
    for s in board.standings:
        if s.over_fits is not None:
            net = s.net.over_fits if s.net is not None else None
            cells = [
                name_cell(s, board),
                TableCell(count=s.over_fits.n),
                _summary(s.over_fits),
                _summary(net),
            ]
            rows.append(_board_row(s, board, cells))
    if not rows:
        return None
    control = board.control or "control"
    return Table(
        key="fits",
        title=_in_unit("Over fits alone", board),
        columns=(
            TableColumn("method", "method"),
            TableColumn("fits", "fits", form="count"),
            TableColumn("improvement", "improvement", form="effect"),
            TableColumn("net", f"net of {control}", form="effect"),
        ),
        rows=tuple(rows),
        legend=(
            "Footnote: mean ± standard deviation over fits, with a 95 % t interval over fits on "
            "the same items. What other items would give is in the intervals above.",
        ),
    )


def _summary(summary: FitSummary | None) -> TableCell:
    if summary is None:
        return NONE
    mark: Mark = "same" if not summary.mean else "better" if summary.mean > 0 else "worse"
    return TableCell(
        value=summary.mean,
        spread=summary.sd,
        interval=summary.interval,
        interval_covers="fits",
        mark=mark,
    )


def matched_table(board: Leaderboard, *, dosed: bool = False) -> Table | None:
    """Methods by costs: improvement, and that net of the control, at the same cost.

    Args:
        board: of one or more runs.
        dosed: at the same dose (divergence from the base) instead of the same language cost.

    Returns:
        None where no curve of a method was measured around a common cost.
    """
    metric_column = board.dose if dosed else board.language
    levels = board.doses if dosed else board.levels
    if not levels or metric_column is None:
        return None
    rows, missing = [], []
    for standing in board.standings:
        cells = [name_cell(standing, board)]
        read = standing.dosed if dosed else standing.matched
        for at_cost in read:
            cells += [_matched(at_cost, net=False), _matched(at_cost, net=True)]
        if any(at_cost.gain is not None for at_cost in read):
            rows.append(_board_row(standing, board, cells))
        elif not standing.control:
            missing.append(standing_name(standing, board))
    if not rows:
        return None
    columns = [TableColumn("method", "method")]
    for cost in levels:
        at = f"at {cost:.3g}" if dosed else f"at +{cost:.3g} %"
        columns.append(TableColumn(f"at:{cost:.6g}", at, form="effect"))
        columns.append(TableColumn(f"net:{cost:.6g}", f"net {at}", form="effect"))
    metric = metric_column.metric.replace("_", " ")
    what = "the same dose" if dosed else "the same language ability"
    notes = []
    if missing:
        notes.append(
            f"Not measured at {FEWEST_STEPS} steps around any of these: {', '.join(missing)}."
        )
    return Table(
        key="dosed" if dosed else "matched",
        title=_in_unit(f"At {what}", board),
        columns=tuple(columns),
        rows=tuple(rows),
        legend=(
            f"Improvement where each curve over steps first crosses one {metric}"
            + (" (nats a token from the base)" if dosed else ", in percent above the base's")
            + ", read between measured steps; net: minus that of the control at the same cost. "
            f"95 % intervals; ± standard deviation over fits. –: fewer than {FEWEST_STEPS} "
            "measured steps around that cost.",
        ),
        notes=tuple(notes),
    )


def _matched(at_cost: Matched, *, net: bool) -> TableCell:
    estimate, spread = (at_cost.net, at_cost.net_spread) if net else (at_cost.gain, at_cost.spread)
    if estimate is None:
        return TableCell(absent="–", note=at_cost.reason)
    return replace(effect_cell(estimate), spread=spread.sd if spread is not None else None)


def board_tables(board: Leaderboard) -> list[Table]:
    """The leaderboard and the tables that follow from it, those that have rows."""
    tables = [
        leaderboard_table(board),
        nets_table(board),
        matched_table(board, dosed=True),
        matched_table(board),
        fits_table(board),
    ]
    return [table for table in tables if table is not None]
