"""The leaderboard on the console: readable at 80 columns and at 100."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.leaderboard import Leaderboard, Standing
from harness.reported import Publication, ReportedNumber
from harness.transfer import Estimated

WIDTH = 100
MOST_WARNINGS = 4


def print_leaderboard(console: Console, found: Leaderboard | Sequence[Standing]) -> None:
    """Print methods by distance to the target, with what they cost beside it."""
    board = found if isinstance(found, Leaderboard) else Leaderboard(tuple(found), None, None, None)
    width = min(WIDTH, console.width)
    console.print(_table(board), width=width)
    for line in _legend(board):
        console.print(line, style="dim", highlight=False, markup=False, width=width)
    _matched(console, board, width)
    _warnings(console, board, width)
    failed = sum(standing.failed for standing in board.standings)
    if failed:
        console.print(f"[red]{failed} entries failed[/] and are left out of the means")
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
    several = len({(s.run, s.model) for s in board.standings}) > 1
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
        ranked = not standing.control and standing.in_budget is not False
        place += ranked
        mark = str(place) if ranked else "" if standing.control else "over"
        name = escape(_name(standing, several)) + (" ◆" if standing.pareto else "")
        table.add_row(
            mark,
            name + (" [dim]control[/]" if standing.control else ""),
            _two(f"{_number(standing.distance)} {_signed(standing.improvement)}", standing.mean),
            _two(_signed(standing.net.value) if standing.net else "-", standing.net),
            f"{_signed(standing.in_domain)}\n{_signed(standing.transfer)}",
            _harm(standing),
            *[_cost(standing, own, own == label) for own in shown],
        )
    return table


def _two(first: str, own: Estimated | None) -> str:
    """A number, and its interval below."""
    if own is None or own.interval is None:
        return first
    return f"{first}\n[dim]\\[{own.interval.low:+.1f}, {own.interval.high:+.1f}][/]"


def _harm(standing: Standing) -> str:
    text = f"{standing.harmed}/{standing.compared}"
    if standing.harmed:
        text = f"[red]{text}[/]"
    sure = f"\n[red]{standing.surely_harmed} surely[/]" if standing.surely_harmed else ""
    return text + sure


def _cost(standing: Standing, label: str, is_language: bool) -> str:
    known = standing.cost.get(label)
    if known is None:
        return "-"
    if is_language and standing.cost_increase is not None:
        return f"{known[0]:.2f}\n[dim]{standing.cost_increase:+.1f} %[/]"
    return f"{known[0]:.2f} {known[1]:+.2f}"


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
    controls = {s.method: s.net_of for s in board.standings if s.net_of}
    lines += [f"control of {method}: {control}" for method, control in controls.items()]
    for standing in board.standings:
        own = standing.over_seeds
        if own is not None and own.interval is not None and own.sd is not None:
            lines.append(
                f"{standing.method}: improvement over {own.n} seeds {own.mean:+.2f} ± "
                f"{own.sd:.2f}, 95 % t interval [{own.interval.low:+.2f}, {own.interval.high:+.2f}]"
            )
    return lines


def _matched(console: Console, board: Leaderboard, width: int) -> None:
    if board.matched_at is None or board.language is None:
        return
    console.print(
        f"[bold]At the same language ability[/]: every curve read where {board.language.metric} "
        f"is {board.matched_at:.2f} % above the base's (between measured steps, never beyond)",
        highlight=False,
        width=width,
    )
    known = [s for s in board.standings if s.matched is not None]
    for standing in sorted(known, key=lambda s: -(s.matched or 0.0)):
        control = " [dim]control[/]" if standing.control else ""
        line = f"  {_signed(standing.matched)}  {escape(standing.method)}{control}"
        console.print(line, highlight=False, width=width)
    for standing in board.standings:
        if standing.matched is None:
            line = f"  does not reach it: {standing.method}"
            console.print(line, style="dim", highlight=False, markup=False, width=width)


def _warnings(console: Console, board: Leaderboard, width: int) -> None:
    for standing in board.standings:
        for line in standing.warnings[:MOST_WARNINGS]:
            text = f"[yellow]warning[/] {escape(standing.method)}: {escape(line)}"
            console.print(text, highlight=False, width=width)
        more = len(standing.warnings) - MOST_WARNINGS
        if more > 0:
            text = f"[yellow]{more} more such warnings[/] of {escape(standing.method)}"
            console.print(text, highlight=False, width=width)


def _reported(console: Console, publication: Publication, width: int) -> None:
    """A publication's numbers, in a section of their own."""
    console.print(
        f"[bold]Reported, not measured here[/]: {escape(publication.citation)}",
        highlight=False,
        width=width,
    )
    console.print(publication.note, style="dim", highlight=False, markup=False, width=width)
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
        console.print(line, highlight=False, markup=False, width=width)


def _name(standing: Standing, several: bool) -> str:
    parts = [standing.run, standing.model] if several else []
    return " / ".join([*parts, standing.method])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _signed(value: float | None) -> str:
    if value is None:
        return "-"
    colour = "green" if value > 0 else "red" if value < 0 else "dim"
    return f"[{colour}]{value:+.2f}[/]"
