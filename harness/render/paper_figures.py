"""The figures of a run for papers: PNG, SVG and PDF by matplotlib, from the page's own data."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.analysis import step_curves as plotdata
from harness.analysis.halves import HalvesPanel, halves_panels
from harness.analysis.item_changes import SpreadPanel, spread_panels
from harness.analysis.matrix_builder import Matrix
from harness.analysis.matrix_tables import matrix_tables
from harness.analysis.step_curves import Panel, TradeOff
from harness.analysis.tables import Table
from harness.errors import DataError, StoreError
from harness.render.files import write_file
from harness.render.page.svg import Style, Styles
from harness.render.tables.cell_text import cell_text
from harness.storage.reader import RunReader

KINDS = ("png", "svg", "pdf")
COLOURS = ("#0068a8", "#c04e00", "#00805d", "#a8508a", "#8a6d00", "#3f7f9f", "#6a51a3", "#55524c")
DASHES = ("-", (0, (5, 2)), (0, (1, 2)), (0, (6, 2, 1, 2)))
MARKERS = ("o", "s", "^", "D")
COLUMN = 3.35
"""Width of a column of a two-column paper, inches."""

STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.linewidth": 0.4,
    "grid.color": "#dcd8cf",
    "legend.frameon": False,
    "legend.fontsize": 7,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.5,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "bias-transfer-harness",
    "savefig.dpi": 300,
}


def write_figures(
    reader: RunReader,
    matrix: Matrix,
    folder: Path,
    *,
    kinds: Sequence[str] = KINDS,
    dpi: int = 300,
    wanted: Callable[[str], bool] = lambda name: True,
) -> list[Path]:
    """Write every figure that the run has data for; returns the files.

    Args:
        reader: of the run.
        matrix: at the steps to draw.
        folder: where to.
        kinds: formats.
        dpi: resolution of PNG.
        wanted: whether to draw a figure, by its name.

    Raises:
        DataError: matplotlib is not installed.
        StoreError: the folder cannot be written.
    """
    try:
        import matplotlib
    except ImportError:
        raise DataError(
            "figures need matplotlib; pip install 'bias-transfer-harness[report]'"
        ) from None
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context(STYLE):
            for name, draw in _drawings(reader, matrix):
                if not wanted(name):
                    continue
                figure = draw()
                for kind in kinds:
                    path = folder / f"{name}.{kind}"
                    # no date: the same numbers give the same file
                    dated = {"svg": "Date", "pdf": "CreationDate"}.get(kind)
                    drawn = io.BytesIO()
                    figure.savefig(
                        drawn,
                        format=kind,
                        dpi=dpi,
                        metadata={dated: None} if dated else None,
                    )
                    write_file(path, drawn.getvalue())
                    written.append(path)
    except OSError as error:
        raise StoreError(f"{folder}: cannot write: {error.strerror or error}") from None
    return written


def _drawings(reader: RunReader, matrix: Matrix) -> Iterator[tuple[str, Callable[[], Any]]]:
    for sheet in matrix_tables(matrix):
        yield _slug("matrix", sheet.evaluator, sheet.protocol, sheet.metric), _bind(_heat, sheet)
    for domain, panels in plotdata.bias_panels(reader, matrix).items():
        yield _slug("steps", domain), _bind(_panels, panels)
    perplexity = plotdata.perplexity_panels(reader)
    if perplexity:
        yield "figure-1-perplexity", _bind(_panels, perplexity)
    plot = plotdata.trade_off(reader, matrix)
    if plot is not None:
        yield "bias-against-language", _bind(_trade_off, plot)
    for halves in halves_panels(matrix):
        c = halves.column
        yield _slug("halves", c.domain, c.evaluator, c.protocol), _bind(_halves, halves)
    for panel in spread_panels(reader, matrix):
        c = panel.column
        yield _slug("items", c.domain, c.evaluator, c.protocol, c.metric), _bind(_spread, panel)


def _bind(draw: Callable[[Any], Any], data: object) -> Callable[[], Any]:
    return lambda: draw(data)


def _slug(*parts: str) -> str:
    return "-".join(re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-") for part in parts)


def _new(width: float, height: float, columns: int = 1) -> tuple[Any, Sequence[Any]]:
    """A figure apart from pyplot: nothing global, no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(-(-columns // 3), min(columns, 3), squeeze=False).ravel().tolist()
    for spare in axes[columns:]:
        spare.set_visible(False)
    return figure, axes


def _literal(text: str) -> str:
    """A text in which matplotlib sees no mathematics."""
    return text.replace("$", r"\$")


def _heat(sheet: Table) -> Any:
    import numpy as np

    lines = [row for row in sheet.rows if row.kind in ("method", "control")]
    columns = sheet.columns[sheet.heads :]
    gains = np.full((len(lines), len(columns)), np.nan)
    for i, line in enumerate(lines):
        for j, cell in enumerate(line.cells[sheet.heads :]):
            if cell.improvement is not None:
                gains[i, j] = cell.improvement
    reach = float(np.nanmax(np.abs(gains))) if np.isfinite(gains).any() else 0.0
    row = 0.3 if len(lines) <= 20 else 0.19
    figure, (axis,) = _new(3.6 + 0.95 * len(columns), 0.9 + row * max(len(lines), 1))
    axis.grid(False)
    drawn = axis.imshow(gains, cmap="PuOr", vmin=-(reach or 1), vmax=reach or 1, aspect="auto")
    for i, line in enumerate(lines):
        for j, (cell, column) in enumerate(zip(line.cells[sheet.heads :], columns, strict=True)):
            text = cell_text(cell, replace(column, digits=1))
            words = text.main + ("*" if cell.significant else "")
            strong = reach and abs(np.nan_to_num(gains[i, j])) > 0.7 * reach
            axis.text(j, i, words, ha="center", va="center", fontsize=6.5,
                      color="white" if strong else "black")  # fmt: skip
    names = [f"{line.method}{' from ' + line.source if line.source else ''}" for line in lines]
    axis.set_yticks(range(len(lines)), [_literal(name) for name in names])
    axis.set_xticks(range(len(columns)), [column.title for column in columns])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_title(_literal(sheet.title), loc="left")
    figure.colorbar(drawn, ax=axis, label="improvement", shrink=0.8)
    return figure


def _panels(panels: Sequence[Panel]) -> Any:
    columns = min(len(panels), 3)
    rows = -(-len(panels) // 3)
    lines = len({re.sub(r" \(base .*\)$", "", c.label) for p in panels for c in p.curves})
    height = 2.0 * rows + 0.5 + 0.16 * -(-lines // 2)
    figure, axes = _new(max(1.6 * COLUMN, 2.6 * columns), height, len(panels))
    styles = Styles(
        [c.group for p in panels for c in p.curves], [c.style for p in panels for c in p.curves]
    )
    handles: dict[str, Any] = {}
    for axis, panel in zip(axes, panels, strict=False):
        reach = max(p.step for c in panel.curves for p in c.points)
        for i, curve in enumerate(panel.curves):
            dodge = 0.01 * reach * (i - (len(panel.curves) - 1) / 2)
            look = _look(styles.of(curve.group, curve.style))
            xs, ys = [p.step for p in curve.points], [p.value for p in curve.points]
            (line,) = axis.plot(xs, ys, **look)
            # the label of a perplexity tells its base, which differs between panels; that of a
            # method tells its source, which has no colour of its own where methods have
            name = re.sub(r" \(base .*\)$", "", curve.label)
            handles.setdefault(curve.style if styles.by_style else name, line)
            for p in curve.points:
                if panel.ranges and p.low is not None and p.high is not None:
                    ends = [p.low, p.high]
                    axis.plot([p.step + dodge] * 2, ends, color=look["color"], lw=0.8)
        if panel.ideal is not None:
            axis.axhline(panel.ideal, color="#5c5851", lw=0.8, ls=(0, (4, 3)))
        axis.set_title(_literal(panel.title), loc="left", fontsize=7)
        axis.set_xlabel("unlearning steps")
        axis.set_ylabel(_literal(panel.unit))
    figure.legend(
        handles.values(), [_literal(name) for name in handles], loc="outside lower center", ncols=2
    )
    return figure


def _look(style: Style) -> dict[str, Any]:
    """Colour, dashes and marker."""
    dash = style.dash % len(DASHES)
    return {
        "color": COLOURS[style.colour % len(COLOURS)],
        "ls": DASHES[dash],
        "marker": MARKERS[dash],
    }


def _trade_off(plot: TradeOff) -> Any:
    rows = 0 if plot.merged else -(-len(plot.paths) // 2)
    figure, (axis,) = _new(COLUMN * 1.6, (3.6 if plot.merged else 2.6) + 0.16 * rows)
    styles = Styles([fit.source or "" for fit, _ in plot.paths], [f.method for f, _ in plot.paths])
    if len(plot.front) > 1:
        axis.step(*zip(*plot.front, strict=True), where="post", color="#5c5851", lw=0.9)
    for fit, way in plot.paths:
        track = [*([plot.base] if plot.base else []), *((x, y) for _, x, y in way)]
        look = _look(styles.of(fit.source or "", fit.method))
        axis.plot(*zip(*track, strict=True), label=_literal(fit.label), lw=0.9, **look)
        if plot.merged:  # too many for a legend: names beside the points
            axis.annotate(_literal(fit.method), way[-1][1:], xytext=(4, 3), fontsize=6,
                          textcoords="offset points")  # fmt: skip
    if plot.base:
        axis.plot(*plot.base, "o", mfc="white", mec="black", ms=5, label="base", zorder=5)
    better = "lower" if plot.direction.kind == "lower" else "higher"
    axis.set_xlabel(_literal(f"{plot.metric}, {better} is better"))
    axis.set_ylabel("mean distance of bias scores to their ideal")
    if not plot.merged:
        figure.legend(loc="outside lower center", ncols=2)
    return figure


def _halves(panel: HalvesPanel) -> Any:
    """Changes of the halves, their balanced mean and the whole score, a line a method."""
    figure, (axis,) = _new(COLUMN * 1.6, 1.1 + 0.2 * len(panel.rows))
    names = list(dict.fromkeys(m.name for row in panel.rows for m in row.moves))
    axis.axvline(0, color="#5c5851", lw=0.8)
    for k, name in enumerate(names):
        at = [(m.after - m.before, i) for i, row in enumerate(panel.rows) for m in row.moves
              if m.name == name]  # fmt: skip
        axis.plot(*zip(*at, strict=True), MARKERS[k % 4], color=COLOURS[k % 8], label=name, ms=4)
    axis.set_yticks(range(len(panel.rows)), [_literal(row.fit.label) for row in panel.rows])
    axis.invert_yaxis()
    axis.grid(axis="x")
    c = panel.column
    axis.set_title(_literal(f"{c.domain}: {c.evaluator} ({c.protocol})"), loc="left")
    axis.set_xlabel("change of the score")
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def _spread(panel: SpreadPanel) -> Any:
    row = 0.32 if len(panel.spreads) <= 12 else 0.19
    figure, (axis,) = _new(COLUMN * 1.6, 0.9 + row * len(panel.spreads))
    styles = Styles(
        [s.fit.source or "" for s in panel.spreads], [s.fit.method for s in panel.spreads]
    )
    axis.axvline(0, color="#5c5851", lw=0.8)
    for i, spread in enumerate(panel.spreads):
        low, q1, q2, q3, high = spread.quantiles()
        colour = _look(styles.of(spread.fit.source or "", spread.fit.method))["color"]
        axis.plot([low, high], [i, i], color=colour, lw=0.9)
        axis.plot([q1, q3], [i, i], color=colour, lw=4, solid_capstyle="butt", alpha=0.7)
        axis.plot([q2], [i], "|", color="black", ms=8)
    axis.set_yticks(range(len(panel.spreads)), [_literal(s.fit.label) for s in panel.spreads])
    axis.invert_yaxis()
    axis.grid(axis="x")
    axis.set_xlabel(f"change of an item, {panel.unit}; 5, 25, 50, 75, 95 %")
    c = panel.column
    axis.set_title(_literal(f"{c.domain}: {c.metric} ({c.evaluator}, {c.protocol})"), loc="left")
    return figure
