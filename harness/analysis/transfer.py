"""Transfer: improvement on a target relative to improvement on the source.

Of a model debiased in domain s, the transfer to a target t is

    T(s -> t) = I(s, t) / I(s, s)

with I the improvement (decrease of the distance to the ideal): 1 is as much as on the source, 0
none, below 0 harm. A ratio says nothing where the source itself did not surely improve, so it is
undefined there, with the reason, instead of a wild number. The ratio of a method is the mean
improvement on other domains over the mean improvement on the sources.

Intervals are over items, by the paired bootstrap of `harness.analysis.bootstrap`; seeds of a
source are averaged first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from harness.analysis.interval import Interval
from harness.analysis.matrix import Entry, Matrix, Row
from harness.analysis.stats import percentile_interval
from harness.arrays import Floats
from harness.storage.cells import Identity, MethodNames, in_common, is_control, method_of


class Estimated(NamedTuple):
    """A mean improvement in points, and its 95 % interval over items where there is one."""

    value: float
    interval: Interval | None


class Ratio(NamedTuple):
    """A transfer ratio, or the reason why it is undefined.

    Attributes:
        value: the ratio; None where it is undefined.
        interval: 95 % over items; None where it is undefined or unbounded.
        reason: why there is no value, or no interval.
    """

    value: float | None
    interval: Interval | None
    reason: str | None


@dataclass(frozen=True)
class Pairwise:
    """Transfer from one source to one target."""

    source: str
    target: str
    on_source: Estimated | None
    on_target: Estimated
    ratio: Ratio


@dataclass(frozen=True)
class Asymmetry:
    """How much more ``first`` gives to ``second`` than it gets back, in points.

    I(first, second) - I(second, first), each measured on the items of its own target.
    """

    first: str
    second: str
    difference: Estimated


@dataclass(frozen=True)
class Transfer:
    """Transfer of one method by one bias metric.

    Attributes:
        gained, harmed: targets other than the source that came nearer to the ideal, or got
            further from it, of ``compared``.
        surely_gained, surely_harmed: of these, those with a corrected p-value below 0.05.
        source_harmed: sources that got worse themselves, of ``sources``.
    """

    model: str
    method: str
    control: bool
    evaluator: str
    protocol: str
    metric: str
    on_sources: Estimated | None
    on_targets: Estimated | None
    ratio: Ratio
    pairs: tuple[Pairwise, ...]
    asymmetries: tuple[Asymmetry, ...]
    gained: int
    harmed: int
    surely_gained: int
    surely_harmed: int
    compared: int
    source_harmed: int
    sources: int


class MethodRows(NamedTuple):
    """The rows of one method on one model, over its sources and seeds."""

    model: str
    method: str
    rows: list[Row]


def by_method(rows: Sequence[Row], names: MethodNames) -> list[MethodRows]:
    """Group rows by model and method, in the order of the rows.

    What is one computation under several labels or maskers (`dropout`) is one method, once.

    Args:
        rows: of a matrix.
        names: what methods are called.
    """
    methods: dict[Identity, list[Row]] = {}
    for row in rows:
        methods.setdefault(method_of(row.cell), []).append(row)
    same: dict[tuple[object, ...], list[list[Row]]] = {}
    for number, (method, members) in enumerate(methods.items()):
        fits = {(row.cell.seed, row.cell.source, row.step, row.cell.fit_key) for row in members}
        known = all(row.cell.fit_key is not None for row in members)
        computation = method.model, method.debiaser, frozenset(fits) if known else number
        same.setdefault(computation, []).append(members)
    found = []
    for groups in same.values():
        cell = in_common([members[0].cell for members in groups])
        found.append(MethodRows(cell.model, names.name(cell), groups[0]))
    return found


def transfers(matrix: Matrix, *, pairs: bool = True) -> tuple[Transfer, ...]:
    """Transfer of every method of a matrix, by each metric that has a target value.

    Metrics are of the columns shown; a cell that was debiased in no domain has no transfer.

    Args:
        matrix: whose rows and columns.
        pairs: also each source and target by itself.
    """
    found = []
    kinds = dict.fromkeys(c[:3] for c in matrix.columns)
    of_a_source = [row for row in matrix.rows if row.cell.source is not None]
    for model, method, rows in by_method(of_a_source, matrix.names):
        for kind in kinds:
            own = _transfer(model, method, kind, rows, pairs=pairs)
            if own is not None:
                found.append(own)
    return tuple(found)


class _Mean(NamedTuple):
    """A mean of improvements and of their bootstrap values (None where one has none)."""

    value: float
    draws: Floats | None

    def estimated(self) -> Estimated:
        known = self.draws is not None
        return Estimated(self.value, percentile_interval(self.draws) if known else None)  # type: ignore[arg-type]


def mean_improvement(entries: Sequence[Entry]) -> _Mean | None:
    """Mean improvement of entries, with its bootstrap values; None where none has a value."""
    known = [e for e in entries if e.improvement is not None]
    if not known:
        return None
    value = sum(e.improvement or 0.0 for e in known) / len(known)
    drawn = [e.draws.improvement for e in known if e.draws is not None]
    if len(drawn) < len(known):
        return _Mean(value, None)
    return _Mean(value, sum(drawn[1:], start=drawn[0]) / len(drawn))


def _transfer(
    model: str, method: str, kind: tuple[str, str, str], rows: Sequence[Row], *, pairs: bool
) -> Transfer | None:
    entries: dict[tuple[str, str], list[Entry]] = {}
    for row in rows:
        assert row.cell.source is not None
        for entry in row.entries:
            if entry.column[:3] == kind and entry.towards_target and entry.improvement is not None:
                entries.setdefault((row.cell.source, entry.column.domain), []).append(entry)
    if not entries:
        return None
    means = {pair: own for pair, es in entries.items() if (own := mean_improvement(es)) is not None}
    inside = {pair: own for pair, own in means.items() if pair[0] == pair[1]}
    outside = {pair: own for pair, own in means.items() if pair[0] != pair[1]}
    on_sources, on_targets = _mean(inside.values()), _mean(outside.values())
    others = [e for (s, t), es in entries.items() if s != t for e in es]
    own_entries = [e for (s, t), es in entries.items() if s == t for e in es]
    return Transfer(
        model=model,
        method=method,
        control=all(is_control(row.cell) for row in rows),
        evaluator=kind[0],
        protocol=kind[1],
        metric=kind[2],
        on_sources=on_sources.estimated() if on_sources else None,
        on_targets=on_targets.estimated() if on_targets else None,
        ratio=_ratio(on_targets, on_sources),
        pairs=tuple(_pairwise(outside, inside)) if pairs else (),
        asymmetries=tuple(_asymmetries(outside)),
        gained=sum((e.improvement or 0.0) > 0 for e in others),
        harmed=sum((e.improvement or 0.0) < 0 for e in others),
        surely_gained=sum(e.significant and (e.improvement or 0.0) > 0 for e in others),
        surely_harmed=sum(e.significant and (e.improvement or 0.0) < 0 for e in others),
        compared=len(others),
        source_harmed=sum((e.improvement or 0.0) < 0 for e in own_entries),
        sources=len(own_entries),
    )


def _mean(means: Iterable[_Mean]) -> _Mean | None:
    known = list(means)
    if not known:
        return None
    value = sum(own.value for own in known) / len(known)
    drawn = [own.draws for own in known if own.draws is not None]
    whole = len(drawn) == len(known)
    return _Mean(value, sum(drawn[1:], start=drawn[0]) / len(drawn) if whole else None)


def _pairwise(
    outside: dict[tuple[str, str], _Mean], inside: dict[tuple[str, str], _Mean]
) -> Iterable[Pairwise]:
    on_source = {pair[0]: own.estimated() for pair, own in inside.items()}
    for (s, t), own in outside.items():
        ratio_ = _ratio(own, inside.get((s, s)))
        yield Pairwise(s, t, on_source.get(s), own.estimated(), ratio_)


def _ratio(on_target: _Mean | None, on_source: _Mean | None) -> Ratio:
    if on_source is None:
        return Ratio(None, None, "the source is not measured")
    if on_target is None:
        return Ratio(None, None, "no other domain is measured")
    return ratio(on_target.value, on_source.value, on_target.draws, on_source.draws)


def ratio(
    on_target: float, on_source: float, target_draws: Floats | None, source_draws: Floats | None
) -> Ratio:
    """Divide improvements, with a percentile interval of the ratio of their bootstrap values.

    Undefined unless the source surely improved: its 95 % interval lies above zero (Fieller's
    condition for a bounded interval). A draw in which it did not counts as infinite.
    """
    if on_source < 0:
        return Ratio(None, None, "the source got worse")
    if target_draws is None or source_draws is None:
        return Ratio(None, None, "too few items to tell that the source improved")
    surely = percentile_interval(source_draws)
    if surely is None or surely.low <= 0 or on_source == 0:
        return Ratio(None, None, "the source may not have improved at all")
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.where(
            source_draws > 0, target_draws / source_draws, np.copysign(np.inf, target_draws)
        )
    low, high = np.sort(drawn)[[int(0.025 * len(drawn)), int(0.975 * len(drawn)) - 1]]
    value = on_target / on_source
    if not (np.isfinite(low) and np.isfinite(high)):
        return Ratio(value, None, "the interval is unbounded")
    return Ratio(value, Interval(float(low), float(high)), None)


def _asymmetries(outside: dict[tuple[str, str], _Mean]) -> Iterable[Asymmetry]:
    for (s, t), there in outside.items():
        back = outside.get((t, s))
        if back is None or s > t:
            continue
        drawn = None
        if there.draws is not None and back.draws is not None:
            drawn = there.draws - back.draws
        yield Asymmetry(s, t, _Mean(there.value - back.value, drawn).estimated())
