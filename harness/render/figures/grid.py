"""The transfer matrix of one metric as small grids of colour, one for each method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from harness.analysis.tables import Table
from harness.render import palette
from harness.render.figures import canvas
from harness.render.figures.canvas import Figure, Numbers
from harness.render.grids import Grid, GridCell, grids, width_of

PAGE = 6.9
"""Width of a figure that is as wide as the text of a paper, inches."""
MOST_GRIDS = 12
TALLEST = 12.0
"""Height of the grids of a figure, inches: more of them do not fit on a page of a paper."""
LEGEND = (
    "nearer to the ideal",
    "further from it",
    "pale: not significant",
    "change only: improvement undefined",
    "source = target",
)
CELL, LINE, NAMES, GAP = 0.52, 0.25, 0.85, 0.25
"""Width of a cell, height of a row, room for the sources, and between grids, inches."""


def grid_figure(name: str, table: Table) -> Figure:
    """Return the figure of a matrix table.

    Args:
        name: of the figure.
        table: of key ``matrix``.
    """
    every_grid = grids(table)
    shown = _shown(every_grid)
    title = f"{table.title}: improvement" + (f", {table.unit}" if table.unit else "")
    if len(shown) < len(every_grid):
        title += f"; the first {len(shown)} of {len(every_grid)} methods"
    rows = tuple(
        (grid.method, source, *(cell.text for cell in cells))
        for grid in every_grid
        for source, cells in grid.rows
    )
    targets = every_grid[0].targets if every_grid else ()
    words = "; ".join(f"{row[0]} from {row[1]}: {', '.join(row[2:])}" for row in rows[:60])
    return Figure(
        name=name,
        title=title,
        description=f"Signed improvement by source and target ({', '.join(targets)}). {words}.",
        numbers=Numbers(("method", "from", *targets), rows, left=2),
        draw=lambda: _draw(title, shown),
    )


@dataclass(frozen=True)
class _Layout:
    """Where the grids of a figure are.

    Attributes:
        across: width of a grid, inches.
        columns: grids next to each other.
        bands: the grids of each line.
        heights: of each band, inches.
        names: name of each grid, over several lines, by its id.
    """

    across: float
    columns: int
    bands: Sequence[Sequence[Grid]]
    heights: Sequence[float]
    names: Mapping[int, str]


def _layout(every_grid: Sequence[Grid]) -> _Layout:
    across = NAMES + CELL * width_of(every_grid)
    columns = max(1, int((PAGE + GAP) / (across + GAP)))
    names = {id(grid): canvas.folded(_name(grid), int(across / 0.075)) for grid in every_grid}
    bands = [every_grid[k : k + columns] for k in range(0, len(every_grid), columns)]
    heights = [
        0.5 + max(LINE * len(grid.rows) + 0.14 * names[id(grid)].count("\n") for grid in band)
        for band in bands
    ]
    return _Layout(across, columns, bands, heights, names)


def _shown(every_grid: Sequence[Grid]) -> Sequence[Grid]:
    """Return the first grids: as many as a page has room for, in whole lines; at least one line."""
    first = every_grid[:MOST_GRIDS]
    layout = _layout(first)
    tops = accumulate(height + GAP for height in layout.heights)
    lines = max(1, sum(top <= TALLEST for top in tops))
    return first[: lines * layout.columns]


def _draw(title: str, every_grid: Sequence[Grid]) -> Any:
    """Draw all grids in one pair of axes whose unit is an inch."""
    layout = _layout(every_grid)
    across, columns, names = layout.across, layout.columns, layout.names
    width = max(PAGE / 2, min(columns, len(every_grid) or 1) * (across + GAP) - GAP)
    height = sum(layout.heights) + GAP * len(layout.heights)
    labels = max(1, int(width / 2.3))
    below = canvas.LINE * -(-len(LEGEND) // labels) + 0.3
    figure, axis = canvas.new(width + 0.2, height + below + canvas.title_height(title, width))
    axis.set_xlim(0, width)
    axis.set_ylim(height, 0)
    axis.set_aspect("equal")
    axis.axis("off")
    canvas.entitle(figure, title)
    top = 0.0
    for band, tall in zip(layout.bands, layout.heights, strict=True):
        for k, grid in enumerate(band):
            _draw_grid(axis, grid, names[id(grid)], k * (across + GAP), top)
        top += tall + GAP
    _legend(figure, labels)
    return figure


def _name(grid: Grid) -> str:
    return grid.method + (" (control)" if grid.kind == "control" else "")


def _draw_grid(axis: Any, grid: Grid, name: str, left: float, top: float) -> None:
    axis.text(left, top, name, va="top", fontsize=7.5, fontweight="bold")
    top += 0.2 + 0.14 * name.count("\n")
    _small(axis, left + NAMES - 0.08, top + 0.09, "from \\ to", "right")
    for j, target in enumerate(grid.targets):
        x = left + NAMES + CELL * (j + 0.5)
        _small(axis, x, top + 0.09, canvas.cut(target, 9), "center")
    top += 0.2
    for i, (source, cells) in enumerate(grid.rows):
        y = top + LINE * i
        _small(axis, left + NAMES - 0.08, y + LINE / 2, canvas.cut(source, 13), "right")
        for j, cell in enumerate(cells):
            _draw_cell(axis, cell, left + NAMES + CELL * j, y)


def _small(axis: Any, x: float, y: float, text: str, across: str) -> None:
    axis.text(x, y, text, ha=across, va="center", fontsize=6.5, color=palette.LIGHT["muted"])


def _draw_cell(axis: Any, cell: GridCell, x: float, y: float) -> None:
    from matplotlib.patches import Rectangle

    fill = palette.LIGHT[cell.shade] if cell.shade else palette.LIGHT["faint"]
    same_domain = cell.cell.own
    axis.add_artist(  # the axes need not learn the limits of each cell: they are set
        Rectangle(
            (x + 0.015, y + 0.015),
            CELL - 0.03,
            LINE - 0.03,
            facecolor="none" if cell.undefined else fill,
            edgecolor=palette.LIGHT["ink" if same_domain else "rule"]
            if same_domain or cell.undefined
            else "none",
            linewidth=1 if same_domain else 0.6,
            hatch="////" if cell.undefined else None,
            hatch_linewidth=0.4,
        )
    )
    star = "*" if cell.cell.significant else ""
    axis.text(x + CELL / 2, y + LINE / 2, f"{cell.text}{star}", ha="center", va="center",
              fontsize=6.5, fontweight="bold" if star else "normal",
              in_layout=False)  # fmt: skip


def _legend(figure: Any, columns: int) -> None:
    from matplotlib.patches import Patch

    light = palette.LIGHT
    handles = [
        Patch(facecolor=light["better-4"]),
        Patch(facecolor=light["worse-4"]),
        Patch(facecolor=light["better-1"]),
        Patch(facecolor="none", edgecolor=light["rule"], hatch="////"),
        Patch(facecolor="none", edgecolor=light["ink"]),
    ]
    figure.legend(handles, LEGEND, loc="outside lower left", ncols=columns, fontsize=6.5,
                  columnspacing=1)  # fmt: skip
