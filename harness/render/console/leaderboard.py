"""The leaderboard on the console: readable at 80 columns and at 100."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from harness.analysis.controls import MeanNet
from harness.analysis.interval import Interval
from harness.analysis.leaderboard import Leaderboard, Standing
from harness.analysis.matched_cost import Matched
from harness.analysis.reported import Publication, ReportedNumber
from harness.analysis.stats import SeedSummary
from harness.analysis.transfer import Estimated
from harness.render.console.ruled import Ruled
from harness.render.console.terminal import Terminal

WIDTH = 100
MOST_WARNINGS = 4

INTERVAL = 14
"""Width of a printed interval."""

NAME = 20
"""Width that the name of a method is left with at least."""


def print_leaderboard(console: Terminal, found: Leaderboard | Sequence[Standing]) -> None:
    """Print methods by distance to the target, with what they cost beside it."""
    board = found if isinstance(found, Leaderboard) else Leaderboard(tuple(found), (), None, None)
    width = min(WIDTH, console.width)
    console.print(_table(board), width=width)
    for line in _legend(board):
        console.print(line, style="dim", width=width)
    _nets(console, board, width)
    _matched(console, board, width)
    _warnings(console, board, width)
    failed = sum(standing.failed for standing in board.standings)
    if failed:
        console.alert(f"{failed} entries failed", "and are left out of the means", "red")
    for standing in board.standings:
        for reason in standing.reasons:
            console.alert("failed", f"{_name(standing, _several(board))}: {reason}", "red")
    for publication in board.reported:
        _reported(console, publication, width)


def _table(board: Leaderboard) -> Table:
    table = Table(
        title="Leaderboard: mean distance of the bias scores to their target",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    several = _several(board)
    language = board.language
    label = f"{language.metric} {language.protocol}" if language else None
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("method", overflow="fold", min_width=14)
    for title in ("distance", "net\nof control"):
        table.add_column(title, justify="right", no_wrap=True)
    for title in ("source\nothers", "harmed"):
        table.add_column(title, justify="right", no_wrap=True)
    others = [k for k in dict.fromkeys(k for s in board.standings for k in s.cost) if k != label]
    if label is not None and language is not None:
        table.add_column(language.metric, justify="right", overflow="fold", max_width=10)
    shown = [label] if label else []
    if label is None:  # no cost metric of which less is better: show what there is
        shown = others[:1]
        for name in shown:
            table.add_column(name.replace("_", " "), justify="right", max_width=10)
    place = 0
    for standing in board.standings:
        known = standing.distance is not None
        ranked = not standing.control and standing.in_budget is not False and known
        place += ranked
        mark = str(place) if ranked else "" if standing.control or not known else "over"
        heading = Text(_name(standing, several) + (" ◆" if standing.pareto else ""))
        table.add_row(
            mark,
            heading.append(" control", "dim") if standing.control else heading,
            _two(
                Text(f"{_number(standing.distance)} ").append_text(_signed(standing.improvement)),
                standing.mean,
            )
            if known
            else Text("failed", "bold red")
            if standing.failed
            else Text("not run", "dim"),
            _two(_signed(standing.net.value) if standing.net else Text("-"), standing.net),
            _signed(standing.in_domain).append("\n").append_text(_signed(standing.transfer)),
            _harm(standing),
            *[_cost(standing, own, own == label) for own in shown],
        )
    return table


def _two(first: Text, own: Estimated | None) -> Text:
    """A number, and its interval below."""
    text = first.copy()
    _append_interval(text, own.interval if own else None)
    return text


def _harm(standing: Standing) -> Text:
    sure = f"\n{standing.surely_harmed} surely" if standing.surely_harmed else ""
    colour = "red" if standing.harmed else ""
    return Text(f"{standing.harmed}/{standing.compared}{sure}", colour)


def _cost(standing: Standing, label: str, is_language: bool) -> Text:
    known = standing.cost.get(label)
    if known is None:
        return Text("-")
    if is_language and standing.cost_increase is not None:
        return Text(f"{known[0]:.2f}").append(f"\n{standing.cost_increase:+.1f} %", "dim")
    return Text(f"{known[0]:.2f} {known[1]:+.2f}")


def _legend(board: Leaderboard) -> list[str]:
    lines = [
        "distance: mean distance to the target in points (0 is the ideal), improvement on the base "
        "and its 95 % interval over items; net of control: improvement minus that of the control "
        "on the same items; source, others: mean improvement on the source domain, on the other "
        "domains; harmed: scores further from their target than the base's",
    ]
    if any(s.pareto for s in board.standings):
        lines.append("◆ Pareto front: no other method improves more at a lower or equal cost")
    if board.budget is not None:
        lines.append(
            f"over: costs more than {board.budget:g} % of the base's language metric, or its cost "
            "is not known; not ranked"
        )
    by_control: dict[str, list[str]] = {}
    for s in board.standings:
        if s.net_of:
            by_control.setdefault(s.net_of, []).append(s.method)
    for control, methods in by_control.items():
        whom = "all methods" if len(by_control) == 1 else ", ".join(methods)
        lines.append(f"control of {whom}: {control}")
    for s in board.standings:
        if 0 < s.compared < s.expected:
            lines.append(f"{s.method}: {s.compared} of {s.expected} scores are measured")
    return lines


def _nets(console: Terminal, board: Leaderboard, width: int) -> None:
    """Methods by controls, and the spread over seeds."""
    several = _several(board)
    seeds = [s for s in board.standings if s.over_seeds is not None]
    if seeds:
        header = ["method", "seeds", "improvement", "net of control", "of"]
        rows = [
            [
                _name_text(s, several),
                Text(str(s.over_seeds.n) if s.over_seeds else ""),
                _seeds(s.over_seeds),
                _seeds(next((n.over_seeds for n in s.nets if n.control == s.net_of), None)),
                Text(s.net_of or ""),
            ]
            for s in seeds
        ]
        title = "Over seeds: mean ± standard deviation, 95 % t interval"
        console.print(Ruled(title, header, rows, left=1), width=width)
    controls = list(dict.fromkeys(n.control for s in board.standings for n in s.nets))
    if len(controls) > 1:
        title = "Net of each control: mean improvement minus the control's"
        console.print(_net_grid(board, controls, title, width), width=width)


def _net_grid(board: Leaderboard, controls: Sequence[str], title: str, width: int) -> Ruled:
    """Controls in columns where they all fit and there is one seed, else in rows."""
    several = _several(board)
    methods = [(_name_text(s, several), {n.control: n for n in s.nets}) for s in board.standings]
    methods = [(name, nets) for name, nets in methods if nets]
    names = [name.replace(" + ", "\n+ ") for name in controls]
    room = sum(max(INTERVAL, *map(len, name.split("\n"))) + 1 for name in names)
    seeds = any(net.over_seeds for _, nets in methods for net in nets.values())
    if not seeds and room <= width - NAME:
        rows = [[name, *(_net(nets.get(own)) for own in controls)] for name, nets in methods]
        return Ruled(f"{title}, over items", ["method", *names], rows, left=1)
    rows = [
        [name if first else Text(), Text(own), _net(net), _seeds(net.over_seeds)]
        for name, nets in methods
        for first, (own, net) in zip([True, *[False] * len(nets)], nets.items(), strict=False)
    ]
    return Ruled(title, ["method", "minus control", "over items", "over seeds"], rows, left=2)


def _matched(console: Terminal, board: Leaderboard, width: int) -> None:
    if not board.levels or board.language is None:
        return
    several = _several(board)
    rows, missing = [], []
    for s in board.standings:
        if any(m.value is not None for m in s.matched):
            rows.append([_name_text(s, several), *(_at_cost(m) for m in s.matched)])
        else:
            missing.append(_name(s, several))
    header = ["method", *(f"+{cost:.3g} %" for cost in board.levels)]
    title = (
        f"At the same language ability: improvement where {board.language.metric} is so much above "
        "the base's"
    )
    console.print(Ruled(title, header, rows, left=1), width=width)
    lines = [
        "read between measured steps, never beyond; - not reached; net: minus the control's at "
        "the same cost; 95 % intervals over items; ± standard deviation over seeds",
    ]
    if missing:
        lines.append(
            "reach none of these, or were fitted at once and have no curve: " + ", ".join(missing)
        )
    for line in lines:
        console.print(line, style="dim", width=width)


def _at_cost(own: Matched) -> Text:
    if own.value is None:
        return Text("-", "dim")
    text = _points(own.value, own.over_seeds)
    _append_interval(text, own.interval)
    if own.net is not None:
        text.append("\nnet ", "dim").append_text(_points(own.net, own.net_over_seeds))
        _append_interval(text, own.net_interval)
    return text


def _append_interval(text: Text, interval: Interval | None) -> None:
    if interval is not None:
        text.append(f"\n[{interval.low:+.1f}, {interval.high:+.1f}]", "dim")


def _points(value: float, over_seeds: SeedSummary | None) -> Text:
    colour = "green" if value > 0 else "red" if value < 0 else "dim"
    text = Text(f"{value:+.2f}".replace("-0.00", "+0.00"), colour)
    if over_seeds is not None and over_seeds.sd is not None:
        text.append(f" ±{over_seeds.sd:.2f}", "dim")
    return text


def _seeds(own: SeedSummary | None) -> Text:
    if own is None:
        return Text("-", "dim")
    text = _points(own.mean, own)
    _append_interval(text, own.interval)
    return text


def _net(own: MeanNet | None) -> Text:
    if own is None:
        return Text("-", "dim")
    text = _points(own.effect.value, None)
    _append_interval(text, own.effect.interval)
    return text


def _warnings(console: Terminal, board: Leaderboard, width: int) -> None:
    for standing in board.standings:
        for line in standing.warnings[:MOST_WARNINGS]:
            console.alert("warning", f"{standing.method}: {line}", "yellow", width=width)
        more = len(standing.warnings) - MOST_WARNINGS
        if more > 0:
            console.alert(f"{more} more warnings", f"of {standing.method}", "yellow", width=width)


def _reported(console: Terminal, publication: Publication, width: int) -> None:
    """A publication's numbers, in a section of their own."""
    console.alert("Reported, not measured here:", publication.citation, "bold", width=width)
    console.print(publication.note, style="dim", width=width)
    last: dict[tuple[str, str | None], int] = {}
    for number in publication.numbers:
        name = (number.model, number.method)
        last[name] = max(last.get(name, 0), number.step or 0)
    groups: dict[tuple[str, str | None, str], list[ReportedNumber]] = {}
    for number in publication.numbers:
        if (number.step or 0) == last[number.model, number.method]:
            kind = f"{number.evaluator} {number.metric}"
            groups.setdefault((number.model, number.method, kind), []).append(number)
    for (model, method, kind), numbers in groups.items():
        values = ", ".join(
            f"{n.domain} {n.value:g}" if n.domain not in ("none", "overall") else f"{n.value:g}"
            for n in numbers
        )
        step = f", step {numbers[0].step}" if numbers[0].step else ""
        line = f"  {model} {method or '(base)'}{step}: {kind}: {values}"
        console.print(line, width=width)


def _several(board: Leaderboard) -> bool:
    return len({(s.run, s.model) for s in board.standings}) > 1


def _name_text(standing: Standing, several: bool) -> Text:
    return Text(_name(standing, several)).append(" control" if standing.control else "", "dim")


def _name(standing: Standing, several: bool) -> str:
    parts = [standing.run, standing.model] if several else []
    return " / ".join([*parts, standing.method])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _signed(value: float | None) -> Text:
    if value is None:
        return Text("-")
    return Text().append(f"{value:+.2f}", _colour(value))


def _colour(value: float) -> str:
    return "green" if value > 0 else "red" if value < 0 else "dim"
