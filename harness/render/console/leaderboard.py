"""What `harness leaderboard` shows."""

from __future__ import annotations

from harness.analysis.leaderboard import Leaderboard
from harness.analysis.leaderboard_columns import standing_name
from harness.analysis.leaderboard_tables import board_tables
from harness.analysis.reported import Publication, ReportedNumber
from harness.render.console.failures import print_failures
from harness.render.console.tables import print_with_legend
from harness.render.console.terminal import Terminal

MOST_WARNINGS = 4


def print_leaderboard(console: Terminal, board: Leaderboard) -> None:
    """Print methods by distance to the ideal, with what they cost."""
    for table in board_tables(board):
        print_with_legend(console, table)
    _warnings(console, board)
    failed = sum(standing.failed for standing in board.standings)
    if failed:
        console.alert(f"{failed} entries failed", "and are left out of the means", "red")
    print_failures(
        console,
        [(standing_name(s, board), reason) for s in board.standings for reason in s.reasons],
    )
    for publication in board.reported:
        _reported(console, publication)


def _warnings(console: Terminal, board: Leaderboard) -> None:
    for standing in board.standings:
        for line in standing.warnings[:MOST_WARNINGS]:
            console.alert("warning", f"{standing.method}: {line}", "yellow")
        more = len(standing.warnings) - MOST_WARNINGS
        if more > 0:
            console.alert(f"{more} more warnings", f"of {standing.method}", "yellow")


def _reported(console: Terminal, publication: Publication) -> None:
    """A publication's numbers, in a section of their own."""
    console.alert("Reported, not measured here:", publication.citation, "bold")
    console.print(publication.note, style="dim")
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
        console.print(line)
