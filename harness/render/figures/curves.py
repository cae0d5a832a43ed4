"""Scores over unlearning steps."""

from __future__ import annotations

from typing import Any

from harness.analysis.curve_panels import Panel
from harness.render import palette
from harness.render.figures import canvas
from harness.render.figures.canvas import Figure, Numbers
from harness.render.figures.looks import Look, Looks
from harness.render.tables.numbers import interval, number

LABEL = 42
"""Letters of a label of the legend in one line."""


def curves_figure(name: str, panel: Panel, looks: Looks, *, group: str = "") -> Figure:
    """Return the figure of a panel: one line for each curve, a dashed rule at the ideal.

    Args:
        name: of the figure.
        panel: what to draw.
        looks: of the run.
        group: the heading it is shown under.
    """
    title = f"{group}: {panel.title}" if group else panel.title
    ends = "; ".join(
        f"{c.label}: {c.points[0].value:.2f} to {c.points[-1].value:.2f}" for c in panel.curves
    )
    return Figure(
        name=name,
        title=title,
        description=f"{panel.unit} over unlearning steps. {ends}.",
        numbers=_numbers(panel),
        draw=lambda: _draw(title, panel, looks),
        group=group,
    )


def _numbers(panel: Panel) -> Numbers:
    steps = sorted({p.step for curve in panel.curves for p in curve.points})
    rows = []
    for curve in panel.curves:
        by_step = {p.step: p for p in curve.points}
        cells = []
        for step in steps:
            point = by_step.get(step)
            bounds = interval(point.low, point.high) if point else ""
            cells.append(f"{number(point.value)} {bounds}".strip() if point else "–")
        rows.append((curve.label, *cells))
    return Numbers(("series", *(f"step {step}" for step in steps)), tuple(rows))


def _draw(title: str, panel: Panel, looks: Looks) -> Any:
    labels = [canvas.folded(curve.label, LABEL) for curve in panel.curves]
    if panel.ideal is not None:
        labels.append(panel.rule)
    columns = 2 if max(map(len, labels)) <= LABEL // 2 else 1
    height = 2.05 + canvas.legend_height(labels, columns) + canvas.title_height(title, canvas.WIDTH)
    figure, axis = canvas.new(canvas.WIDTH, height)
    reach = max(p.step for c in panel.curves for p in c.points)
    handles = []
    for k, curve in enumerate(panel.curves):
        look = Look(k, k) if panel.summary else looks.of(curve.group, curve.style)
        xs, ys = [p.step for p in curve.points], [p.value for p in curve.points]
        handles += axis.plot(xs, ys, **look.options())
        ranged = [p for p in curve.points if p.low is not None and p.high is not None]
        lows, highs = [p.low for p in ranged], [p.high for p in ranged]
        if panel.summary:
            axis.fill_between(
                [p.step for p in ranged], lows, highs, color=look.hex, alpha=0.15, lw=0
            )
        elif panel.ranges:  # several curves at one step: side by side
            aside = 0.012 * reach * (k - (len(panel.curves) - 1) / 2)
            axis.vlines([p.step + aside for p in ranged], lows, highs, color=look.hex, lw=1)
    if panel.ideal is not None:
        handles.append(
            axis.axhline(panel.ideal, color=palette.LIGHT["muted"], lw=1, ls=(0, (4, 3)))
        )
    canvas.entitle(figure, title)
    axis.set_xlabel("unlearning steps")
    axis.set_ylabel(canvas.cut(panel.unit, 36))
    steps = sorted({p.step for c in panel.curves for p in c.points})
    if len(steps) <= 8:
        axis.set_xticks(steps)
    figure.legend(handles, labels, loc="outside lower left", ncols=columns)
    return figure
