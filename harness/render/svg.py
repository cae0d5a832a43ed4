"""Inline SVG by hand: scales, axes, curves, scatters, ridges. Colours come from the page's CSS.

Every drawing is 360 units wide, so that its text is legible on a phone, and carries a title and a
description for screen readers; the page puts a table of the same numbers beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from harness.plotdata import Panel, Spread, SpreadPanel, TradeOff

WIDTH = 360
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 10, 36
MARKERS = 4
COLOURS = 8

Scale = Callable[[float], float]


class Style(NamedTuple):
    """Classes of a line: its colour and its dashes with the marker's shape."""

    colour: int
    dash: int

    @property
    def css(self) -> str:
        """CSS classes."""
        return f"c{self.colour % COLOURS} d{self.dash % MARKERS}"


class Styles:
    """Gives each group a colour and each style a dash, in order of appearance."""

    def __init__(self, groups: Sequence[str] = (), styles: Sequence[str] = ()) -> None:
        self._groups = {name: i for i, name in enumerate(dict.fromkeys(groups))}
        self._styles = {name: i for i, name in enumerate(dict.fromkeys(styles))}

    def of(self, group: str, style: str) -> Style:
        """The style of a line."""
        return Style(
            self._groups.setdefault(group, len(self._groups)),
            self._styles.setdefault(style, len(self._styles)),
        )


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers inside a range, about as many as asked."""
    if not high > low:
        return [low]
    raw = (high - low) / max(count, 1)
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def span(values: Sequence[float], pad: float = 0.06) -> tuple[float, float]:
    """A range around values with some air; never empty."""
    low, high = min(values), max(values)
    air = (high - low) * pad or max(abs(high) * 0.05, 0.5)
    return low - air, high + air


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """Map ``low..high`` to ``start..end``."""
    return lambda value: start + (value - low) / (high - low) * (end - start)


def text(x: float, y: float, words: str, css: str = "", anchor: str = "start") -> str:
    """A text element."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
        + (f' class="{css}"' if css else "")
        + f">{escape(words)}</text>"
    )


def cut(words: str, room: int = 54) -> str:
    """A name that fits a drawing; the whole one stands in its table."""
    return words if len(words) <= room else words[: room - 1] + "…"


def label(value: float) -> str:
    """A number on an axis."""
    return f"{value:.4g}".replace("-", "−")


def document(name: str, height: float, title: str, description: str, body: Sequence[str]) -> str:
    """A whole drawing; ``name`` must be unique on the page."""
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" '
        f'aria-labelledby="{name}-t {name}-d">'
        f'<title id="{name}-t">{escape(title)}</title>'
        f'<desc id="{name}-d">{escape(description)}</desc>' + "".join(body) + "</svg>"
    )


