"""The transfer matrix as tables that fit 80 and 100 columns, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text

from harness.analysis.corrections import ALPHA
from harness.analysis.effects import Estimated
from harness.analysis.gains import Ratio
from harness.analysis.interval import Interval
from harness.analysis.matrix import Matrix
from harness.analysis.matrix_tables import matrix_tables
from harness.analysis.tables import Table
from harness.analysis.transfer import Transfer, transfers
from harness.analysis.verdict import verdict
from harness.render.console.failures import print_failures
from harness.render.console.leaderboard import print_leaderboard
from harness.render.console.ruled import Ruled
from harness.render.console.tables import print_table
from harness.render.console.terminal import Terminal
from harness.render.tables.cell_text import MARK_NOTE

__all__ = ["ALPHA", "WIDTH", "print_leaderboard", "print_matrix", "print_transfer"]

WIDTH = 100
MOST_WARNINGS = 6


def print_matrix(
    console: Terminal, matrix: Matrix, *, intervals: bool = False, each_seed: bool = False
) -> None:
    """Print the verdict and a table for each evaluator, protocol and metric: sources by targets.

    Args:
        console: where to print; its width is used up to 100 columns.
        matrix: of a run.
        intervals: show the change and its interval instead of the value and the change.
        each_seed: a row for each fit instead of one over fits.
    """
    width = min(WIDTH, console.width)
    console.print(f"{matrix.name}: {verdict(matrix).text}", width=width)
    tables = matrix_tables(matrix, each_seed=each_seed)
    for table in tables:
        print_table(console, table, width, intervals=intervals)
    _legend(console, matrix, tables, width)
    print_transfer(console, transfers(matrix, pairs=False))


def _legend(console: Terminal, matrix: Matrix, tables: Iterable[Table], width: int) -> None:
    """What the tables say below them, each line once."""
    lines = [line for table in tables for line in table.legend]
    lines += [f"{MARK_NOTE}; underlined: source and target are the same."]
    lines += [line for table in tables for line in table.notes]
    for line in dict.fromkeys([*lines, *matrix.notes]):
        console.print(line, style="dim", width=width)
    warnings = [
        f"{row.cell.title()} -> {e.column.domain}: {e.warning}"
        for row in matrix.pooled
        for e in row.entries
        if e.warning
    ]
    for line in warnings[:MOST_WARNINGS]:
        console.alert("warning", line, "yellow", width=width)
    if len(warnings) > MOST_WARNINGS:
        more = f"{len(warnings) - MOST_WARNINGS} more warnings; --json shows all of them"
        console.say(more, "yellow")
    print_failures(console, matrix.failures)


def print_transfer(console: Terminal, found: Iterable[Transfer]) -> None:
    """Print how much of each method's improvement reaches other domains, gain and harm alike."""
    width = min(WIDTH, console.width)
    groups: dict[tuple[str, str], list[Transfer]] = {}
    for own in found:
        if own.compared and not (own.control and not own.gained and not own.harmed):
            groups.setdefault((own.metric, own.evaluator), []).append(own)
    header = ["method", "on the\nsource", "source\nharmed", "else-\nwhere", "ratio"]
    header += ["nearer\n(sig.)", "harmed\n(sig.)"]
    for (metric, evaluator), rows in groups.items():
        lines = [_transfer(own) for own in rows]
        title = f"Transfer: {metric} ({evaluator}), points"
        console.print(Ruled(title, header, lines, left=1), width=width)
    if groups:
        console.print(
            "Improvement on the sources and elsewhere, in points with 95 % intervals; ratio: the "
            "second by the first, undefined unless the gain on the source is significant; nearer, "
            "harmed: scores of other domains (significant ones in brackets).",
            style="dim",
            width=width,
        )
    for own in (own for rows in groups.values() for own in rows):
        for a in own.asymmetries:
            if a.difference.interval is not None and a.difference.interval.excludes(0.0):
                line = f"{own.method} ({own.evaluator}): {a.first} to {a.second} gives more than"
                line += f" back by {a.difference.value:+.2f} [{a.difference.interval.low:+.2f}, "
                line += f"{a.difference.interval.high:+.2f}]"
                console.print(line, width=width)


def _transfer(own: Transfer) -> list[Text]:
    name = Text(own.method).append(" control" if own.control else "", "dim")
    return [
        name,
        _estimated(own.on_sources),
        _count(own.source_harmed, own.sources, None, "red"),
        _estimated(own.on_targets),
        _ratio(own.ratio),
        _count(own.gained, own.compared, own.surely_gained, "green"),
        _count(own.harmed, own.compared, own.surely_harmed, "red"),
    ]


def _count(number: int, of: int, surely: int | None, colour: str) -> Text:
    text = f"{number}/{of}" + ("" if surely is None else f" ({surely})")
    return Text(text, colour if number else "dim")


def _estimated(own: Estimated | None) -> Text:
    if own is None:
        return Text("undefined", "dim")
    colour = "green" if own.value > 0 else "red" if own.value < 0 else "dim"
    return _with_bounds(Text(f"{own.value:+.2f}", colour), own.interval, "+")


def _ratio(own: Ratio) -> Text:
    if own.value is None:
        return Text("undefined", "dim")
    return _with_bounds(Text(f"{own.value:.2f}"), own.interval, "")


def _with_bounds(text: Text, interval: Interval | None, sign: str) -> Text:
    if interval is not None:
        text.append(f"\n[{interval.low:{sign}.1f}, {interval.high:{sign}.1f}]", "dim")
    return text
