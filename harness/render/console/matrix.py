"""What `harness matrix` shows: the answer, the long tables, and what was transferred."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text

from harness.analysis.effects import Estimated
from harness.analysis.gains import Ratio
from harness.analysis.interval import Interval
from harness.analysis.matrix import Matrix
from harness.analysis.matrix_tables import matrix_tables
from harness.analysis.transfer import Transfer, transfers
from harness.analysis.verdict import Verdict
from harness.render import palette
from harness.render.console.failures import print_failures
from harness.render.console.first_screen import print_first_screen
from harness.render.console.ruled import Ruled
from harness.render.console.tables import Below, print_legends, print_table
from harness.render.console.terminal import Terminal
from harness.render.kicker import kicker
from harness.render.tables.numbers import interval, number, signed

MOST_WARNINGS = 6


def print_matrix(
    console: Terminal,
    matrix: Matrix,
    answer: Verdict,
    *,
    below: Below = "nothing",
    each_seed: bool = False,
    long: bool = True,
) -> None:
    """Print the verdict with its grids, then a table for each evaluator, protocol and metric.

    Args:
        console: the console to print to; all of its width is used.
        matrix: of a run.
        answer: its verdict.
        below: what the second line of a cell shows.
        each_seed: a row for each fit instead of one over fits.
        long: print the tables too.
    """
    print_first_screen(console, kicker(matrix, answer), answer.text, matrix_tables(matrix))
    if long:
        tables = matrix_tables(matrix, each_seed=each_seed)
        for table in tables:
            print_table(console, table, below=below)
        print_legends(console, tables, matrix.notes)
        print_warnings(console, matrix)
        print_transfer(console, transfers(matrix, pairs=False))
    print_failures(console, matrix.failures)


def print_warnings(console: Terminal, matrix: Matrix) -> None:
    """Print what a reader must know of single cells."""
    warnings = [
        f"{row.cell.title()} -> {entry.column.domain}: {entry.warning}"
        for row in matrix.pooled
        for entry in row.entries
        if entry.warning
    ]
    for line in warnings[:MOST_WARNINGS]:
        console.alert("warning", line, "yellow")
    if len(warnings) > MOST_WARNINGS:
        more = f"{len(warnings) - MOST_WARNINGS} more warnings; --json shows all of them"
        console.say(more, "yellow")


def print_transfer(console: Terminal, transfers: Iterable[Transfer]) -> None:
    """Print how much of each method's improvement reaches other domains, gain and harm alike."""
    groups: dict[tuple[str, str, str], list[Transfer]] = {}
    for transfer in transfers:
        idle = transfer.control and not transfer.gained and not transfer.harmed
        if transfer.compared and not idle:
            key = (transfer.metric, transfer.evaluator, transfer.unit)
            groups.setdefault(key, []).append(transfer)
    header = ["method", "on source", "source\nharmed", "elsewhere", "ratio"]
    header += ["nearer\n(significant)", "harmed\n(significant)"]
    for (metric, evaluator, unit), rows in groups.items():
        title = f"Transfer: {metric} ({evaluator})" + (f", {unit}" if unit else "")
        console.print(Ruled(title, header, [_transfer(row) for row in rows]))
    if groups:
        console.print(
            "Improvement on the sources and elsewhere, with 95 % intervals; ratio: the "
            "second by the first, undefined unless the gain on the source is significant; nearer, "
            "harmed: scores of other domains (of these significant; exploratory).",
            style="dim",
        )
    for transfer in (row for rows in groups.values() for row in rows):
        for a in transfer.asymmetries:
            between = a.difference.interval
            if between is not None and between.excludes(0.0):
                console.print(
                    f"{transfer.method} ({transfer.evaluator}): {a.first} to {a.second} gives more "
                    f"than back by {signed(a.difference.value)} {interval(*between)}"
                )


def _transfer(row: Transfer) -> list[Text]:
    return [
        Text(row.method).append(" control" if row.control else "", "dim"),
        _estimated(row.on_sources),
        _count(row.source_harmed, row.sources, None, "worse"),
        _estimated(row.on_targets),
        _ratio(row.ratio),
        _count(row.gained, row.compared, row.surely_gained, "better"),
        _count(row.harmed, row.compared, row.surely_harmed, "worse"),
    ]


def _count(count: int, of: int, certain: int | None, side: str) -> Text:
    text = f"{count}/{of}" + ("" if certain is None else f" ({certain})")
    return Text(text, palette.TERMINAL[side] if certain else "" if count else "dim")


def _estimated(estimated: Estimated | None) -> Text:
    if estimated is None:
        return Text("undefined", "dim")
    side = "better" if estimated.value > 0 else "worse" if estimated.value < 0 else ""
    colour = palette.TERMINAL.get(side, "dim")
    return _with_bounds(Text(signed(estimated.value), colour), estimated.interval)


def _ratio(ratio: Ratio) -> Text:
    if ratio.value is None:
        return Text("undefined", "dim")
    return _with_bounds(Text(number(ratio.value)), ratio.interval)


def _with_bounds(text: Text, bounds: Interval | None) -> Text:
    if bounds is not None:
        text.append(f"\n{interval(*bounds, 1)}", "dim")
    return text
