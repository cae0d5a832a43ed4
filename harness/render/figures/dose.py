"""How bias scores change with the dose: the divergence from the base on neutral text."""

from __future__ import annotations

from typing import Any

from harness.analysis.trade_off import DosePanel
from harness.render import palette
from harness.render.figures import canvas
from harness.render.figures.canvas import Figure, Numbers
from harness.render.figures.looks import Looks
from harness.render.tables.numbers import number, signed

LABEL = 42
"""Letters of a label of the legend in one line."""


def dose_figure(name: str, panel: DosePanel, looks: Looks) -> Figure:
    """Return the figure: a line for each fit, or points where a fit was read once.

    Args:
        name: of the figure.
        panel: what to draw.
        looks: of the run.
    """
    c = panel.column
    title = f"{c.domain}: {c.metric} over dose, {c.evaluator} ({c.protocol})"
    rows = tuple(
        (fit.label, str(point.step), number(point.dose, 4), signed(point.change))
        for fit, points in panel.curves
        for point in points
    )
    ends = "; ".join(
        f"{fit.label}: {points[-1].change:+.2f} at {points[-1].dose:.3g}"
        for fit, points in panel.curves
    )
    return Figure(
        name=name,
        title=title,
        description=f"Across: {panel.dose.metric} from the base. Up: change of the score. {ends}.",
        numbers=Numbers(("method", "step", panel.dose.metric, "change"), rows),
        draw=lambda: _draw(title, panel, looks),
        group=c.domain,
    )


def _draw(title: str, panel: DosePanel, looks: Looks) -> Any:
    labels = [canvas.folded(fit.label, LABEL) for fit, _ in panel.curves]
    labels += ["ideal", "no change"] if panel.ideal is not None else ["no change"]
    columns = 2 if max(map(len, labels)) <= LABEL // 2 else 1
    height = 2.05 + canvas.legend_height(labels, columns) + canvas.title_height(title, canvas.WIDTH)
    figure, axis = canvas.new(canvas.WIDTH, height)
    handles = []
    for fit, points in panel.curves:
        look = looks.of(fit.source or "", fit.method).options()
        xs, ys = [p.dose for p in points], [p.change for p in points]
        if fit in panel.joined:  # from the base, which has neither dose nor change
            xs, ys = [0.0, *xs], [0.0, *ys]
        else:
            look["ls"] = ""
        handles += axis.plot(xs, ys, **look)
    muted = palette.LIGHT["muted"]
    if panel.ideal is not None:
        handles.append(axis.axhline(panel.ideal - panel.base, color=muted, lw=1, ls=(0, (4, 3))))
    handles.append(axis.axhline(0, color=muted, lw=0.6))
    canvas.entitle(figure, title)
    axis.set_xlabel(f"{panel.dose.metric.upper()} from the base on neutral text, nats a token")
    unit = f", {panel.unit}" if panel.unit else ""
    changed = f"change of {panel.column.metric} from {panel.base:.1f}{unit}"
    axis.set_ylabel(canvas.folded(changed, 22))
    axis.set_xlim(left=0)
    figure.legend(handles, labels, loc="outside lower left", ncols=columns)
    return figure
