"""Inline SVG by hand: scales, axes, curves, scatters, ridges. Colours come from the page's CSS.

Every drawing is 360 units wide, so that its text is legible on a phone, and carries a title and a
description for screen readers; the page puts a table of the same numbers beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

from harness.analysis.step_curves import Panel, TradeOff

WIDTH = 360
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 10, 36
NAMES = 152
"""Where names at the left of a drawing end."""
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
    """Gives each group a colour and each style a dash, in order of appearance.

    With one group, or with more styles than there are dashes, it is the style that has the colour;
    after eight of them the dashes change.
    """

    def __init__(self, groups: Sequence[str] = (), styles: Sequence[str] = ()) -> None:
        self._groups = {name: i for i, name in enumerate(dict.fromkeys(groups))}
        self._styles = {name: i for i, name in enumerate(dict.fromkeys(styles))}
        self.by_style = len(self._groups) < 2 or len(self._styles) > MARKERS
        """Whether colours stand for styles."""

    def of(self, group: str, style: str) -> Style:
        """The style of a line."""
        at = self._styles.setdefault(style, len(self._styles))
        if self.by_style:
            return Style(at, at // COLOURS if len(self._styles) > MARKERS else at)
        return Style(self._groups.setdefault(group, len(self._groups)), at)


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


def beside(words: str, room: int = 29) -> str:
    """A method and source that fit beside a drawing: the source stays whole."""
    method, _, source = words.partition(" from ")
    source = f", {source}" if source else ""
    return cut(method, room - len(source)) + source


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
    every = [p for c in panel.curves for p in c.points]
    values = [p.value for p in every]
    if panel.ranges:
        values += [v for p in every for v in (p.low, p.high) if v is not None]
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
            if panel.ranges and point.low is not None and point.high is not None:
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
    short = plot.metric.split(" (")[0]
    xname = f"{short}, {better} is better"
    body = axes(ticks(xlow, xhigh), ticks(ylow, yhigh), x, y, height, xname)
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
    ends_at = [(x(way[-1][1]), y(way[-1][2]), fit.method) for fit, way in plot.paths]
    if plot.base:
        bx, by = x(plot.base[0]), y(plot.base[1])
        body.append(f'<circle class="base" cx="{bx:.1f}" cy="{by:.1f}" r="4.4"/>')
        ends_at.append((bx, by, "base"))
    # names instead of a legend
    body += _names([own for own in ends_at if plot.merged or own[2] == "base"], height)
    ends = "; ".join(f"{fit.label}: {way[-1][1]:.2f}, {way[-1][2]:.2f}" for fit, way in plot.paths)
    description = f"Horizontal: {plot.metric}. Vertical: mean distance of bias scores. {ends}."
    return document(name, height, "Bias against language ability", description, body)


def _names(points: Sequence[tuple[float, float, str]], height: float) -> list[str]:
    """Names beside their points, moved up or down where they would cover another."""
    size, found = 9.5, []
    taken: list[tuple[float, float, float]] = []  # left, right, baseline
    for px, py, words in sorted(points, key=lambda own: own[1]):
        shown = cut(words, 28)
        away = -1 if px > WIDTH / 2 else 1
        near, far = px + 7 * away, px + (7 + 5.2 * len(shown)) * away
        left, right = min(near, far), max(near, far)
        tries = (py + 3 + sign * k * size / 2 for k in range(24) for sign in (1, -1))
        at = next(
            (
                y
                for y in tries
                if TOP + 4 < y < height - BOTTOM - 2
                and all(left > r or right < o or abs(y - b) >= size for o, r, b in taken)
            ),
            py + 3,
        )
        taken.append((left, right, at))
        if abs(at - py - 3) > size:
            found.append(
                f'<line class="leader" x1="{px:.1f}" y1="{py:.1f}" x2="{px + 6 * away:.1f}" '
                f'y2="{at - 3:.1f}"/>'
            )
        anchor = "end" if away < 0 else "start"
        found.append(text(near, at, shown, "name small", anchor))
    return found
