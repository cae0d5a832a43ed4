"""Drawings of items and halves: one row a method and source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.analysis.halves import Move
from harness.analysis.item_changes import Spread, SpreadPanel
from harness.analysis.step_curves import MOST_CURVES
from harness.render.page.svg import (
    BOTTOM,
    COLOURS,
    NAMES,
    TOP,
    WIDTH,
    Scale,
    Style,
    Styles,
    beside,
    cut,
    document,
    label,
    linear,
    marker,
    span,
    text,
    ticks,
)


def ridges(name: str, panel: SpreadPanel, styles: Styles, title: str) -> str:
    """For each fit the distribution of its items' changes, on one scale, zero marked."""
    many = len(panel.spreads) > MOST_CURVES
    row = 17 if many else 52
    height = TOP + row * len(panel.spreads) + BOTTOM
    outer = [q for s in panel.spreads for q in (s.quantiles()[0], s.quantiles()[-1])]
    reach = max(abs(v) for v in outer) * 1.25 or 1.0
    x = linear(-reach, reach, NAMES if many else 10, WIDTH - 10)
    body = []
    for value in ticks(-reach, reach, 4 if many else 6):
        at = x(value)
        css = "zero" if abs(value) < 1e-12 else "grid"
        body.append(
            f'<line class="{css}" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>'
        )
        body.append(text(at, height - BOTTOM + 15, label(value), "tick", "middle"))
    body.append(text(x(0), height - 5, f"change of an item, {panel.unit}", "axis", "middle"))
    for i, spread in enumerate(panel.spreads):
        style = styles.of(spread.fit.source or "", spread.fit.method)
        if many:
            body += _bar(spread, x, TOP + row * (i + 0.5), style)
        else:
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


def _bar(spread: Spread, x: Scale, middle: float, style: Style) -> list[str]:
    """The middle half as a bar, nine in ten as a line, the median as a tick."""
    colour = f"c{style.colour % COLOURS}"
    low, q1, q2, q3, high = spread.quantiles()
    return [
        text(NAMES - 6, middle + 3.5, beside(spread.fit.label), "name small", "end"),
        f'<line class="whisker {colour}" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{middle:.1f}" '
        f'y2="{middle:.1f}"/>',
        f'<line class="iqr {colour}" x1="{x(q1):.1f}" x2="{x(q3):.1f}" y1="{middle:.1f}" '
        f'y2="{middle:.1f}"/>',
        f'<line class="median" x1="{x(q2):.1f}" x2="{x(q2):.1f}" y1="{middle - 4:.1f}" '
        f'y2="{middle + 4:.1f}"/>',
    ]


def dots(name: str, rows: Sequence[tuple[str, Sequence[Move]]], ideal: float, title: str) -> str:
    """For each row the changes of its scores on one line: for more rows than `moves` can show."""
    changes = [m.after - m.before for _, own in rows for m in own]
    low, high = span([*changes, 0.0])
    line = 17
    names = list(dict.fromkeys(m.name for _, own in rows for m in own))
    top = TOP + 18
    height = float(top + BOTTOM + line * len(rows))
    x = linear(low, high, NAMES, WIDTH - 10)
    body = []
    for k, part in enumerate(names):  # the legend, above
        at = 8 + k * (WIDTH - 16) / max(len(names), 1)
        body.append(marker(at, TOP + 2, Style(k, k), 3.2))
        body.append(text(at + 8, TOP + 5.5, part, "tick"))
    for value in ticks(low, high):
        css = "zero" if abs(value) < 1e-12 else "grid"
        body.append(
            f'<line class="{css}" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{top}" '
            f'y2="{height - BOTTOM:g}"/>'
        )
        body.append(text(x(value), height - BOTTOM + 15, label(value), "tick", "middle"))
    body.append(text((NAMES + WIDTH) / 2, height - 5, "change of the score", "axis", "middle"))
    for i, (heading, own) in enumerate(rows):
        middle = top + line * (i + 0.5)
        body.append(text(NAMES - 6, middle + 3.5, beside(heading), "name small", "end"))
        ends = [m.after - m.before for m in own]
        body.append(
            f'<line class="grid" x1="{x(min(ends)):.1f}" x2="{x(max(ends)):.1f}" '
            f'y1="{middle:.1f}" y2="{middle:.1f}"/>'
        )
        for m in own:
            k = names.index(m.name)
            body.append(marker(x(m.after - m.before), middle, Style(k, k), 3.2))
    words = "; ".join(
        f"{heading}: " + ", ".join(f"{m.name} {m.after - m.before:+.1f}" for m in own)
        for heading, own in rows
    )
    return document(name, height, title, f"Changes of the halves; ideal {ideal:g}. {words}.", body)


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
