"""The transfer matrix as rich tables that fit 80 and 100 columns, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.controls import is_control
from harness.entries import ALPHA, Entry, Matrix, OverSeeds, Row, SeedRow
from harness.matrix import Column
from harness.records import Cell
from harness.render.standings import print_leaderboard
from harness.stats import Interval
from harness.transfer import Estimated, Ratio, Transfer, transfers

__all__ = ["ALPHA", "WIDTH", "print_leaderboard", "print_matrix", "print_transfer"]

WIDTH = 100
MOST_WARNINGS = 6
MOST_METHOD, MOST_SOURCE = 26, 14

CORRECTIONS = {"bh": "Benjamini-Hochberg", "holm": "Holm"}


def print_matrix(
    console: Console, matrix: Matrix, *, intervals: bool = False, each_seed: bool = False
) -> None:
    """Print a table for each evaluator, protocol and metric: sources by targets.

    Args:
        console: where to; its width is used up to 100 columns.
        matrix: what.
        intervals: show the change's interval instead of the value.
        each_seed: a row for each seed instead of their mean and standard deviation.
    """
    width = min(WIDTH, console.width)
    rows = list[Row | SeedRow](matrix.rows if each_seed else _merged(matrix))
    steps = {row.step for row in rows if not row.cell.control}
    groups: dict[tuple[str, str, str], list[Column]] = {}
    for column in matrix.columns:
        groups.setdefault(column[:3], []).append(column)
    for (evaluator, protocol, metric), columns in groups.items():
        title = f"{matrix.name}: {metric} ({evaluator}, {protocol})"
        if len(steps) == 1:
            title += f", step {next(iter(steps))}"
        for chunk in _chunks(rows, columns, width, len(steps) > 1, intervals):
            table = _table(matrix, rows, chunk, title, len(steps) > 1, intervals)
            console.print(table, width=width)
            title = ""
    _legend(console, matrix, width, intervals=intervals, seeds=bool(matrix.seeds) and not each_seed)
    print_transfer(console, transfers(matrix, pairs=False))


def _chunks(
    rows: Sequence[Row | SeedRow],
    columns: Sequence[Column],
    width: int,
    with_step: bool,
    intervals: bool,
) -> Iterator[list[Column]]:
    """Columns in groups that fit the width beside the headings of the rows."""
    heads = [0, 0]
    for row in rows:
        heads[0] = min(MOST_METHOD, max(heads[0], _method(row).cell_len))
        heads[1] = min(MOST_SOURCE, max(heads[1], len(row.cell.source or "")))
    room = width - max(heads[0], len("smallest change to see")) - max(heads[1], 4) - 4
    room -= 5 if with_step else 0
    chunk: list[Column] = []
    left = room
    for column in columns:
        widest = max((_any_cell(row, column, intervals).cell_len for row in rows), default=0)
        own = max(widest, len(column.domain)) + 1
        if chunk and own > left:
            yield chunk
            chunk, left = [], room
        chunk.append(column)
        left -= own
    yield chunk


def _merged(matrix: Matrix) -> list[Row | SeedRow]:
    """Rows with those of several seeds replaced by their summary."""
    found: list[Row | SeedRow] = []
    summaries = {_seedless(own.cell, own.step): own for own in matrix.seeds}
    shown: set[tuple[object, ...]] = set()
    for row in matrix.rows:
        name = _seedless(row.cell, row.step)
        if name not in summaries:
            found.append(row)
        elif name not in shown:
            shown.add(name)
            found.append(summaries[name])
    return found


def _seedless(cell: Cell, step: int) -> tuple[object, ...]:
    c = cell
    return c.model, c.debiaser, c.corpus, c.masker, c.source, c.label, step


def _table(
    matrix: Matrix,
    rows: Sequence[Row | SeedRow],
    columns: Sequence[Column],
    title: str,
    with_step: bool,
    intervals: bool,
) -> Table:
    table = Table(
        title=escape(title) or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=0,  # the box separates columns by a space; padding doubles the time of long tables
    )
    table.add_column("debiased by", overflow="fold")
    table.add_column("from", overflow="fold")
    if with_step:
        table.add_column("step", justify="right", no_wrap=True)
    for column in columns:
        table.add_column(column.domain, justify="right", no_wrap=True)
    gap = [""] if with_step else []
    for model in dict.fromkeys(model for model, _ in matrix.base):
        bases = [matrix.base.get((model, column)) for column in columns]
        values = ["-" if m is None or m.value is None else f"{m.value:.2f}  " for m in bases]
        table.add_row(f"[bold]{escape(model)}[/] (base)", "", *gap, *values)
    for row in rows:
        step = [str(row.step)] if with_step else []
        cells = [_any_cell(row, column, intervals) for column in columns]
        table.add_row(_method(row), Text(row.cell.source or ""), *step, *cells)
    least = {e.column: e.detectable for row in matrix.rows for e in row.entries if e.detectable}
    if any(column in least for column in columns):
        bounds = [f"[dim]±{least[c]:.2f}[/]  " if c in least else "" for c in columns]
        table.add_row("[dim]smallest change to see[/]", "", *gap, *bounds)
    return table


def _method(row: Row | SeedRow) -> Text:
    cell = row.cell
    words = " + ".join(part for part in (cell.debiaser, cell.masker) if part)
    if cell.label not in (None, "hateful"):
        words += f" ({cell.label})"
    if isinstance(row, SeedRow):
        words += f" {max(len(e.seeds) for e in row.entries)} seeds" if row.entries else ""
    elif cell.seed:
        words += f" seed {cell.seed}"
    name = Text(words)
    if is_control(cell):
        name.append(" control", "dim")
    return name


def _any_cell(row: Row | SeedRow, column: Column, intervals: bool) -> Text:
    own = row.cell.source == column.domain
    if isinstance(row, SeedRow):
        entry = next((e for e in row.entries if e.column == column), None)
        return Text("-", "dim") if entry is None else _seed_cell(entry, own, intervals)
    return _cell(row.entry(column), own, intervals)


def _cell(entry: Entry | None, own: bool, intervals: bool) -> Text:
    if entry is None or entry.status == "missing":
        return Text("not run", "dim")
    if entry.status == "failed":
        return Text("failed", "bold red")
    after, change = entry.after, entry.change
    if after is None or after.value is None or change is None:
        return Text("-")
    text = f"{after.value:.2f} {change:+.2f}"
    if intervals:
        text = f"{change:+.2f} {_interval(entry.interval)}"
    return _coloured(text, entry.improvement or 0.0, entry.significant, own)


def _seed_cell(entry: OverSeeds, own: bool, intervals: bool) -> Text:
    change = entry.change
    text = f"{entry.value.mean:.2f} {change.mean:+.2f}"
    if intervals:
        text = f"{change.mean:+.2f} {_interval(change.interval)}"
    elif change.sd is not None:
        text += f"±{change.sd:.2f}"
    surely = entry.adjusted_p is not None and entry.adjusted_p < ALPHA
    return _coloured(text, entry.improvement.mean, surely, own)


def _coloured(text: str, improvement: float, surely: bool, own: bool) -> Text:
    mark = "+" if improvement > 0 else "!" if improvement < 0 else " "
    colour = "green" if improvement > 0 else "red" if improvement < 0 else "dim"
    style = f"{'bold ' if surely else ''}{'underline ' if own else ''}{colour}"
    return Text(f"{text}{mark}{'*' if surely else ' '}", style)


def _interval(interval: Interval | None) -> str:
    return "[no interval]" if interval is None else f"[{interval.low:+.2f}, {interval.high:+.2f}]"


def _legend(console: Console, matrix: Matrix, width: int, *, intervals: bool, seeds: bool) -> None:
    shown = (
        "change and its 95 % interval over items" if intervals else "value, change from the base"
    )
    lines = [
        f"{shown}; + nearer to the ideal, ! further from it; * p < 0.05, corrected over all cells "
        f"shown ({CORRECTIONS[matrix.correction]}; exact McNemar for shares of items, else the "
        "paired bootstrap); underlined: source and target the same",
    ]
    if seeds:
        lines.append(
            "rows of several seeds: mean change ± standard deviation over seeds; * and "
            "--intervals are over seeds there (t), not over items; --each-seed shows them all"
        )
    if any(e.detectable for row in matrix.rows for e in row.entries):
        lines.append(
            "smallest change to see: a smaller one these items would likely miss (paired, 80 % "
            "power, 10 % of items flipping)"
        )
    lines += list(matrix.notes)
    for line in lines:
        console.print(line, style="dim", highlight=False, markup=False, width=width)
    warnings = [
        f"{row.cell.title()} -> {e.column.domain}: {e.warning}"
        for row in matrix.rows
        for e in row.entries
        if e.warning
    ]
    for line in warnings[:MOST_WARNINGS]:
        console.print(f"[yellow]warning[/] {escape(line)}", highlight=False, width=width)
    if len(warnings) > MOST_WARNINGS:
        more = f"{len(warnings) - MOST_WARNINGS} more such warnings; --json has them all"
        console.print(f"[yellow]{more}[/]", highlight=False)
    for title, reason in matrix.failures:
        console.print(
            f"[red]failed[/] {escape(title)}: {escape(reason)}", highlight=False, soft_wrap=True
        )


def print_transfer(console: Console, found: Iterable[Transfer]) -> None:
    """Print how much of each method's improvement reaches other domains, gain and harm alike."""
    width = min(WIDTH, console.width)
    first = True
    for own in found:
        if own.compared == 0 or (own.control and not own.gained and not own.harmed):
            continue
        if first:
            console.print("[bold]Transfer[/] (points; 95 % intervals over items)", width=width)
            first = False
        name = f"{own.method} [{own.metric}, {own.evaluator}]"
        control = " [dim]control[/]" if own.control else ""
        lines = [
            f"{escape(name)}{control}",
            f"  on the source {_estimated(own.on_sources)}, "
            f"elsewhere {_estimated(own.on_targets)}, ratio {_ratio(own.ratio)}",
            f"  elsewhere [green]{own.gained} of {own.compared} nearer to the ideal "
            f"({own.surely_gained} surely)[/], [red]{own.harmed} of {own.compared} harmed "
            f"({own.surely_harmed} surely)[/]",
        ]
        if own.source_harmed:
            lines.append(
                f"  [red]the source itself got worse in {own.source_harmed} of {own.sources}[/]"
            )
        lines += [
            f"  {escape(a.first)} to {escape(a.second)} gives more than back by "
            f"{_estimated(a.difference)}"
            for a in own.asymmetries
            if a.difference.interval is not None and a.difference.interval.excludes(0.0)
        ]
        for line in lines:
            console.print(line, highlight=False, width=width)


def _estimated(own: Estimated | None) -> str:
    if own is None:
        return "-"
    return f"{own.value:+.2f} " + _interval(own.interval).replace("[", "\\[")


def _ratio(own: Ratio) -> str:
    if own.value is None:
        return f"undefined: {escape(own.reason or '')}"
    if own.interval is None:
        return f"{own.value:.2f} ({escape(own.reason or '')})"
    return f"{own.value:.2f} \\[{own.interval.low:.2f}, {own.interval.high:.2f}]"
