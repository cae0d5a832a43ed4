"""The contrasts of a run's hypotheses with their intervals, margins and verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis.hypothesis_tables import MARKS
from harness.analysis.hypothesis_tests import ContrastTest, HypothesisTests, Outcome
from harness.render import palette
from harness.render.figures import canvas
from harness.render.figures.canvas import Figure, Numbers
from harness.render.tables.numbers import interval, number, signed

NAME = 30
"""Letters of a row's name in one line."""

COLOURS = {"better": "better", "worse": "worse"}
"""Colours of marks; any other mark is muted."""


@dataclass(frozen=True)
class _Contrast:
    """A contrast, with all tests of it: of its side and of its equivalence."""

    tests: tuple[ContrastTest, ...]

    @property
    def first(self) -> ContrastTest:
        return self.tests[0]

    @property
    def name(self) -> str:
        cells = self.first.cells
        where = f", {cells[0].source} to {cells[0].target}" if len(cells) == 1 else ""
        return self.first.hypothesis.name + where

    @property
    def verdict(self) -> str:
        """The verdicts; "inconclusive" only where no test of the contrast says more."""
        known = dict.fromkeys(test.outcome for test in self.tests)
        return (
            ", ".join(verdict for verdict in known if verdict != "inconclusive") or "inconclusive"
        )

    @property
    def margin(self) -> float | None:
        margins = [t.hypothesis.margin for t in self.tests if t.hypothesis.margin is not None]
        return max(margins, default=None)


def verdict_figures(outcome: HypothesisTests) -> Iterator[Figure]:
    """Yield a figure for each model, metric and unit: contrasts of two share no axis.

    Args:
        outcome: the tests of a run. A contrast that cannot be worked out is left out.
    """
    groups: dict[tuple[str, str, str], dict[str, list[ContrastTest]]] = {}
    for test in outcome.tests:
        endpoint, contrast = test.hypothesis.endpoint, test.hypothesis.contrast
        if test.effect is not None:
            same = f"{endpoint!r} {contrast!r} {test.cells!r}"
            group = groups.setdefault((test.model, endpoint.metric, test.unit), {})
            group.setdefault(same, []).append(test)
    models = {model for model, _, _ in groups}
    for (model, metric, _), contrasts in groups.items():
        about = f"{model}, {metric}" if len(models) > 1 else metric
        yield _figure(about, [_Contrast(tuple(tests)) for tests in contrasts.values()])


def _figure(about: str, contrasts: Sequence[_Contrast]) -> Figure:
    title = f"Hypotheses about {about}: method less control"
    rows = []
    for contrast in contrasts:
        bounds = contrast.first.interval
        effect = contrast.first.effect
        assert effect is not None, "contrasts without an effect are left out"
        rows.append(
            (
                contrast.name,
                signed(effect.value),
                interval(*bounds) if bounds else "–",
                f"±{number(contrast.margin)}" if contrast.margin is not None else "–",
                contrast.verdict,
            )
        )
    words = "; ".join(f"{row[0]}: {row[1]} {row[2]}, {row[4]}" for row in rows)
    return Figure(
        name=f"hypotheses-{about}".replace(", ", "-").replace("_", "-").lower(),
        title=title,
        description=f"Contrasts with their 95 % intervals. {words}.",
        numbers=Numbers(
            ("hypothesis", "contrast", "95 % interval", "margin", "verdict"), tuple(rows)
        ),
        draw=lambda: _draw(title, contrasts),
    )


def _draw(title: str, contrasts: Sequence[_Contrast]) -> Any:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    names = [canvas.folded(f"{c.name}: {c.verdict}", NAME) for c in contrasts]
    lines = sum(name.count("\n") + 1.6 for name in names)
    height = 1.1 + canvas.LINE * (lines + 2) + canvas.title_height(title, canvas.WIDTH)
    figure, axis = canvas.new(canvas.WIDTH, height)
    axis.axvline(0, color=palette.LIGHT["muted"], lw=1)
    for row, contrast in enumerate(contrasts):
        effect, bounds = contrast.first.effect, contrast.first.interval
        assert effect is not None, "contrasts without an effect are left out"
        if contrast.margin is not None:
            axis.fill_betweenx([row - 0.42, row + 0.42], -contrast.margin, contrast.margin,
                               color=palette.LIGHT["rule"], lw=0)  # fmt: skip
        colour = palette.LIGHT[_colour([test.outcome for test in contrast.tests])]
        if bounds is not None:
            axis.plot(bounds, [row, row], color=colour, lw=1.6)
        axis.plot([effect.value], [row], "o", color=colour, ms=4.5)
    axis.set_yticks(range(len(names)), names, fontsize=6.5)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0, left=False)
    axis.grid(visible=False, axis="y")
    axis.grid(visible=True, axis="x")
    unit = contrasts[0].first.unit
    axis.set_xlabel(f"method less control,\n{unit}" if unit else "method less control")
    handles = [
        Line2D([], [], color=palette.LIGHT["better"], marker="o", lw=1.6, ms=4.5),
        Line2D([], [], color=palette.LIGHT["worse"], marker="o", lw=1.6, ms=4.5),
        Line2D([], [], color=palette.LIGHT["muted"], marker="o", lw=1.6, ms=4.5),
        Patch(color=palette.LIGHT["rule"], lw=0),
    ]
    labels = ["confirmed or equivalent", "harmful", "inconclusive", "equivalence margin"]
    figure.legend(handles, labels, loc="outside lower left", ncols=2, columnspacing=1)
    canvas.entitle(figure, title)
    return figure


def _colour(outcomes: Sequence[Outcome]) -> str:
    """Return the name of a contrast's colour: of the first of its verdicts that says something."""
    marks = [MARKS[outcome] for outcome in outcomes]
    return next((COLOURS[mark] for mark in marks if mark in COLOURS), "muted")
