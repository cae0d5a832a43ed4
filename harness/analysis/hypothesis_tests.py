"""Tests of the hypotheses that a spec fixed before its first result, and nothing else.

Each hypothesis is a contrast: the change that a method makes to an endpoint, less the change that a
control makes, on the same items. It is tested by t over items and fits that are both random
(`harness.analysis.stats.crossed`). An equivalence is tested by two one-sided tests (Schuirmann
1987). All p-values are corrected together by Holm. Every other star of a run is exploratory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from scipy import special

from harness.analysis.corrections import adjust
from harness.analysis.effects import Effect, combined, mean_effect
from harness.analysis.entry import Entry
from harness.analysis.interval import Interval
from harness.analysis.matrix import Matrix, Row
from harness.analysis.matrix_builder import matrix_of, over_fits_of
from harness.analysis.stats import FEWEST_UNITS, t_interval
from harness.errors import StoreError
from harness.planning.hypotheses import Arm, Endpoint, Hypotheses, Hypothesis, Pair
from harness.storage.reader import Column, RunReader

Outcome = Literal["confirmed", "equivalent", "inconclusive", "harmful"]


@dataclass(frozen=True)
class ContrastTest:
    """One test: a hypothesis on one model, over its cells or on one of them.

    Attributes:
        hypothesis: as the spec has it.
        model: label of the model.
        cells: the cells that the effect is a mean over.
        effect: the contrast; None where a cell of it is not measured.
        p: of the hypothesis: one-sided, two-sided, or the larger of the two of an equivalence.
        adjusted_p: corrected by Holm over all tests of the section.
        equal_p: of the equivalence, where the hypothesis has a side and a margin.
        adjusted_equal_p: the same, corrected in the same family.
        harm_p: the same of an effect in the other direction, or beyond the margin and worse.
        outcome: the verdict.
        worse: the sign of a harmful change of the endpoint; 0 where there is none.
        reason: why a test is inconclusive without a p-value.
        doses: what the method and the control cost, in words; empty where that is not measured.
        unit: of the effect.
    """

    hypothesis: Hypothesis
    model: str
    cells: tuple[Pair, ...]
    effect: Effect | None
    p: float | None = None
    adjusted_p: float | None = None
    equal_p: float | None = None
    adjusted_equal_p: float | None = None
    harm_p: float | None = None
    outcome: Outcome = "inconclusive"
    worse: int = 0
    reason: str = ""
    doses: tuple[str, ...] = ()
    unit: str = ""

    @property
    def p_values(self) -> tuple[float, ...]:
        """The uncorrected p-values of its questions; none where it cannot be tested."""
        return tuple(p for p in (self.p, self.equal_p) if p is not None)

    @property
    def decisive_p(self) -> float | None:
        """The corrected p-value that the verdict rests on: of the equivalence where that is it."""
        if self.outcome == "equivalent" and self.adjusted_equal_p is not None:
            return self.adjusted_equal_p
        return self.adjusted_p

    @property
    def interval(self) -> Interval | None:
        """95 % interval of the contrast, over items, or over items and fits."""
        return self.effect.interval if self.effect is not None else None


@dataclass(frozen=True)
class HypothesisTests:
    """All tests of a run's section ``hypotheses``.

    Attributes:
        run: its name.
        alpha: the family-wise error rate.
        registered: when the hypotheses were fixed, in words, with what was known by then.
    """

    run: str
    alpha: float
    registered: str
    tests: tuple[ContrastTest, ...]


def verdicts(reader: RunReader) -> HypothesisTests:
    """Test the hypotheses of a run.

    Raises:
        StoreError: the run has no hypotheses, or not those that were fixed with its first result,
            or an endpoint is not measured.
    """
    section = hypotheses_of(reader)
    tests = [tested for hypothesis in section.tests for tested in contrasts(reader, hypothesis)]
    return HypothesisTests(
        reader.index.name, section.alpha, _registered(reader), tuple(judged(tests, section.alpha))
    )


def tested_of(reader: RunReader) -> HypothesisTests | None:
    """Return `verdicts` of a run; None where it has no hypotheses or they cannot be tested.

    For pages and figures, which show what there is. `verdicts` says what is missing.
    """
    if not reader.index.spec.get("hypotheses"):
        return None
    try:
        return verdicts(reader)
    except StoreError:
        return None


def hypotheses_of(reader: RunReader) -> Hypotheses:
    """The hypotheses of a run, checked against the hash that was fixed with its first result.

    Raises:
        StoreError: there are none, or they are not those that were fixed.
    """
    where = reader.store.folder
    stored = reader.index.spec.get("hypotheses")
    if not stored:
        raise StoreError(
            f"{where}: this run has no hypotheses; write them into the spec's section "
            "`hypotheses` before the first result"
        )
    section = Hypotheses.model_validate(stored)
    fixed = reader.index.registration
    if fixed is not None and fixed.sha256 != section.sha256():
        raise StoreError(f"{where}: the hypotheses are not those that were fixed {fixed.fixed_at}")
    return section


def _registered(reader: RunReader) -> str:
    fixed = reader.index.registration
    if fixed is None:
        return "not registered: nothing says that the hypotheses are older than the results"
    when = f"fixed {fixed.fixed_at[:16].replace('T', ' ')}"
    if fixed.results_before:
        return f"{when}, when {fixed.results_before} results were known"
    return f"{when}, before the first result"


def contrasts(reader: RunReader, hypothesis: Hypothesis) -> Iterator[ContrastTest]:
    """The tests of a hypothesis, without p-values."""
    endpoint = hypothesis.endpoint
    matrix = matrix_of(
        reader,
        metric=endpoint.metric,
        evaluator=endpoint.evaluator,
        protocol=protocol_of(reader, endpoint),
        step=hypothesis.step,
    )
    rows = over_fits_of(matrix.rows)
    domains = list(dict.fromkeys(column.domain for column in matrix.columns))
    targets = [target for target in reader.index.targets if target in domains] or domains
    sources = list(dict.fromkeys(row.cell.source for row in rows if row.cell.source))
    models = hypothesis.models or list(dict.fromkeys(row.cell.model for row in rows))
    for model in models:
        pairs = hypothesis.contrast.pairs(sources, targets)
        effects = [_contrast(matrix, rows, hypothesis, model, pair) for pair in pairs]
        made = partial(
            ContrastTest,
            hypothesis,
            model,
            worse=_worse(matrix, model),
            doses=tuple(_doses(reader, hypothesis, model)),
            unit=matrix.unit(matrix.columns[0]).change,
        )
        if not pairs:
            yield made((), None, reason="the run has no such cell")
        elif hypothesis.contrast.pool:
            missing = [p for p, e in zip(pairs, effects, strict=True) if e is None]
            known = [e for e in effects if e is not None]
            if missing:
                yield made(pairs, None, reason=_missing(missing))
            else:
                yield made(pairs, mean_effect(known), reason=_few(rows, hypothesis, pairs))
        else:
            for pair, effect in zip(pairs, effects, strict=True):
                reason = _few(rows, hypothesis, [pair])
                if effect is None:
                    reason = _missing([pair])
                yield made((pair,), effect, reason=reason)


def _worse(matrix: Matrix, model: str) -> int:
    """The sign of a harmful change of the endpoint: 1 up, -1 down, 0 where there is none."""
    signs = set()
    for (other, _), metric in matrix.base.items():
        if other == model:
            direction, value = metric.direction, metric.value
            if direction.kind == "target" and direction.target is not None and value is not None:
                signs.add(1 if value > direction.target else -1)
            else:
                signs.add({"lower": 1, "higher": -1}.get(direction.kind, 0))
    return signs.pop() if len(signs) == 1 else 0


def _missing(pairs: Sequence[Pair]) -> str:
    return "not measured: " + ", ".join(f"{p.source} to {p.target}" for p in pairs)


def _few(rows: Sequence[Row], hypothesis: Hypothesis, pairs: Sequence[Pair]) -> str:
    """Why some cell of a contrast cannot be judged, in words; empty where every cell can."""
    targets = {pair.target for pair in pairs}
    arms = hypothesis.contrast.method, hypothesis.contrast.control
    reasons = {
        entry.column.domain: entry.few
        for row in rows
        if any(arm is not None and _is_of(row, arm) for arm in arms)
        for entry in row.entries
        if entry.column.domain in targets and entry.few
    }
    return "; ".join(f"{domain}: {few}" for domain, few in reasons.items())


def protocol_of(reader: RunReader, endpoint: Endpoint) -> str:
    """The protocol of an endpoint; the only one where it names none.

    Raises:
        StoreError: it names none, and the evaluator has several.
    """
    if endpoint.protocol is not None:
        return endpoint.protocol
    steps = {k: max(cell.steps, default=0) for k, cell in enumerate(reader.index.cells)}
    columns = reader.columns(steps, endpoint.metric, endpoint.evaluator)
    known = list(dict.fromkeys(column.protocol for column in columns))
    if len(known) > 1:
        raise StoreError(
            f"{endpoint.evaluator} has several protocols ({', '.join(known)}): name one in "
            "`endpoint.protocol`"
        )
    return known[0]


def _contrast(
    matrix: Matrix, rows: Sequence[Row], hypothesis: Hypothesis, model: str, pair: Pair
) -> Effect | None:
    """The change of a method less that of its control in one cell; None if one is not measured."""
    column = next((c for c in matrix.columns if c.domain == pair.target), None)
    method = _change(rows, hypothesis.contrast.method, model, pair.source, column)
    if hypothesis.contrast.control is None or method is None:
        return method
    control = _change(rows, hypothesis.contrast.control, model, pair.source, column)
    return None if control is None else combined([(1.0, method), (-1.0, control)])


def _change(
    rows: Sequence[Row], arm: Arm, model: str, source: str, column: Column | None
) -> Effect | None:
    """The mean change of the cells of an arm."""
    entries = [
        entry
        for row in rows
        if row.cell.model == model and row.cell.source == source and _is_of(row, arm)
        if column is not None and (entry := row.entry(column)) is not None
    ]
    effects = [entry.effect for entry in entries if entry.effect is not None]
    return mean_effect(effects) if effects and len(effects) == len(entries) else None


def _is_of(row: Row, arm: Arm) -> bool:
    return row.cell.debiaser == arm.debiaser and all(
        wanted is None or getattr(row.cell, axis) == wanted
        for axis, wanted in (("masker", arm.masker), ("corpus", arm.corpus), ("label", arm.label))
    )


def _doses(reader: RunReader, hypothesis: Hypothesis, model: str) -> Iterator[str]:
    """What both arms cost, by the run's dose and language metrics."""
    matrix = matrix_of(reader, step=hypothesis.step)
    arms = {"method": hypothesis.contrast.method, "control": hypothesis.contrast.control}
    for column in matrix.columns:
        entries = {
            name: [
                entry
                for row in matrix.rows
                if row.cell.model == model and _is_of(row, arm)
                if (entry := row.entry(column)) is not None and entry.value is not None
            ]
            for name, arm in arms.items()
            if arm is not None
        }
        words = {name: _dose(of_arm) for name, of_arm in entries.items() if of_arm}
        shown = [f"{name} {text}" for name, text in words.items() if text]
        if shown:
            yield f"{column.metric.replace('_', ' ')}: {', '.join(shown)}"


