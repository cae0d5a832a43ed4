"""The drawings of the page of a run, each with a table of its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.analysis import step_curves as plotdata
from harness.analysis.halves import HalvesPanel, HalvesRow
from harness.analysis.item_changes import SpreadPanel
from harness.analysis.step_curves import Panel, TradeOff
from harness.render.page import svg, svg_items
from harness.render.page.tables import Table
from harness.render.tables.numbers import interval, number, signed
from harness.storage.reader import RunReader

MOST_MOVES = 6
"""Methods of a figure of halves that are drawn before and after; more are drawn as changes."""


@dataclass(frozen=True)
class Figure:
    """A drawing, its caption, and the numbers in it."""

    id: str
    title: str
    drawing: str
    table: Table
    caption: str
    merged: bool = False
    """Whether its paths are means over sources, each with its name beside it."""


def styles_of(reader: RunReader) -> svg.Styles:
    """One colour a source and one dash a method, the same in every figure of the page.

    With one source, or with more methods than there are dashes, a method has its own colour.
    """
    known = list(plotdata.fits(reader))
    return svg.Styles([f.source or "" for f in known], [f.method for f in known])


def bias_figures(
    panels: Mapping[str, Sequence[Panel]], styles: svg.Styles
) -> list[tuple[str, list[Figure]]]:
    """Curves by target domain."""
    return [
        (
            domain,
            [_curves(f"bias-{i}-{j}", panel, styles, domain) for j, panel in enumerate(own)],
        )
        for i, (domain, own) in enumerate(panels.items())
    ]


def perplexity_figures(panels: Sequence[Panel]) -> tuple[list[Figure], svg.Styles]:
    """Figure 1 of the paper, a panel a fit, with colours of their own."""
    labels = list(dict.fromkeys(curve.group for panel in panels for curve in panel.curves))
    styles = svg.Styles(labels, [c.style for panel in panels for c in panel.curves])
    figures = [_curves(f"perplexity-{i}", panel, styles) for i, panel in enumerate(panels)]
    return figures, styles


def _curves(name: str, panel: Panel, styles: svg.Styles, domain: str = "") -> Figure:
    title = f"{domain}: {panel.title}" if domain else panel.title
    steps = sorted({p.step for curve in panel.curves for p in curve.points})
    rows = []
    for curve in panel.curves:
        at = {p.step: p for p in curve.points}
        cells = []
        for step in steps:
            point = at.get(step)
            range_ = interval(point.low, point.high) if point else ""
            cells.append(f"{number(point.value)} {range_}".strip() if point else "–")
        rows.append((curve.label, *cells))
    table = Table(title, ("", *(f"step {s}" for s in steps)), tuple(rows))
    return Figure(name, title, svg.curves(name, panel, styles), table, panel.title)


def trade_off_figure(plot: TradeOff, styles: svg.Styles) -> Figure:
    """Bias against language ability."""
    front = set(plot.front)
    rows = []
    if plot.base:
        rows.append(_reached("base", 0, *plot.base, plot.base in front))
    for fit, way in plot.paths:
        rows += [_reached(fit.label, step, x, y, (x, y) in front) for step, x, y in way]
    header = ("method", "step", plot.metric, "mean distance", "Pareto front")
    title = "Bias against language ability"
    table = Table(title, header, tuple(rows))
    drawing = svg.scatter("trade-off", plot, styles)
    caption = f"mean distance of the bias scores by {plot.metric}"
    return Figure("trade-off", title, drawing, table, caption, plot.merged)


def _reached(name: str, step: int, x: float, y: float, front: bool) -> tuple[str, ...]:
    return (name, str(step), number(x), number(y), "yes" if front else "no")


def spread_figures(panels: Sequence[SpreadPanel], styles: svg.Styles) -> list[Figure]:
    """Distributions of item changes."""
    found = []
    for i, panel in enumerate(panels):
        c = panel.column
        domain = f"{c.domain}: " if c.domain != "none" else ""
        title = f"{domain}{c.metric}, {c.evaluator} ({c.protocol})"
        rows = []
        for s in panel.spreads:
            flips = ("–", "–") if s.gained is None else (str(s.gained), str(s.lost))
            rows.append((s.fit.label, *(signed(q, 3) for q in s.quantiles()), *flips))
        header = ("", "5 %", "25 %", "median", "75 %", "95 %", "0 to 1", "1 to 0")
        drawing = svg_items.ridges(f"items-{i}", panel, styles, title)
        found.append(Figure(f"items-{i}", title, drawing, Table(title, header, tuple(rows)), title))
    return found


def halves_figures(panels: Sequence[HalvesPanel]) -> list[Figure]:
    """Each half of a paired suite and their balanced mean, before and after."""
    found: list[Figure] = []
    for panel in panels:
        c = panel.column
        title = f"{c.domain}: {c.evaluator} ({c.protocol})"
        name = f"halves-{len(found)}"
        rows = [
            (
                _halves_name(row),
                f"{m.name} ({m.items})",
                number(m.before),
                number(m.after),
                signed(m.after - m.before),
                "; ".join(row.warnings),
            )
            for row in panel.rows
            for m in row.moves
        ]
        header = ("method", "half (items)", "before", "after", "change", "warning")
        table = Table(title, header, tuple(rows), left=2)
        drawn = [(_halves_name(row), row.moves) for row in panel.rows]
        draw = svg_items.moves if len(drawn) <= MOST_MOVES else svg_items.dots
        found.append(Figure(name, title, draw(name, drawn, panel.ideal, title), table, title))
    return found


def _halves_name(row: HalvesRow) -> str:
    return row.fit.label + (f", {row.seeds} seeds" if row.seeds > 1 else "")
