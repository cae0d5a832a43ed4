"""The answer of a run in one sentence: what moved, where, at what cost, and could it be chance.

The verdict reads the same entries and standings as the tables, so the two cannot disagree.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from harness.analysis.costs import language_cost
from harness.analysis.entry import Entry
from harness.analysis.matrix import Matrix, Row
from harness.analysis.units import PERCENT
from harness.storage.cells import is_control
from harness.storage.reader import Column

Where = Literal["source", "elsewhere"]
WHERE: Mapping[Where, str] = {"source": "on the source domain", "elsewhere": "on other domains"}
MOST_NAMED = 3
"""Methods that the verdict names for one kind of change."""


@dataclass(frozen=True)
class Moved:
    """How the bias scores of all methods moved, on the sources or on other domains.

    Attributes:
        where: on the source domains themselves, or elsewhere.
        scores: how many there are.
        better, worse: significant changes nearer to the ideal, and further from it.
        undefined: significant changes that are neither, because the base may be at the ideal.
        untested: changes of too few units to be tested.
    """

    where: Where
    scores: int
    better: int
    worse: int
    undefined: int
    untested: int


@dataclass(frozen=True)
class Changed:
    """Which of several methods changed a bias score significantly, on the sources or elsewhere.

    Attributes:
        where: on the source domains themselves, or elsewhere.
        methods: how many methods have a score there that can be tested.
        better, worse: names of those with a score nearer to the ideal, and further from it.
        undefined: names of those with a change that is neither, because the base is not
            significantly different from the ideal.
    """

    where: Where
    methods: int
    better: tuple[str, ...]
    worse: tuple[str, ...]
    undefined: tuple[str, ...]


@dataclass(frozen=True)
class Cost:
    """The range of a language metric's change over the methods, in percent or its own unit."""

    column: Column
    low: float
    high: float
    unit: str


@dataclass(frozen=True)
class Verdict:
    """What a run shows.

    Attributes:
        methods: how many methods it has, controls left out.
        moved: on the sources and elsewhere; empty where no bias score is measured.
        changed: the same by method, where there are several: a count pooled over methods says
            nothing about any of them.
        cost: of the language metric; None where it is not measured.
        control_moved: significant changes of controls, of `control_scores`.
        detectable: the typical minimum detectable change of each unit, by the unit (``points``,
            ``nats``); empty where nothing is tested.
        fits: the fewest fits of a method.
        text: all of it in one sentence or two.
    """

    methods: int
    moved: tuple[Moved, ...]
    changed: tuple[Changed, ...]
    cost: Cost | None
    control_moved: int
    control_scores: int
    detectable: Mapping[str, float]
    fits: int
    text: str


def verdict(matrix: Matrix) -> Verdict:
    """Sum up a matrix.

    Args:
        matrix: of a run.
    """
    methods = [row for row in matrix.pooled if not is_control(row.cell)]
    controls = [row for row in matrix.pooled if is_control(row.cell)]
    scores = _scores(methods)
    both = (_moved("source", scores), _moved("elsewhere", scores))
    control_scores = [entry for _, entry in _scores(controls) if entry.evidence != "exact"]
    known: dict[str, list[float]] = {}
    for _, entry in scores:
        if entry.detectable is not None:
            known.setdefault(matrix.unit(entry.column).change, []).append(entry.detectable)
    cost = _cost(matrix, methods)
    names = {_name(matrix, row) for row in methods}
    wordless = Verdict(
        methods=len(names),
        moved=tuple(moved for moved in both if moved.scores),
        changed=tuple(
            _changed(matrix, moved.where, scores)
            for moved in both
            if moved.scores and len(names) > 1
        ),
        cost=cost,
        control_moved=sum(entry.significant for entry in control_scores),
        control_scores=len(control_scores),
        detectable={unit: statistics.median(changes) for unit, changes in known.items()},
        fits=min((row.fits for row in methods), default=0),
        text="",
    )
    return replace(wordless, text=_text(wordless))


def _scores(rows: Sequence[Row]) -> list[tuple[Row, Entry]]:
    return [
        (row, entry)
        for row in rows
        for entry in row.entries
        if entry.role == "bias" and entry.towards_target and entry.change is not None
    ]


def _name(matrix: Matrix, row: Row) -> str:
    """The name of a row's method, with its model where there are several."""
    name = matrix.names.name(row.cell)
    several = len({row.cell.model for row in matrix.pooled}) > 1
    return f"{row.cell.model}: {name}" if several else name


def _is_at(where: Where, row: Row, entry: Entry) -> bool:
    return (entry.column.domain == row.cell.source) == (where == "source")


