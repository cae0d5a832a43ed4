"""Figures with one row for each method and source: changes of items, and of the halves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.analysis.halves import HalvesPanel, HalvesRow
from harness.analysis.item_changes import SpreadPanel
from harness.render import palette
from harness.render.figures import canvas
from harness.render.figures.canvas import Figure, Numbers
from harness.render.figures.looks import MARKERS, Look, Looks
from harness.render.tables.numbers import number, signed

NAME = 24
"""Letters of a row's name in one line."""


def spread_figure(name: str, panel: SpreadPanel, looks: Looks) -> Figure:
    """Return how the items of each fit moved: median, middle half, and nine in ten.

    Args:
        name: of the figure.
        panel: what to draw.
        looks: of the run.
    """
    c = panel.column
    domain = f"{c.domain}: " if c.domain != "none" else ""
    title = f"{domain}{c.metric}, {c.evaluator} ({c.protocol})"
    rows = []
    for s in panel.spreads:
        flips = ("–", "–") if s.gained is None else (str(s.gained), str(s.lost))
        rows.append((s.fit.label, *(signed(q, 3) for q in s.quantiles()), *flips))
    words = "; ".join(
        f"{s.fit.label}: median {s.quantiles()[2]:+.3f}, half of the items between "
        f"{s.quantiles()[1]:+.3f} and {s.quantiles()[3]:+.3f}"
        for s in panel.spreads
    )
    header = ("fit", "5 %", "25 %", "median", "75 %", "95 %", "0 to 1", "1 to 0")
    return Figure(
        name=name,
        title=title,
        description=f"Changes of the items. {words}.",
        numbers=Numbers(header, tuple(rows)),
        draw=lambda: _draw_spread(title + _chosen(len(panel.spreads), panel.fits), panel, looks),
        group=c.domain,
    )


def _draw_spread(title: str, panel: SpreadPanel, looks: Looks) -> Any:
    from matplotlib.lines import Line2D

    names = [_name(s.fit.method, s.fit.source) for s in panel.spreads]
    figure, axis = _rows(title, names, legend=1)
    low, q1, q2, q3, high = zip(*(spread.quantiles() for spread in panel.spreads), strict=True)
    rows = range(len(names))
    colours = [looks.of(s.fit.source or "", s.fit.method).hex for s in panel.spreads]
    # one artist for all rows, and not one for each: quicker, and above the rule at zero as well
    axis.hlines(rows, low, high, colors=colours, lw=1, capstyle="projecting", zorder=2)
    axis.hlines(rows, q1, q3, colors=colours, lw=5, capstyle="butt", alpha=0.6, zorder=2)
    axis.plot(q2, rows, "|", color=palette.LIGHT["ink"], ms=9, mew=1.4)
    axis.set_xlabel(canvas.folded(f"change of an item, {panel.unit}", 30))
    grey = palette.LIGHT["muted"]
    handles = [
        Line2D([], [], color=palette.LIGHT["ink"], marker="|", ls="", ms=9, mew=1.4),
        Line2D([], [], color=grey, lw=5, alpha=0.6),
        Line2D([], [], color=grey, lw=1),
    ]
    labels = ["median", "middle half", "nine in ten"]
    figure.legend(handles, labels, loc="outside lower left", ncols=3)
    return figure


def halves_figure(name: str, panel: HalvesPanel) -> Figure:
    """Return the changes of both halves of a paired suite, of their mean, and of all items.

    Args:
        name: of the figure.
        panel: what to draw.
    """
    c = panel.column
    title = f"{c.domain}: {c.evaluator} ({c.protocol})"
    rows = tuple(
        (
            _fit_name(row),
            f"{m.name} ({m.items})",
            number(m.before),
            number(m.after),
            signed(m.after - m.before),
            "; ".join(row.warnings),
        )
        for row in panel.rows
        for m in row.moves
    )
    words = "; ".join(
        f"{_fit_name(row)}: " + ", ".join(f"{m.name} {m.after - m.before:+.1f}" for m in row.moves)
        for row in panel.rows
    )
    header = ("method", "half (items)", "before", "after", "change", "warning")
    return Figure(
        name=name,
        title=title,
        description=f"Changes of the halves; the ideal is {panel.ideal:g}. {words}.",
        numbers=Numbers(header, rows, left=2),
        draw=lambda: _draw_halves(title + _chosen(len(panel.rows), panel.fits), panel),
        group=c.domain,
    )


def _draw_halves(title: str, panel: HalvesPanel) -> Any:
    parts = list(dict.fromkeys(m.name for row in panel.rows for m in row.moves))
    names = [_name(row.fit.method, row.fit.source, row.seeds) for row in panel.rows]
    columns = 4 if sum(map(len, parts)) < 34 else 2
    figure, axis = _rows(title, names, legend=-(-len(parts) // columns))
    handles = []
    for k, part in enumerate(parts):
        at = [
            (m.after - m.before, row)
            for row, moved in enumerate(panel.rows)
            for m in moved.moves
            if m.name == part
        ]
        handles += axis.plot(*zip(*at, strict=True), ls="", marker=MARKERS[k % len(MARKERS)],
                             color=Look(k, k).hex, ms=5)  # fmt: skip
    axis.set_xlabel("change of the score" + (f", {panel.unit}" if panel.unit else ""))
    labels = [canvas.cut(part, 24) for part in parts]
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, columnspacing=1)
    return figure


def _chosen(shown: int, fits: int) -> str:
    """Return what to say where not all fits are shown."""
    return f"; the {shown} of {fits} fits that moved most" if shown < fits else ""


def _fit_name(row: HalvesRow) -> str:
    return row.fit.label + (f", {row.seeds} fits" if row.seeds > 1 else "")


def _name(method: str, source: str | None, fits: int = 1) -> str:
    """Return the name of a row, over several lines."""
    about = [f"from {source}" if source else "", f"{fits} fits" if fits > 1 else ""]
    below = ", ".join(part for part in about if part)
    return "\n".join(part for part in (canvas.folded(method, NAME), below) if part)


def _rows(title: str, names: Sequence[str], *, legend: int) -> tuple[Any, Any]:
    """Return axes with a named row for each entry and a rule at zero."""
    lines = sum(name.count("\n") + 1.6 for name in names)
    height = 0.9 + canvas.LINE * (lines + legend) + canvas.title_height(title, canvas.WIDTH)
    figure, axis = canvas.new(canvas.WIDTH, height)
    axis.axvline(0, color=palette.LIGHT["muted"], lw=1)
    axis.set_yticks(range(len(names)), names, fontsize=7)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0, left=False)
    axis.grid(visible=False, axis="y")
    axis.grid(visible=True, axis="x")
    canvas.entitle(figure, title)
    return figure, axis
