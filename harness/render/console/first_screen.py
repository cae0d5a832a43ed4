"""The first screen of `harness matrix`: the answer in a sentence, and small grids of colour."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from rich.cells import cell_len
from rich.text import Text

from harness.analysis.tables import Table
from harness.render import palette
from harness.render.console.terminal import Terminal
from harness.render.grids import Grid, GridCell, bias_tables, grids, what_is_shown

MOST_GRIDS = 9
"""Grids on the first screen; the table below has all methods."""

MOST_NAMED = 8
"""Further bias scores that the first screen names."""

MOST_SOURCE = 24
"""Letters of a source that are shown; longer names are of a user's own domains."""


def print_first_screen(
    console: Terminal, kicker: Sequence[str], verdict: str, tables: Sequence[Table]
) -> None:
    """Print the verdict, then the grids of the first bias table, and how to read them.

    Args:
        console: the console to print to; all of its width is used.
        kicker: a few words about the run: name, model, size, cost.
        verdict: the answer in a sentence or two.
        tables: the matrix tables of the run.
    """
    console.print(" · ".join(kicker), style="dim")
    console.print()
    console.print(verdict, style="bold")
    console.print()
    bias = bias_tables(tables)
    if not bias:
        return
    first, *others = bias
    by_method = grids(first)
    console.print(Text.assemble((first.title, "bold"), f": {what_is_shown(first)}"))
    console.print()
    _print_grids(console, by_method[:MOST_GRIDS])
    for line in explained(first, by_method):
        console.print(line, style="dim")
    more = (
        [f"{len(by_method) - MOST_GRIDS} more methods below"] if len(by_method) > MOST_GRIDS else []
    )
    if others:
        named = ", ".join(table.title for table in others[:MOST_NAMED])
        unnamed = len(others) - MOST_NAMED
        more.append(f"also measured: {named}" + (f", and {unnamed} more" if unnamed > 0 else ""))
    if more:
        console.print("; ".join(more), style="dim")
    console.print()


def explained(table: Table, shown: Sequence[Grid]) -> list[str]:
    """Return the two lines that explain the grids of a table."""
    cells = [cell for grid in shown for _, row in grid.rows for cell in row]
    parts = ["bold and *: significant after correction", "pale: may be chance"]
    if any(cell.cell.own for cell in cells):
        parts.append("[ ]: source and target are the same")
    if any(cell.undefined for cell in cells):
        parts.append(
            "~: the base is not significantly different from the ideal, or was passed: change only"
        )
    if any(cell.cell.absent for cell in cells):
        parts.append("–: not measured")
    return ["; ".join(parts) + ".", *[line for line in table.legend if "Minimum det" in line][:1]]


def _print_grids(console: Terminal, every: Sequence[Grid]) -> None:
    source = min(MOST_SOURCE, max(len(row) for grid in every for row, _ in grid.rows))
    source = max(source, len("from \\ to"))
    widths = [
        max(8, *(_longest(grid.targets[j]) + 1 for grid in every if j < len(grid.targets)))
        for j in range(max(len(grid.targets) for grid in every))
    ]
    shown = _fitting(widths, console.width - source - 2)
    if shown < len(widths):  # as many targets as fit, then the others
        _print_grids(console, [_part(grid, 0, shown) for grid in every])
        _print_grids(console, [_part(grid, shown, len(widths)) for grid in every])
        return
    across = source + 1 + sum(widths)
    columns = max(1, (console.width - 1) // (across + 3))
    for k in range(0, len(every), columns):
        band = every[k : k + columns]
        blocks = [_block(grid, source, widths) for grid in band]
        tall = max(map(len, blocks))
        heads = max(len(block) - len(grid.rows) for block, grid in zip(blocks, band, strict=True))
        padded = [
            [Text()] * (heads - (len(block) - len(grid.rows))) + block
            for block, grid in zip(blocks, band, strict=True)
        ]
        tall = max(map(len, padded))
        for number in range(tall):
            line = Text(" ")
            for block in padded:
                part = block[number].copy() if number < len(block) else Text()
                part.pad_right(max(0, across + 3 - part.cell_len))
                line.append_text(part)
            line.rstrip()
            console.print(line, soft_wrap=True)
        console.print()


def _fitting(widths: Sequence[int], room: int) -> int:
    """Return how many columns fit into a line; one at least."""
    taken = 0
    for count, width in enumerate(widths):
        taken += width
        if taken > room and count:
            return count
    return len(widths)


def _part(grid: Grid, start: int, stop: int) -> Grid:
    """Return a grid with some of its targets."""
    rows = tuple((source, cells[start:stop]) for source, cells in grid.rows)
    return replace(grid, targets=grid.targets[start:stop], rows=rows)


def _block(grid: Grid, source: int, widths: Sequence[int]) -> list[Text]:
    """Return the lines of a grid: its name, the targets, and a line for each source."""
    across = source + 1 + sum(widths)
    name = grid.method + (" (control)" if grid.kind == "control" else "")
    lines = [Text(line, "bold") for line in _folded(name, across)]
    heads = [_parts(target) for target in grid.targets]
    tall = max(map(len, heads), default=1)
    for number in range(tall):
        last = number == tall - 1
        head = Text(("from \\ to" if last else "").ljust(source + 1), "dim")
        for parts, width in zip(heads, widths, strict=False):
            at = number - (tall - len(parts))
            head.append((parts[at] if at >= 0 else "").rjust(width - 1) + " ", "dim")
        lines.append(head)
    for name, cells in grid.rows:
        line = Text(_cut(name, source).ljust(source + 1))
        for cell, width in zip(cells, widths, strict=False):
            line.append_text(_cell(cell, width))
        lines.append(line)
    return lines


def _parts(target: str) -> list[str]:
    """The lines of a target's name: broken after hyphens, never cut."""
    return re.findall(r"[^-]+-?", target) or [target]


def _longest(target: str) -> int:
    return max(map(cell_len, _parts(target)))


def _cell(cell: GridCell, width: int) -> Text:
    """Return a cell of a fixed width whose last place is a bracket, a star or a space."""
    text = f"{'~' if cell.undefined else ''}{cell.text}{'*' if cell.cell.significant else ''}"
    shown = f"[{text}]" if cell.cell.own else f"{text} "
    colour = ""
    if cell.shade:
        colour = palette.TERMINAL["better" if cell.shade.startswith("better") else "worse"]
    strength = "bold" if cell.cell.significant else "dim"
    text_style = f"{strength} {colour}".strip()
    return Text(" " * max(0, width - cell_len(shown))).append(shown, text_style)


def _folded(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return [_cut(line, width) for line in lines]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