def is_dose(entry: Entry) -> bool:
    """Whether an entry is a distance from the base: no ideal, of no domain, and 0 for the base."""
    base = entry.base.value if entry.base is not None else None
    return base == 0.0 and entry.no_ideal


def _dose(entries: Sequence[Entry]) -> str:
    values = [entry.value for entry in entries if entry.value is not None]
    if is_dose(entries[0]):
        return f"{math.fsum(values) / len(values):.3g}"
    if entries[0].role != "language":
        return ""
    rises = [
        100.0 * (entry.change or 0.0) / entry.base.value
        for entry in entries
        if entry.base is not None and entry.base.value
    ]
    return f"{math.fsum(rises) / len(rises):+.1f} %" if rises else ""


# -- verdicts ----------------------------------------------------------------------------------


def judged(tests: Sequence[ContrastTest], alpha: float) -> list[ContrastTest]:
    """Tests with p-values, corrected together by Holm, and verdicts.

    Every question is a test of the family: a hypothesis with a side and a margin has two. So the
    chance of any false "confirmed" or "equivalent" is at most alpha. "Harmful" is the other
    direction, a family of its own.
    """
    with_p = [_with_p(tested) for tested in tests]
    adjusted = iter(adjust([p for tested in with_p for p in tested.p_values], "holm"))
    harms = iter(adjust([t.harm_p for t in with_p if t.harm_p is not None], "holm"))
    corrected = []
    for tested in with_p:
        if tested.p is not None:
            tested = replace(tested, adjusted_p=next(adjusted))
            if tested.equal_p is not None:
                tested = replace(tested, adjusted_equal_p=next(adjusted))
            tested = replace(tested, outcome=_outcome(tested, next(harms), alpha))
        corrected.append(tested)
    return corrected


