"""Verdicts of hypotheses and what a design can detect, as typed tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.analysis.hypothesis_tests import ContrastTest, HypothesisTests, Outcome
from harness.analysis.power import Planned
from harness.analysis.stats import FEWEST_FITS
from harness.analysis.tables import Mark, Table, TableCell, TableColumn, TableRow
from harness.planning.hypotheses import Arm, Hypothesis
from harness.storage.cells import METHOD_AXES

MARKS: dict[Outcome, Mark] = {
    "confirmed": "better",
    "equivalent": "better",
    "inconclusive": "undefined",
    "harmful": "worse",
}


def claim_of(hypothesis: Hypothesis) -> str:
    """A hypothesis in words."""
    contrast, endpoint = hypothesis.contrast, hypothesis.endpoint
    method = _arm(contrast.method)
    against = f" more than {_arm(contrast.control)}" if contrast.control is not None else ""
    where = contrast.cells if isinstance(contrast.cells, str) else "the cells named"
    cells = {"transfer": "other domains", "source": "the source", "all": "all domains"}
    on = cells.get(where, where)
    metric = f"{endpoint.metric} ({endpoint.evaluator})"
    first, *rest = hypothesis.questions()
    if rest:
        equal = f"by at most {hypothesis.margin:g}"
        if contrast.control is not None:
            equal = f"as much, within ±{hypothesis.margin:g}"
        return f"{claim_of(first)}, or changes it {equal}"
    if hypothesis.margin is not None:
        equal = f"by at most {hypothesis.margin:g}"
        if contrast.control is not None:
            equal = f"as much as {_arm(contrast.control)}, within ±{hypothesis.margin:g}"
        return f"{method} changes {metric} on {on} {equal}"
    verb = {"lower": "lowers", "higher": "raises", "two-sided": "changes"}[hypothesis.side]
    if hypothesis.side == "two-sided" and against:
        against = f" differently from {_arm(contrast.control)}" if contrast.control else ""
    return f"{method} {verb} {metric} on {on}{against}"


def _arm(arm: Arm | None) -> str:
    if arm is None:
        return ""
    parts = (getattr(arm, axis) for axis in METHOD_AXES)
    return " + ".join(part for part in parts if part)


def hypothesis_table(outcome: HypothesisTests) -> Table:
    """The verdict of each test, in the order of the spec."""
    several = len({tested.model for tested in outcome.tests}) > 1
    rows = [_row(tested, several) for tested in outcome.tests]
    claims = dict.fromkeys(f"{t.hypothesis.name}: {claim_of(t.hypothesis)}." for t in outcome.tests)
    doses = _grouped("Dose: ", [(t.hypothesis.name, "; ".join(t.doses)) for t in outcome.tests])
    reasons = _grouped("", [(t.hypothesis.name, t.reason) for t in outcome.tests])
    covers = {t.effect.covers for t in outcome.tests if t.effect is not None}
    over = covers.pop() if len(covers) == 1 else f"items, and fits where there are {FEWEST_FITS}"
    count = sum(len(tested.p_values) for tested in outcome.tests)
    return Table(
        key="hypotheses",
        title=f"Hypotheses of {outcome.run}, {outcome.registered}",
        columns=(
            TableColumn("hypothesis", "hypothesis"),
            TableColumn("cells", "cells"),
            TableColumn("verdict", "verdict"),
            TableColumn("effect", "contrast", "method less control", "effect"),
            TableColumn("unit", "unit", "of the contrast"),
            TableColumn("p", "p (Holm)", form="number", digits=4),
        ),
        rows=tuple(rows),
        legend=(
            "Contrast: the change of the endpoint by the method less that by the control, with a "
            f"95 % interval over {over}.",
            f"p is corrected by Holm over {count} {'test' if count == 1 else 'tests'}; the verdict "
            f"is at {outcome.alpha:g}. confirmed: the claim is significant; equivalent: within the "
            "margin by two one-sided tests; harmful: significantly the other way, or beyond the "
            "margin; inconclusive: neither. All other stars of this run are exploratory.",
        ),
        notes=(*claims, *doses, *reasons),
    )


def _grouped(start: str, remarks: Iterable[tuple[str, str]]) -> list[str]:
    """One line for each remark, with the names of the hypotheses that it is about."""
    names: dict[str, list[str]] = {}
    for name, remark in remarks:
        if remark:
            names.setdefault(remark, []).append(name)
    return [
        f"{start}{remark} ({', '.join(dict.fromkeys(about))})." for remark, about in names.items()
    ]


def _row(tested: ContrastTest, several: bool) -> TableRow:
    name = tested.hypothesis.name
    title = f"{tested.model}: {name}" if several else name
    effect = tested.effect
    mark: Mark = MARKS[tested.outcome]
    return TableRow(
        "method",
        (
            TableCell(text=title),
            TableCell(text=_cells(tested)),
            TableCell(text=tested.outcome, note=tested.reason),
            TableCell(absent="–", note=tested.reason)
            if effect is None
            else TableCell(
                value=effect.value,
                interval=tested.interval,
                interval_covers=effect.covers,
                p=tested.p,
                adjusted_p=tested.decisive_p,
                mark=mark if tested.outcome in ("confirmed", "harmful") else "same",
                evidence="significant" if tested.outcome != "inconclusive" else "not significant",
                note=tested.reason,
            ),
            TableCell(text=tested.unit),
            TableCell(value=tested.decisive_p)
            if tested.decisive_p is not None
            else TableCell(absent="–", note=tested.reason),
        ),
        model=tested.model,
        method=title,
    )


def _cells(tested: ContrastTest) -> str:
    if len(tested.cells) == 1:
        (pair,) = tested.cells
        return f"{pair.source} to {pair.target}"
    return f"mean of {len(tested.cells)}"


def power_table(planned: Sequence[Planned], run: str) -> Table:
    """What each hypothesis of a spec can detect.

    Args:
        planned: one for each hypothesis.
        run: name of the spec.
    """
    asked = any(plan.power is not None for plan in planned)
    columns = [
        TableColumn("hypothesis", "hypothesis"),
        TableColumn("items", "items", form="count"),
        TableColumn("fits", "fits", form="count"),
        TableColumn("error", "standard error", form="number", digits=3),
        TableColumn("detectable", "detectable", form="number", digits=3),
        TableColumn("unit", "unit"),
    ]
    if asked:
        columns += [
            TableColumn("power", "power", form="number"),
            TableColumn("fits_needed", "fits needed", form="count"),
            TableColumn("items_needed", "items needed", form="count"),
        ]
    names = [plan.hypothesis.name for plan in planned]
    levels = {plan.level for plan in planned}
    level = f"{levels.pop():.3g}" if len(levels) == 1 else "the level of each"
    sources = dict.fromkeys(plan.noise.source for plan in planned)
    notes = dict.fromkeys(f"{plan.hypothesis.name}: {plan.note}." for plan in planned if plan.note)
    legend = [
        "Detectable: the smallest effect, or the smallest equivalence margin, that the test shows "
        f"in 4 of 5 studies, at level {level} (Holm's first step).",
        f"Noise from {', '.join(sources)}.",
    ]
    if asked:
        legend.insert(
            1,
            "Power: probability to show the effect that was asked for, or the margin of the spec. "
            "Fits and items needed: for a power of 0.8, each with the other as it is; –: no number "
            "is enough.",
        )
    return Table(
        key="power",
        title=f"What the hypotheses of {run} can detect",
        columns=tuple(columns),
        rows=tuple(
            _plan_row(plan, asked, names.count(plan.hypothesis.name) > 1) for plan in planned
        ),
        legend=tuple(legend),
        notes=tuple(notes),
    )


def _plan_row(plan: Planned, asked: bool, several: bool) -> TableRow:
    name = plan.hypothesis.name
    if several:
        name += ", difference" if plan.hypothesis.margin is None else ", equivalence"
    cells = [
        TableCell(text=name),
        TableCell(count=plan.items),
        TableCell(count=plan.fits),
        TableCell(value=plan.error),
        TableCell(value=plan.detectable, note=plan.note),
        TableCell(text=plan.unit),
    ]
    if asked:
        cells.append(TableCell(value=plan.power) if plan.power is not None else _NONE)
        for needed in (plan.fits_needed, plan.items_needed):
            cells.append(TableCell(count=needed) if needed is not None else _NONE)
    return TableRow("method", tuple(cells), method=name)


_NONE = TableCell(absent="–")
