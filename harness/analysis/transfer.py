"""Transfer: improvement on a target relative to improvement on the source.

Of a model debiased in domain s, the transfer to a target t is

    T(s -> t) = I(s, t) / I(s, s)

with I the improvement (decrease of the distance to the ideal): 1 means the same improvement as on
the source, 0 none, below 0 harm. A ratio means nothing where the source itself may not have
improved, so it is undefined there, with the reason. The ratio of a method is the improvement over
all other domains divided by the improvement over the sources.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.analysis.effects import Estimated, combined, estimated
from harness.analysis.entry import Entry
from harness.analysis.gains import Gain, Ratio, gain_of, ratio
from harness.analysis.matrix import Matrix, Row
from harness.storage.cells import Identity, MethodNames, in_common, is_control, method_of

__all__ = ["Asymmetry", "MethodRows", "Pairwise", "Transfer", "by_method", "ratio", "transfers"]


@dataclass(frozen=True)
class Pairwise:
    """Transfer from one source to one target; improvements are None where undefined."""

    source: str
    target: str
    on_source: Estimated | None
    on_target: Estimated | None
    ratio: Ratio


@dataclass(frozen=True)
class Asymmetry:
    """How much more ``first`` gives to ``second`` than it gets back, in the metric's unit.

    I(first, second) - I(second, first), each measured on the items of its own target.
    """

    first: str
    second: str
    difference: Estimated


@dataclass(frozen=True)
class Transfer:
    """Transfer of one method by one bias metric.

    Attributes:
        on_sources, on_targets: improvement over the sources and over the other domains; None
            where it is undefined.
        gained, harmed, undefined: scores of other domains that came nearer to the ideal, got
            further from it, or whose base may be at the ideal, of ``compared``.
        surely_gained, surely_harmed: of these, the significant ones.
        source_harmed: sources that got worse themselves, of ``sources``.
        unit: of the improvements.
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
    undefined: int
    surely_gained: int
    surely_harmed: int
    compared: int
    source_harmed: int
    sources: int
    unit: str = ""


class MethodRows(NamedTuple):
    """The rows of one method on one model, over its sources (and seeds)."""

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
    named = []
    for groups in same.values():
        cell = in_common([members[0].cell for members in groups])
        named.append(MethodRows(cell.model, names.name(cell), groups[0]))
    return named


def transfers(matrix: Matrix, *, pairs: bool = True) -> tuple[Transfer, ...]:
    """Transfer of every method of a matrix, by each bias metric that has a target value.

    Metrics are those of the columns shown. A method that knows no source domain (`dropout`) has
    no transfer.

    Args:
        matrix: whose rows and columns.
        pairs: also each source and target by itself.
    """
    summaries = []
    kinds = dict.fromkeys(c[:3] for c in matrix.columns)
    domains = {column.domain for column in matrix.columns}
    of_a_source = [row for row in matrix.pooled if row.cell.source in domains]
    for model, method, rows in by_method(of_a_source, matrix.names):
        for kind in kinds:
            transfer = _transfer(matrix, model, method, kind, rows, pairs=pairs)
            if transfer is not None:
                summaries.append(transfer)
    return tuple(summaries)


def _transfer(
    matrix: Matrix,
    model: str,
    method: str,
    kind: tuple[str, str, str],
    rows: Sequence[Row],
    *,
    pairs: bool,
) -> Transfer | None:
    cells: dict[tuple[str, str], Entry] = {}
    for row in rows:
        assert row.cell.source is not None
        for entry in row.entries:
            if entry.column[:3] == kind and entry.role == "bias" and entry.change is not None:
                cells[row.cell.source, entry.column.domain] = entry
    if not cells:
        return None
    others = {pair: entry for pair, entry in cells.items() if pair[0] != pair[1]}
    on_own = {pair: entry for pair, entry in cells.items() if pair[0] == pair[1]}
    on_sources, on_targets = gain_of(list(on_own.values())), gain_of(list(others.values()))
    marks = [entry.mark for entry in others.values()]
    return Transfer(
        model=model,
        method=method,
        control=all(is_control(row.cell) for row in rows),
        evaluator=kind[0],
        protocol=kind[1],
        metric=kind[2],
        on_sources=on_sources.estimated if on_sources else None,
        on_targets=on_targets.estimated if on_targets else None,
        ratio=ratio(on_targets, on_sources),
        pairs=tuple(_pairwise(others, on_own)) if pairs else (),
        asymmetries=tuple(_asymmetries(others)),
        gained=marks.count("better"),
        harmed=marks.count("worse"),
        undefined=marks.count("undefined"),
        surely_gained=sum(e.significant and e.mark == "better" for e in others.values()),
        surely_harmed=sum(e.significant and e.mark == "worse" for e in others.values()),
        compared=len(others),
        source_harmed=sum(e.mark == "worse" for e in on_own.values()),
        sources=len(on_own),
        unit=matrix.unit(next(iter(cells.values())).column).change,
    )


def _pairwise(
    others: dict[tuple[str, str], Entry], on_own: dict[tuple[str, str], Entry]
) -> Iterable[Pairwise]:
    gains = {pair[0]: gain_of([entry]) for pair, entry in on_own.items()}
    for (source, target), entry in others.items():
        gain, on_source = gain_of([entry]), gains.get(source)
        yield Pairwise(
            source,
            target,
            _estimated(on_source),
            _estimated(gain),
            ratio(gain, on_source),
        )


def _estimated(gain: Gain | None) -> Estimated | None:
    return None if gain is None else gain.estimated


def _asymmetries(others: dict[tuple[str, str], Entry]) -> Iterable[Asymmetry]:
    defined = {pair: entry for pair, entry in others.items() if entry.improvement is not None}
    gains = {pair: gain_of([entry]) for pair, entry in defined.items() if pair[::-1] in defined}
    for (source, target), there in gains.items():
        back = gains.get((target, source))
        if there is None or back is None or source > target:
            continue
        difference = combined([(1.0, there.effect), (-1.0, back.effect)])
        one, two = (gain.before.value - gain.after.value for gain in (there, back))
        yield Asymmetry(source, target, estimated(one - two, difference))
