"""The leaderboard as rows of text."""

from __future__ import annotations

from harness.analysis.interval import Interval
from harness.analysis.leaderboard import Leaderboard, Standing
from harness.analysis.stats import SeedSummary
from harness.analysis.transfer import Estimated
from harness.render.tables.numbers import interval, number, signed

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
