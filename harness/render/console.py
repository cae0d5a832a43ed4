"""The transfer matrix and the leaderboard as rich tables, at most 100 columns wide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.leaderboard import Standing
from harness.matrix import Column, Entry, Matrix, Row

WIDTH = 100
ALPHA = 0.05


def print_matrix(console: Console, matrix: Matrix) -> None:
    """Print a table for each evaluator, protocol and metric: sources by targets."""
    groups: dict[tuple[str, str, str], list[Column]] = {}
    for column in matrix.columns:
        groups.setdefault(column[:3], []).append(column)
    for (evaluator, protocol, metric), columns in groups.items():
        table = _table(f"{matrix.name}: {metric} ({evaluator}, {protocol})")
        for title in ("debiased by", "from", "step"):
            table.add_column(title, overflow="fold")
        for column in columns:
            table.add_column(column.domain, justify="right", no_wrap=True)
        for model in dict.fromkeys(model for model, _ in matrix.base):
            bases = [matrix.base.get((model, column)) for column in columns]
            cells = ["-" if m is None or m.value is None else f"{m.value:.2f}" for m in bases]
            table.add_row(f"[bold]{escape(model)}[/] (base)", "", "0", *cells)
        for row in matrix.rows:
            cells = [_cell(row, row.entry(column)) for column in columns]
            table.add_row(_method(row), escape(row.cell.source or ""), str(row.step), *cells)
        console.print(table, width=min(WIDTH, console.width))
    _legend(console, matrix)


def _table(title: str) -> Table:
    return Table(title=escape(title), title_justify="left", title_style="bold", padding=(0, 1))


def _method(row: Row) -> str:
    cell = row.cell
    parts = [cell.debiaser or "", cell.masker or ""]
    words = " + ".join(part for part in parts if part)
    if cell.label not in (None, "hateful"):
        words += f" ({cell.label})"
    if cell.seed:
        words += f" seed {cell.seed}"
    return escape(words) + (" [dim]control[/]" if cell.control else "")


def _cell(row: Row, entry: Entry | None) -> str:
    if entry is None or entry.status == "missing":
        return "[dim]not run[/]"
    if entry.status == "failed":
        return "[red]failed[/]"
    after, change = entry.after, entry.change
    if after is None or after.value is None or change is None:
        return "-"
    improvement = entry.improvement or 0.0
    mark = "+" if improvement > 0 else "!" if improvement < 0 else " "
    star = "*" if entry.adjusted_p is not None and entry.adjusted_p < ALPHA else " "
    colour = "green" if improvement > 0 else "red" if improvement < 0 else "dim"
    text = f"{after.value:.2f} {change:+.2f}{mark}{star}"
    if row.cell.source == entry.column.domain:
        text = f"[underline]{text}[/]"
    return f"[{colour}]{text}[/]"


def _legend(console: Console, matrix: Matrix) -> None:
    lines = [
        "value, change from the base; + nearer to the ideal, ! further from it; * p < 0.05 (exact "
        "McNemar, Benjamini-Hochberg over all cells shown); underlined: source and target the same",
    ]
    detectable = {
        entry.column: entry.detectable
        for row in matrix.rows
        for entry in row.entries
        if entry.detectable is not None
    }
    if detectable:
        worst = max(detectable.values())
        least = min(detectable.values())
        lines.append(
            f"these data are unlikely to show changes under {least:.1f} to {worst:.1f} points "
            "(paired, 80 % power, 10 % of items flipping)"
        )
    lines += list(matrix.notes)
    for line in lines:
        console.print(line, style="dim", highlight=False, markup=False, width=WIDTH)
    for title, reason in matrix.failures:
        console.print(
            f"[red]failed[/] {escape(title)}: {escape(reason)}", highlight=False, soft_wrap=True
        )


def print_leaderboard(console: Console, standings: Sequence[Standing]) -> None:
    """Print methods by distance to the target, with what they cost beside it."""
    table = _table("Leaderboard: mean distance of the bias scores to their target, last step")
    several = len({(standing.run, standing.model) for standing in standings}) > 1
    costs = list(dict.fromkeys(label for s in standings for label in s.cost))
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("method", overflow="fold", min_width=18)
    for title in ("distance", "in-dom.", "transfer", "harmed"):
        table.add_column(title, justify="right", no_wrap=True)
    for label in costs:
        table.add_column(label.replace("_", " "), justify="right", min_width=11, max_width=12)
    rank = 0
    for standing in standings:
        rank += not standing.control
        name = escape(_standing_name(standing, several))
        table.add_row(
            "" if standing.control else str(rank),
            name + (" [dim]control[/]" if standing.control else ""),
            f"{_number(standing.distance)} {_signed(standing.improvement)}",
            _signed(standing.in_domain),
            _signed(standing.transfer),
            f"{standing.harmed}/{standing.compared}",
            *_costs(standing, costs),
        )
    console.print(table, width=min(WIDTH, console.width))
    console.print(
        "distance in points (0 is the ideal) and improvement on the base; in-dom., transfer: mean "
        "improvement on the source itself, on the other domains; harmed: scores further from their "
        "target than the base's; a cost is the mean value and its change",
        style="dim",
        highlight=False,
        width=WIDTH,
    )
    failed = sum(standing.failed for standing in standings)
    if failed:
        console.print(f"[red]{failed} entries failed[/] and are left out of the means")


def _standing_name(standing: Standing, several: bool) -> str:
    parts = [standing.run, standing.model] if several else []
    return " / ".join([*parts, standing.method])


def _costs(standing: Standing, labels: Iterable[str]) -> list[str]:
    found = []
    for label in labels:
        known = standing.cost.get(label)
        found.append("-" if known is None else f"{known[0]:.2f} {known[1]:+.2f}")
    return found


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _signed(value: float | None) -> str:
    if value is None:
        return "-"
    colour = "green" if value > 0 else "red" if value < 0 else "dim"
    return f"[{colour}]{value:+.2f}[/]"