def axes(
    xs: Sequence[float], ys: Sequence[float], x: Scale, y: Scale, height: float, xname: str
) -> list[str]:
    """Horizontal grid lines with their numbers, and numbers below."""
    found = []
    for value in ys:
        found.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" '
            f'y2="{y(value):.1f}"/>'
        )
        found.append(text(LEFT - 6, y(value) + 3.5, label(value), "tick", "end"))
    for value in xs:
        found.append(text(x(value), height - BOTTOM + 15, label(value), "tick", "middle"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    found.append(text(middle, height - 5, cut(xname), "axis", "middle"))
    return found


def marker(x: float, y: float, style: Style, size: float = 3.2, css: str = "") -> str:
    """A point whose shape goes with the dashes: disc, square, triangle, diamond."""
    names = f"mark c{style.colour % COLOURS} {css}".strip()
    shape = style.dash % MARKERS
    if shape == 0:
        return f'<circle class="{names}" cx="{x:.1f}" cy="{y:.1f}" r="{size:g}"/>'
    shapes: dict[int, list[tuple[float, float]]] = {
        1: [(-1, -1), (1, -1), (1, 1), (-1, 1)],
        2: [(0, -1.25), (1.15, 0.9), (-1.15, 0.9)],
        3: [(0, -1.35), (1.35, 0), (0, 1.35), (-1.35, 0)],
    }
    points = " ".join(f"{x + dx * size:.1f},{y + dy * size:.1f}" for dx, dy in shapes[shape])
    return f'<polygon class="{names}" points="{points}"/>'


def curves(name: str, panel: Panel, styles: Styles, height: float = 230) -> str:
    """Values over steps; whiskers where a point has a range; a rule at the ideal."""
    every = [v for c in panel.curves for p in c.points for v in (p.value, p.low, p.high)]
    values = [v for v in every if v is not None]
    if panel.ideal is not None:
        values.append(panel.ideal)
    low, high = span(values)
    steps = sorted({p.step for c in panel.curves for p in c.points})
    x = linear(min(steps), max(steps), LEFT + 6, WIDTH - RIGHT - 16)
    y = linear(low, high, height - BOTTOM, TOP)
    shown = steps if len(steps) <= 8 else ticks(min(steps), max(steps))
    body = axes(shown, ticks(low, high), x, y, height, "unlearning steps")
    if panel.ideal is not None:
        at = y(panel.ideal)
        body.append(
            f'<line class="ideal" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
        )
    for i, curve in enumerate(panel.curves):
        # whiskers of several curves at one step stand side by side
        dodge = 3.2 * (i - (len(panel.curves) - 1) / 2)
        style = styles.of(curve.group, curve.style)
        path = " ".join(f"{x(p.step):.1f},{y(p.value):.1f}" for p in curve.points)
        body.append(f'<polyline class="line {style.css}" points="{path}"/>')
        for point in curve.points:
            if point.low is not None and point.high is not None:
                at = x(point.step) + dodge
                body.append(
                    f'<line class="whisker {style.css}" x1="{at:.1f}" x2="{at:.1f}" '
                    f'y1="{y(point.low):.1f}" y2="{y(point.high):.1f}"/>'
                )
            body.append(marker(x(point.step), y(point.value), style, 2.6))
    ends = "; ".join(
        f"{c.label}: {c.points[0].value:.2f} to {c.points[-1].value:.2f}" for c in panel.curves
    )
    return document(name, height, panel.title, f"{panel.unit} over unlearning steps. {ends}.", body)


def scatter(name: str, plot: TradeOff, styles: Styles, height: float = 300) -> str:
    """Language score by mean distance, with each method's way there and the Pareto front."""
    points = [(px, py) for _, way in plot.paths for _, px, py in way]
    points += [plot.base] if plot.base else []
    xlow, xhigh = span([px for px, _ in points])
    ylow, yhigh = span([py for _, py in points])
    x = linear(xlow, xhigh, LEFT + 4, WIDTH - RIGHT - 4)
    y = linear(ylow, yhigh, height - BOTTOM, TOP)
    better = "lower" if plot.direction.kind == "lower" else "higher"
    body = axes(
        ticks(xlow, xhigh), ticks(ylow, yhigh), x, y, height, f"{plot.metric}, {better} is better"
    )
    if len(plot.front) > 1:
        steps = [f"{x(plot.front[0][0]):.1f},{y(plot.front[0][1]):.1f}"]
        for before, after in zip(plot.front, plot.front[1:], strict=False):
            steps.append(f"{x(after[0]):.1f},{y(before[1]):.1f}")
            steps.append(f"{x(after[0]):.1f},{y(after[1]):.1f}")
        body.append(f'<polyline class="front" points="{" ".join(steps)}"/>')
    for fit, way in plot.paths:
        style = styles.of(fit.source or "", fit.method)
        start = [plot.base] if plot.base else []
        track = [*start, *((px, py) for _, px, py in way)]
        path = " ".join(f"{x(px):.1f},{y(py):.1f}" for px, py in track)
        body.append(f'<polyline class="track {style.css}" points="{path}"/>')
        for i, (_, px, py) in enumerate(way):
            last = i == len(way) - 1
            css = "on-front" if (px, py) in plot.front else ""
            body.append(marker(x(px), y(py), style, 4.4 if last else 2.2, css))
    if plot.base:
        bx, by = x(plot.base[0]), y(plot.base[1])
        body.append(f'<circle class="base" cx="{bx:.1f}" cy="{by:.1f}" r="4.4"/>')
        side = "end" if bx > WIDTH / 2 else "start"
        body.append(text(bx + (-8 if side == "end" else 8), by - 7, "base", "name", side))
    ends = "; ".join(f"{fit.label}: {way[-1][1]:.2f}, {way[-1][2]:.2f}" for fit, way in plot.paths)
    description = f"Horizontal: {plot.metric}. Vertical: mean distance of bias scores. {ends}."
    return document(name, height, "Bias against language ability", description, body)


def ridges(name: str, panel: SpreadPanel, styles: Styles, title: str) -> str:
    """For each fit the distribution of its items' changes, on one scale, zero marked."""
    row = 52
    height = TOP + row * len(panel.spreads) + BOTTOM
    outer = [q for s in panel.spreads for q in (s.quantiles()[0], s.quantiles()[-1])]
    reach = max(abs(v) for v in outer) * 1.25 or 1.0
    x = linear(-reach, reach, 10, WIDTH - 10)
    body = []
    for value in ticks(-reach, reach, 6):
        at = x(value)
        css = "zero" if abs(value) < 1e-12 else "grid"
        body.append(
            f'<line class="{css}" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>'
        )
        body.append(text(at, height - BOTTOM + 15, label(value), "tick", "middle"))
    body.append(text(WIDTH / 2, height - 5, f"change of an item, {panel.unit}", "axis", "middle"))
    for i, spread in enumerate(panel.spreads):
        style = styles.of(spread.fit.source or "", spread.fit.method)
        body += _ridge(spread, x, reach, TOP + row * (i + 1) - 6, style)
    words = "; ".join(
        f"{s.fit.label}: median {s.quantiles()[2]:+.3f}, half of the items between "
        f"{s.quantiles()[1]:+.3f} and {s.quantiles()[3]:+.3f}"
        for s in panel.spreads
    )
    return document(name, height, title, f"Changes of the items. {words}.", body)


def _ridge(spread: Spread, x: Scale, reach: float, base: float, style: Style) -> list[str]:
    bins = 48
    clipped = np.clip(np.array(spread.changes), -reach, reach)
    counts, edges = np.histogram(clipped, bins=bins, range=(-reach, reach))
    kernel = np.array([1.0, 2.0, 3.0, 2.0, 1.0])
    smooth = np.convolve(counts, kernel / kernel.sum(), mode="same")
    tallest = float(smooth.max()) or 1.0
    middles = (edges[:-1] + edges[1:]) / 2
    points = [f"{x(-reach):.1f},{base:.1f}"]
    points += [
        f"{x(float(m)):.1f},{base - 22 * float(h) / tallest:.1f}"
        for m, h in zip(middles, smooth, strict=True)
    ]
    points.append(f"{x(reach):.1f},{base:.1f}")
    _, q1, q2, q3, _ = spread.quantiles()
    return [
        f'<polygon class="ridge c{style.colour % COLOURS}" points="{" ".join(points)}"/>',
        f'<line class="iqr c{style.colour % COLOURS}" x1="{x(q1):.1f}" x2="{x(q3):.1f}" '
        f'y1="{base + 2:.1f}" y2="{base + 2:.1f}"/>',
        f'<line class="median" x1="{x(q2):.1f}" x2="{x(q2):.1f}" y1="{base - 2:.1f}" '
        f'y2="{base + 5:.1f}"/>',
        text(10, base - 27, cut(spread.fit.label), "name"),
    ]


class Move(NamedTuple):
    """One score before and after."""

    name: str
    before: float
    after: float


def moves(name: str, rows: Sequence[tuple[str, Sequence[Move]]], ideal: float, title: str) -> str:
    """For each row its scores before (ring) and after (disc): the halves and their mean."""
    every = [v for _, own in rows for m in own for v in (m.before, m.after)] + [ideal]
    low, high = span(every)
    line, gap = 15, 22
    height: float = TOP + BOTTOM
    height += sum(gap + line * len(own) for _, own in rows)
    x = linear(low, high, 104, WIDTH - 14)
    body = []
    for value in ticks(low, high):
        at = x(value)
        body.append(
            f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>'
        )
        body.append(text(at, height - BOTTOM + 15, label(value), "tick", "middle"))
    at = x(ideal)
    body.append(
        f'<line class="ideal" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>'
    )
    body.append(text((104 + WIDTH - 14) / 2, height - 5, "score", "axis", "middle"))
    y = float(TOP)
    words = []
    for heading, own in rows:
        body.append(text(4, y + 14, cut(heading), "name"))
        y += gap
        for i, move in enumerate(own):
            a, b = x(move.before), x(move.after)
            css = f"c{i}"
            body.append(text(98, y + 8, move.name, "tick", "end"))
            body.append(
                f'<line class="move {css}" x1="{a:.1f}" x2="{b:.1f}" y1="{y + 4:.1f}" '
                f'y2="{y + 4:.1f}"/>'
                f'<circle class="ring {css}" cx="{a:.1f}" cy="{y + 4:.1f}" r="3.4"/>'
                f'<circle class="mark {css}" cx="{b:.1f}" cy="{y + 4:.1f}" r="3.4"/>'
            )
            words.append(f"{heading}, {move.name}: {move.before:.1f} to {move.after:.1f}")
            y += line
    return document(name, height, title, "; ".join(words) + ".", body)