def _changed(matrix: Matrix, where: Where, scores: Sequence[tuple[Row, Entry]]) -> Changed:
    marks: dict[str, set[str]] = {}
    for row, entry in scores:
        if _is_at(where, row, entry) and entry.evidence != "untested":
            method_marks = marks.setdefault(_name(matrix, row), set())
            if entry.significant:
                method_marks.add(entry.mark if entry.mark in ("better", "worse") else "undefined")
    better, worse, undefined = (
        tuple(name for name, method_marks in marks.items() if mark in method_marks)
        for mark in ("better", "worse", "undefined")
    )
    return Changed(where, len(marks), better, worse, undefined)


def _moved(where: Where, scores: Sequence[tuple[Row, Entry]]) -> Moved:
    entries = [entry for row, entry in scores if _is_at(where, row, entry)]
    significant = [entry.mark for entry in entries if entry.significant]
    untested = sum(entry.evidence == "untested" for entry in entries)
    return Moved(
        where,
        len(entries),
        significant.count("better"),
        significant.count("worse"),
        significant.count("undefined") + significant.count("same"),
        untested,
    )


def _cost(matrix: Matrix, methods: Sequence[Row]) -> Cost | None:
    """The change of the language cost: the lowest and the highest mean of a method."""
    cost = language_cost(matrix)
    if cost is None:
        return None
    changes: dict[str, list[float]] = {}
    for row in methods:
        entry = row.entry(cost.column)
        base = entry.base.value if entry is not None and entry.base is not None else None
        if entry is not None and entry.value is not None and base is not None:
            name = _name(matrix, row)
            changes.setdefault(name, []).append(cost.of(base, entry.value))
    means = [math.fsum(values) / len(values) for values in changes.values()]
    if not means:
        return None
    return Cost(cost.column, min(means), max(means), "%" if cost.relative else "")


def _text(summary: Verdict) -> str:
    """The verdict in words."""
    if not summary.methods:
        return "This run compares no debiased model with its base."
    if not summary.moved:
        return "This run measured no bias score of a debiased model."
    parts = [_of_methods(changed) for changed in summary.changed]
    parts = parts or [_words(moved) for moved in summary.moved]
    sentence = "; ".join(parts)
    sentence = sentence[0].upper() + sentence[1:]
    if summary.cost is not None:
        low, high, unit = summary.cost.low, summary.cost.high, summary.cost.unit
        ends = dict.fromkeys(f"{value:+.1f}".replace("-", "−") for value in (low, high))
        span = " to ".join(ends)
        name = summary.cost.column.metric.replace("_", " ")
        sentence += f", at a change in {name} of {span}{' ' + unit if unit else ''}"
    sentence = f"{sentence}."
    if summary.control_scores:
        sentence += (
            f" Of the controls' scores, {summary.control_moved} of {summary.control_scores} "
            "changed significantly."
        )
    if summary.detectable:
        bounds = ", ".join(_bound(value, unit) for unit, value in summary.detectable.items())
        sentence += f" Typical minimum detectable change: {bounds}."
    if summary.fits == 1:
        sentence += " One fit per method: what another seed would give is not known."
    return sentence


def _bound(value: float, unit: str) -> str:
    """A minimum detectable change with its unit."""
    digits = 1 if unit == PERCENT.change else 2
    return f"{value:.{digits}f} {unit}".rstrip()


def _of_methods(changed: Changed) -> str:
    """What several methods did on the sources or elsewhere; each is counted once."""
    where = WHERE[changed.where]
    if not changed.methods:
        return f"{where}, no bias score can be tested"
    kinds = (
        (changed.better, "brought a bias score nearer to the ideal"),
        (changed.worse, "took one further from the ideal"),
        (changed.undefined, "changed one whose base is not significantly different from the ideal"),
    )
    parts: list[str] = []
    for names, what in kinds:
        if names:
            first = f"{len(names)} of {changed.methods} methods {what}".replace(
                " one ", " a bias score ", 1
            )
            parts.append((f"{len(names)} {what}" if parts else first) + _named(names))
    if not parts:
        return f"{where}, none of {changed.methods} methods changed a bias score significantly"
    return f"{where}, {', '.join(parts)}"


def _named(names: Sequence[str]) -> str:
    """The first few names, in brackets."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f" ({', '.join(names[:MOST_NAMED])}{more})"


def _words(moved: Moved) -> str:
    where = WHERE[moved.where]
    tested = moved.scores - moved.untested
    if not tested:
        return f"{where}, none of {_count(moved.scores, 'bias score')} can be tested"
    parts = [
        f"{count} {what}"
        for count, what in (
            (moved.better, "nearer to the ideal"),
            (moved.worse, "further from it"),
            (moved.undefined, "with a base that is not significantly different from the ideal"),
        )
        if count
    ]
    if not parts:
        return f"{where}, none of {_count(tested, 'bias score')} changed significantly"
    changed = moved.better + moved.worse + moved.undefined
    return f"{where}, {changed} of {_count(tested, 'bias score')} changed ({', '.join(parts)})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