def _outcome(tested: ContrastTest, harm: float, alpha: float) -> Outcome:
    first, *rest = tested.hypothesis.questions()
    if tested.adjusted_p is not None and tested.adjusted_p < alpha:
        return "confirmed" if first.margin is None else "equivalent"
    if rest and tested.adjusted_equal_p is not None and tested.adjusted_equal_p < alpha:
        return "equivalent"
    return "harmful" if harm < alpha else "inconclusive"


def _with_p(tested: ContrastTest) -> ContrastTest:
    effect = tested.effect
    if effect is None:
        return tested
    if effect.variance is None:
        few = f"fewer than {FEWEST_UNITS} independent units: nothing can be tested"
        return replace(tested, reason=tested.reason or few)
    first, *rest = tested.hypothesis.questions()
    p, harm = _p_values(first, effect, tested.worse)
    equal = _p_values(rest[0], effect, tested.worse)[0] if rest else None
    return replace(tested, p=p, equal_p=equal, harm_p=harm)


def _p_values(question: Hypothesis, effect: Effect, worse: int) -> tuple[float, float]:
    """The p-values of a single question, and of harm: the other direction, or beyond a margin."""
    if question.margin is not None:
        beneath, above = (
            lower_p(effect, -question.margin),
            1.0 - lower_p(effect, question.margin),
        )
        p = max(1.0 - above, 1.0 - beneath)
        return p, above if worse > 0 else beneath if worse < 0 else 1.0
    below = lower_p(effect)
    if question.side == "two-sided":
        return min(1.0, 2.0 * min(below, 1.0 - below)), 1.0
    p = below if question.side == "lower" else 1.0 - below
    return p, 1.0 - p


def lower_p(effect: Effect, bound: float = 0.0) -> float:
    """One-sided p-value of "the effect is not below a bound"."""
    assert effect.variance is not None
    variance, df = float(effect.variance.value), float(effect.variance.df)
    distance = effect.value - bound
    if variance <= 0:
        return 0.0 if distance < 0 else 1.0
    return float(special.stdtr(max(df, 1.0), distance / math.sqrt(variance)))


def equivalence_interval(effect: Effect, alpha: float) -> Interval | None:
    """The interval of level 1 - 2 alpha: two one-sided tests reject if the margin holds it."""
    if effect.variance is None:
        return None
    variance, df = float(effect.variance.value), float(effect.variance.df)
    return t_interval(effect.value, variance, df, 1.0 - 2.0 * alpha)


__all__ = [
    "ContrastTest",
    "HypothesisTests",
    "Outcome",
    "contrasts",
    "equivalence_interval",
    "hypotheses_of",
    "is_dose",
    "judged",
    "lower_p",
    "protocol_of",
    "verdicts",
]
