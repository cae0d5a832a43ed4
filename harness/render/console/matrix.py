"""The transfer matrix as rich tables that fit 80 and 100 columns, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.text import Text

from harness.analysis.corrections import ALPHA, CORRECTIONS
from harness.analysis.interval import Interval
from harness.analysis.matrix import Entry, Matrix, OverSeeds, Row, SeedRow
from harness.analysis.matrix_builder import Column
from harness.analysis.transfer import Estimated, Ratio, Transfer, transfers
from harness.render.console.failures import print_failures
from harness.render.console.leaderboard import print_leaderboard
from harness.render.console.ruled import Ruled
from harness.render.console.terminal import Terminal
from harness.render.tables.rows import ANY, SMALLEST, row_name, shown_rows, smallest_changes
from harness.storage.cells import MethodNames, is_control

__all__ = ["ALPHA", "WIDTH", "print_leaderboard", "print_matrix", "print_transfer"]

WIDTH = 100
MOST_WARNINGS = 6
MOST_METHOD, MOST_SOURCE = 26, 14


def print_matrix(
    console: Terminal, matrix: Matrix, *, intervals: bool = False, each_seed: bool = False
) -> None:
    """Print a table for each evaluator, protocol and metric: sources by targets.

    Args:
        console: where to; its width is used up to 100 columns.
        matrix: what.
        intervals: show the change's interval instead of the value.
        each_seed: a row for each seed instead of their mean and standard deviation.
    """
    width = min(WIDTH, console.width)
    rows = shown_rows(matrix, each_seed=each_seed)
    steps = {row.step for row in rows if row.cell.control_kind != "identity"}
    groups: dict[tuple[str, str, str], list[Column]] = {}
    for column in matrix.columns:
        groups.setdefault(column[:3], []).append(column)
    for (evaluator, protocol, metric), columns in groups.items():
        title = f"{matrix.name}: {metric} ({evaluator}, {protocol})"
        if len(steps) == 1:
            title += f", step {next(iter(steps))}"
        cells = {(i, c): _any_cell(r, c, intervals) for i, r in enumerate(rows) for c in columns}
        for chunk in _chunks(rows, matrix.names, columns, cells, width, len(steps) > 1):
            console.print(_table(matrix, rows, chunk, cells, title, len(steps) > 1), width=width)
            title = ""
    seeds = bool(matrix.seeds) and not each_seed
    _legend(console, matrix, rows, width, intervals=intervals, seeds=seeds)
    print_transfer(console, transfers(matrix, pairs=False))


Cells = dict[tuple[int, Column], Text]
"""By position of the row and column."""


def _chunks(
    rows: Sequence[Row | SeedRow],
    names: MethodNames,
    columns: Sequence[Column],
    cells: Cells,
    width: int,
    with_step: bool,
) -> Iterator[list[Column]]:
    """Columns in groups that fit the width beside the headings of the rows."""
    heads = [0, 0]
    for row in rows:
        heads[0] = min(MOST_METHOD, max(heads[0], _method(row, names).cell_len))
        heads[1] = min(MOST_SOURCE, max(heads[1], len(row.cell.source or "")))
    room = width - max(heads[0], len(SMALLEST)) - max(heads[1], 4) - 4
    room -= 5 if with_step else 0
    chunk: list[Column] = []
    left = room
    for column in columns:
        widest = max((cells[i, column].cell_len for i in range(len(rows))), default=0)
        own = max(widest, len(column.domain)) + 1
        if chunk and own > left:
            yield chunk
            chunk, left = [], room
        chunk.append(column)
        left -= own
    yield chunk


def _table(
    matrix: Matrix,
    rows: Sequence[Row | SeedRow],
    columns: Sequence[Column],
    cells: Cells,
    title: str,
    with_step: bool,
) -> Ruled:
    gap = [Text()] if with_step else []
    lines: list[list[Text]] = []
    for model in dict.fromkeys([*(m for m, _ in matrix.base), *(r.cell.model for r in rows)]):
        bases = [matrix.base.get((model, column)) for column in columns]
        values = [Text("-" if m is None or m.value is None else f"{m.value:.2f}  ") for m in bases]
        lines.append([Text(model, "bold").append(" (base)", "not bold"), Text(), *gap, *values])
        for i, row in enumerate(rows):  # those of a model stand below its base
            if row.cell.model == model:
                step = [Text(str(row.step))] if with_step else []
                own = (cells[i, column] for column in columns)
                lines.append([_method(row, matrix.names), Text(row.cell.source or ""), *step, *own])
    least = smallest_changes(matrix)
    if any(column in least for column in columns):
        bounds = [Text(f"±{least[c]:.2f}  " if c in least else "", "dim") for c in columns]
        lines.append([Text(SMALLEST, "dim"), Text(), *gap, *bounds])
    heads = ["debiased by", "from", *(["step"] if with_step else [])]
    return Ruled(title, [*heads, *(column.domain for column in columns)], lines, left=2)


def _method(row: Row | SeedRow, names: MethodNames) -> Text:
    name = Text(row_name(row, names))
    if is_control(row.cell):
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


def _legend(
    console: Terminal,
    matrix: Matrix,
    shown: Sequence[Row | SeedRow],
    width: int,
    *,
    intervals: bool,
    seeds: bool,
) -> None:
    what = "change and its 95 % interval over items" if intervals else "value, change from the base"
    lines = [
        f"{what}; + nearer to the ideal, ! further from it; * p < 0.05, corrected over all "
        f"cells shown ({CORRECTIONS[matrix.correction].title}; exact McNemar for shares of items, "
        "else the paired bootstrap); underlined: source and target the same",
    ]
    if seeds:
        lines.append(
            "rows of several seeds: mean change ± standard deviation over seeds; * and "
            "--intervals are over seeds there (t), not over items; --each-seed shows them all"
        )
    if any(e.detectable for row in matrix.rows for e in row.entries):
        lines.append(
            "smallest change to see: a smaller one these items would likely miss (paired, 80 % "
            "power; shares: if 10 % of items flip; else by the bootstrap, the column's largest)"
        )
    if any(row.cell.source == ANY for row in shown):
        lines.append("from any: the same model whatever the source; shown, and tested, once")
    lines += list(matrix.notes)
    for line in lines:
        console.print(line, style="dim", width=width)
    warnings = [
        f"{row.cell.title()} -> {e.column.domain}: {e.warning}"
        for row in matrix.rows
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
    header += ["nearer\n(surely)", "harmed\n(surely)"]
    for (metric, evaluator), rows in groups.items():
        lines = [_transfer(own) for own in rows]
        title = f"Transfer: {metric} ({evaluator}), points"
        console.print(Ruled(title, header, lines, left=1), width=width)
    if groups:
        console.print(
            "mean improvement on the sources and elsewhere, with 95 % intervals over items; ratio: "
            "the second by the first, undefined unless the source surely improved; nearer, harmed: "
            "scores of other domains (surely: corrected p < 0.05)",
            style="dim",
            width=width,
        )
    for own in (own for rows in groups.values() for own in rows):
        for a in own.asymmetries:
            if a.difference.interval is not None and a.difference.interval.excludes(0.0):
                line = f"{own.method} ({own.evaluator}): {a.first} to {a.second} gives more than"
                line += f" back by {a.difference.value:+.2f} {_interval(a.difference.interval)}"
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
        return Text("-", "dim")
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
