"""The columns of the leaderboard.

To add one, add an entry to `BOARD_COLUMNS`. Every format shows it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from harness.analysis.effects import Estimated
from harness.analysis.leaderboard import Leaderboard, Standing
from harness.analysis.tables import Evidence, Form, Mark, TableCell
from harness.storage.reader import shown_step

NONE = TableCell(absent="–")


@dataclass(frozen=True)
class BoardColumn:
    """A column of the leaderboard.

    Attributes:
        key: short unique name, for exports.
        title: the header; ``{control}`` is replaced by the leaderboard's control.
        description: for the legend; empty where the header says it all.
        cell: makes the cell of a method.
        form: how the cell is printed, see `harness.analysis.tables`.
        shown: whether a leaderboard has the column; default: always.
    """

    key: str
    title: str
    description: str
    cell: Callable[[Standing, Leaderboard], TableCell]
    form: Form
    shown: Callable[[Leaderboard], bool] = lambda board: True
    digits: int = 2


def _rank(standing: Standing, board: Leaderboard) -> TableCell:
    rank = standing.rank
    text = "over" if standing.in_budget is False and not standing.control else ""
    return TableCell(
        rank=rank.value, rank_low=rank.low, rank_high=rank.high, text=text, note=rank.reason
    )


def name_cell(standing: Standing, board: Leaderboard) -> TableCell:
    """Return the cell with the name of a method."""
    return TableCell(text=standing_name(standing, board))


def standing_name(standing: Standing, board: Leaderboard) -> str:
    """A method, with its run and model where there are several."""
    if not board.several:
        return standing.method
    return f"{standing.run} / {standing.model} / {standing.method}"


def _distance(standing: Standing, board: Leaderboard) -> TableCell:
    if standing.distance is None:
        reason = "; ".join(standing.reasons)
        return TableCell(absent="failed" if standing.failed else "not run", note=reason)
    return TableCell(value=standing.distance.value)


def _improvement(standing: Standing, board: Leaderboard) -> TableCell:
    if standing.distance is None:
        return NONE
    if standing.improvement is not None:
        return effect_cell(standing.improvement)
    if standing.shift is None:
        return TableCell(absent="undefined", mark="undefined", note=UNDEFINED)
    return TableCell(
        value=standing.shift.value,
        interval=standing.shift.interval,
        interval_covers=standing.shift.covers,
        mark="undefined",
        note=UNDEFINED,
    )


UNDEFINED = (
    "the base is not significantly different from the ideal: mean signed change instead of "
    "improvement"
)


def effect_cell(estimate: Estimated | None) -> TableCell:
    """A cell of form ``effect``: an estimate with its interval, better above zero."""
    if estimate is None:
        return NONE
    mark: Mark = "same"
    if estimate.value:
        mark = "better" if estimate.value > 0 else "worse"
    return TableCell(
        value=estimate.value,
        interval=estimate.interval,
        interval_covers=estimate.covers if estimate.interval is not None else "",
        mark=mark,
        evidence=_evidence(estimate),
    )


def _evidence(estimate: Estimated) -> Evidence | None:
    """Means over cells are not tested; an interval without zero is the evidence there is."""
    return "untested" if estimate.interval is None else None


def _net(standing: Standing, board: Leaderboard) -> TableCell:
    if standing.net is None:
        return NONE
    cell = effect_cell(standing.net.effect)
    other = standing.net.control != board.control
    return replace(cell, note=f"minus {standing.net.control}") if other else cell


def _in_domain(standing: Standing, board: Leaderboard) -> TableCell:
    return effect_cell(standing.in_domain)


def _transfer(standing: Standing, board: Leaderboard) -> TableCell:
    return effect_cell(standing.transfer)


def _harmed(standing: Standing, board: Leaderboard) -> TableCell:
    return TableCell(
        count=standing.harmed,
        total=standing.compared,
        certain=standing.surely_harmed,
        mark="worse" if standing.harmed else "same",
    )


def _dose(standing: Standing, board: Leaderboard) -> TableCell:
    return NONE if standing.dose is None else TableCell(value=standing.dose)


def _stopped(standing: Standing, board: Leaderboard) -> TableCell:
    return TableCell(text=shown_step(0, standing.stops)) if standing.stops else NONE


def _undefined(standing: Standing, board: Leaderboard) -> TableCell:
    return TableCell(count=standing.undefined, total=standing.compared)


def _measured(standing: Standing, board: Leaderboard) -> TableCell:
    return TableCell(count=standing.compared, total=standing.expected)


BOARD_COLUMNS: tuple[BoardColumn, ...] = (
    BoardColumn("rank", "#", "", _rank, "rank"),
    BoardColumn("method", "method", "", name_cell, "text"),
    BoardColumn("distance", "distance", "", _distance, "number"),
    BoardColumn(
        "improvement",
        "improvement",
        "how much nearer to the ideal than the base; ~ or undefined: the base may be at the ideal, "
        "so the mean change",
        _improvement,
        "effect",
    ),
    BoardColumn(
        "net", "net of {control}", "", _net, "effect", lambda board: board.control is not None
    ),
    BoardColumn("in_domain", "on source", "", _in_domain, "effect"),
    BoardColumn("transfer", "elsewhere", "", _transfer, "effect"),
    BoardColumn(
        "harmed",
        "scores harmed",
        "further from the ideal (of these significant; exploratory)",
        _harmed,
        "count",
    ),
    BoardColumn(
        "dose",
        "dose",
        "KL from the base on neutral text, nats a token",
        _dose,
        "number",
        lambda board: board.dose is not None,
        digits=4,
    ),
    BoardColumn(
        "stopped",
        "stopped at",
        "",
        _stopped,
        "text",
        lambda board: any(standing.stops for standing in board.standings),
    ),
    BoardColumn(
        "undefined",
        "undefined",
        "",
        _undefined,
        "count",
        lambda board: any(standing.undefined for standing in board.standings),
    ),
    BoardColumn(
        "measured",
        "scores measured",
        "",
        _measured,
        "count",
        lambda board: any(s.compared < s.expected for s in board.standings),
    ),
)
"""The columns of the leaderboard in their order; the language metrics follow."""
