"""Bias against language ability: the way of each method, and the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.analysis.trade_off import TradeOff
from harness.render import palette
from harness.render.figures import canvas
from harness.render.figures.canvas import Figure, Numbers
from harness.render.figures.looks import Looks
from harness.render.tables.numbers import number

WIDTH = 5.2
TITLE = "Bias against language ability"


def trade_off_figure(plot: TradeOff, looks: Looks) -> Figure:
    """Return the figure; many methods have their names next to the points, where they fit."""
    front = set(plot.front)
    rows: list[tuple[str, ...]] = []
    if plot.base:
        rows.append(_row("base", 0, *plot.base, plot.base in front))
    for fit, way in plot.paths:
        rows += [_row(fit.label, step, x, y, (x, y) in front) for step, x, y in way]
    ends = "; ".join(f"{fit.label}: {way[-1][1]:.2f}, {way[-1][2]:.2f}" for fit, way in plot.paths)
    return Figure(
        name="bias-against-language",
        title=TITLE,
        description=f"Across: {plot.metric}. Up: mean distance of bias scores. {ends}.",
        numbers=Numbers(
            ("method", "step", plot.metric, "mean distance", "Pareto front"), tuple(rows)
        ),
        draw=lambda: _draw(plot, looks),
    )


def _row(name: str, step: int, x: float, y: float, front: bool) -> tuple[str, ...]:
    return name, str(step), number(x), number(y), "yes" if front else "no"


def _draw(plot: TradeOff, looks: Looks) -> Any:
    named = [] if plot.merged else [canvas.folded(fit.label, 40) for fit, _ in plot.paths]
    labels = [*named, "base", "Pareto front"]
    columns = 2 if max(map(len, labels)) <= 36 else 1
    figure, axis = canvas.new(WIDTH, 3.4 + canvas.legend_height(labels, columns))
    handles = []
    for fit, way in plot.paths:
        track = [*([plot.base] if plot.base else []), *((x, y) for _, x, y in way)]
        look = looks.of(fit.source or "", fit.method).options()
        (line,) = axis.plot(*zip(*track, strict=True), lw=0.9, ms=3, **look)
        axis.plot(*track[-1], **{**look, "ms": 6})
        handles.append(line)
    ink = palette.LIGHT["ink"]
    shown = [] if plot.merged else list(zip(handles, named, strict=True))
    if plot.base:
        (dot,) = axis.plot(*plot.base, "o", mfc=palette.LIGHT["sheet"], mec=ink, ms=7, zorder=5)
        shown.append((dot, "base"))
    if len(plot.front) > 1:
        steps = axis.step(*zip(*plot.front, strict=True), where="post",
                          color=palette.LIGHT["muted"], lw=1.2, zorder=1)  # fmt: skip
        shown.append((steps[0], "Pareto front"))
    better = "lower" if plot.direction.kind == "lower" else "higher"
    canvas.entitle(figure, TITLE)
    axis.set_xlabel(canvas.folded(f"{plot.metric}, {better} is better", 60))
    unit = f", {plot.unit}" if plot.unit else ""
    axis.set_ylabel(f"mean distance of the bias scores\nto their ideal{unit}, lower is better")
    axis.grid(axis="both")
    if shown:
        figure.legend(*zip(*shown, strict=True), loc="outside lower left", ncols=columns)
    if plot.merged:
        axis.margins(x=0.12, y=0.08)
        ends = [(way[-1][1], way[-1][2], fit.method) for fit, way in plot.paths]
        # the points on the front are named first: they are what the figure is about
        ends.sort(key=lambda end: (end[0], end[1]) not in plot.front)
        _name_points(figure, axis, ends, avoid=[plot.base] if plot.base else [])
    return figure


def _name_points(
    figure: Any,
    axis: Any,
    points: Sequence[tuple[float, float, str]],
    avoid: Sequence[tuple[float, float]],
) -> None:
    """Put names next to points where they cover neither another name nor another point.

    A name that has no room is left out; the numbers under the figure have it.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # names must not move the axes any more
    renderer = figure.canvas.get_renderer()
    inside = axis.get_window_extent(renderer)
    dots = axis.transData.transform([*((x, y) for x, y, _ in points), *avoid])
    reach = 4 * figure.dpi / 72
    taken: list[Any] = []
    places = [(6, 0, "left", "center"), (-6, 0, "right", "center"), (0, 6, "center", "bottom"),
              (0, -6, "center", "top"), (6, 7, "left", "bottom"), (6, -7, "left", "top"),
              (-6, 7, "right", "bottom"), (-6, -7, "right", "top")]  # fmt: skip
    for k, (x, y, name) in enumerate(points):
        for dx, dy, across, up in places:
            label = axis.annotate(canvas.folded(name, 30), (x, y), xytext=(dx, dy), fontsize=7,
                                  ha=across, va=up, textcoords="offset points")  # fmt: skip
            box = label.get_window_extent(renderer)
            free = inside.x0 <= box.x0 and box.x1 <= inside.x1
            free = free and inside.y0 <= box.y0 and box.y1 <= inside.y1
            free = free and not any(box.overlaps(other) for other in taken)
            free = free and not any(
                box.x0 - reach < px < box.x1 + reach and box.y0 - reach < py < box.y1 + reach
                for j, (px, py) in enumerate(dots) if j != k
            )  # fmt: skip
            if free:
                taken.append(box)
                break
            label.remove()
