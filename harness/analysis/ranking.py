"""From the stores of one or more runs to a ranking of their methods.

A method is ranked by how far its bias scores are from their target; what it costs in language
ability stands beside it and is never mixed in. Controls are not ranked: methods are compared
with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.analysis.bootstrap import Resampler
from harness.analysis.controls import MeanNet, alike, check_control, control_of, mean_net
from harness.analysis.leaderboard import Leaderboard, Standing
from harness.analysis.matched_cost import Curves, common_cost, levels, matched
from harness.analysis.matrix import Entry, Matrix, Row, seed_summary
from harness.analysis.matrix_builder import matrix_of
from harness.analysis.reported import Publication
from harness.analysis.transfer import by_method, mean_improvement
from harness.data.domains import NO_DOMAIN, OVERALL
from harness.storage.cells import MethodNames, is_control
from harness.storage.reader import Column, RunReader
from harness.storage.store import Store

__all__ = ["Leaderboard", "Standing", "build_leaderboard", "rank"]


def build_leaderboard(stores: Sequence[Store], *, step: int | None = None) -> list[Standing]:
    """Rank methods by the mean distance of their bias scores to the target; see `rank`.

    Methods without a distance (all failed) stand last.
    """
    return list(rank(stores, step=step).standings)


def rank(
    stores: Sequence[Store],
    *,
    step: int | None = None,
    control: str | None = None,
    budget: float | None = None,
    match_at: float | None = None,
    seed: int = 0,
    reported: Sequence[Publication] = (),
) -> Leaderboard:
    """Rank the methods of runs.

    Args:
        stores: the runs.
        step: checkpoint; default: each cell's last.
        control: debiaser, masker or passage label to compare with; default: the control most
            like the method (`harness.analysis.controls.control_of`).
        budget: greatest increase of the language metric, in percent of the base's.
        match_at: cost, in percent, at which curves are read; default: the largest that the
            curves of all methods reach.
        seed: of the bootstrap.
        reported: publications to show beside.

    Raises:
        StoreError: a run has no record, not that step, or no run has that control.
    """
    readers = [RunReader(store) for store in stores]
    names = MethodNames(cell for reader in readers for cell in reader.index.cells)
    groups: list[_Group] = []
    every: list[Row] = []
    for reader in readers:
        resampler = Resampler(seed)
        matrix = matrix_of(reader, step=step, resampler=resampler)
        every += matrix.rows
        groups += _groups(reader, matrix, resampler, names)
    if control is not None:
        check_control(control, every)
    methods = [[group.curves.of(row) for row in group.rows] for group in groups if group.ranked]
    first = match_at
    if first is None:
        first = common_cost([points for own in methods for points in own])
    costs = levels(methods, first)
    standings = [_standing(group, groups, control, budget, costs) for group in groups]
    standings.sort(
        key=lambda s: (s.in_budget is False, s.distance is None, s.distance or 0.0, s.method)
    )
    language = next((group.language for group in groups if group.language), None)
    return Leaderboard(tuple(_with_front(standings)), costs, language, budget, tuple(reported))


@dataclass(frozen=True)
class _Group:
    """The rows of one method, and what is needed to judge them."""

    run: str
    model: str
    method: str
    names: MethodNames
    """Of all runs of the leaderboard."""
    rows: tuple[Row, ...]
    all_rows: tuple[Row, ...]
    control: bool
    language: Column | None
    bias: tuple[Column, ...]
    curves: Curves
    """Of all rows of the run."""

    @property
    def ranked(self) -> bool:
        """Whether it has a curve and is no control."""
        return not self.control and self.language is not None


def _groups(
    reader: RunReader, matrix: Matrix, resampler: Resampler, names: MethodNames
) -> list[_Group]:
    language = _language(matrix)
    bias = [column for column in matrix.columns if _is_bias(matrix, column)]
    curves = Curves(reader, matrix.rows, bias, language, resampler)
    return [
        _Group(
            run=matrix.name,
            model=model,
            method=method,
            names=names,
            rows=tuple(rows),
            all_rows=matrix.rows,
            control=all(is_control(row.cell) for row in rows),
            language=language,
            bias=tuple(c for c in bias if (model, c) in matrix.base),
            curves=curves,
        )
        for model, method, rows in by_method(matrix.rows, names)
    ]


def _language(matrix: Matrix) -> Column | None:
    """The cost: the first metric of no domain of which less is better (perplexity)."""
    for (_, column), metric in matrix.base.items():
        if column.domain in (NO_DOMAIN, OVERALL) and metric.direction.kind == "lower":
            return column
    return None


def _is_bias(matrix: Matrix, column: Column) -> bool:
    return any(
        own == column and metric.direction.kind == "target"
        for (_, own), metric in matrix.base.items()
    )


def _standing(
    group: _Group,
    groups: Sequence[_Group],
    control: str | None,
    budget: float | None,
    costs: Sequence[float],
) -> Standing:
    rows = group.rows
    measured = [(row, e) for row in rows for e in row.entries if e.status == "measured"]
    bias = [(row, e) for row, e in measured if e.towards_target and e.improvement is not None]
    distances: list[float] = []
    bases: list[float] = []
    inside: list[float] = []
    outside: list[float] = []
    for row, entry in bias:
        assert entry.after is not None
        assert entry.base is not None
        assert entry.after.value is not None
        assert entry.base.value is not None
        assert entry.improvement is not None
        distances.append(entry.after.direction.distance(entry.after.value))
        bases.append(entry.base.direction.distance(entry.base.value))
        (inside if entry.column.domain == row.cell.source else outside).append(entry.improvement)
    gains = [e.improvement or 0.0 for _, e in bias]
    mean = mean_improvement([e for _, e in bias])
    known = Standing(
        run=group.run,
        model=group.model,
        method=group.method,
        control=group.control,
        distance=_mean(distances),
        base_distance=_mean(bases),
        in_domain=_mean(inside),
        transfer=_mean(outside),
        harmed=sum(gain < 0 for gain in gains),
        compared=len(bias),
        cost=_cost(measured),
        failed=sum(e.status == "failed" for row in rows for e in row.entries),
        reasons=tuple(
            dict.fromkeys(
                e.reason or "" for row in rows for e in row.entries if e.status == "failed"
            )
        ),
        models=len({row.cell.fit_key for row in rows}),
        mean=mean.estimated() if mean else None,
        over_seeds=seed_summary([(row, e.improvement or 0.0) for row, e in bias]),
        gained=sum(gain > 0 for gain in gains),
        surely_gained=sum(e.significant and (e.improvement or 0.0) > 0 for _, e in bias),
        surely_harmed=sum(e.significant and (e.improvement or 0.0) < 0 for _, e in bias),
        cost_increase=_increase(measured, group.language),
        warnings=_warnings(bias),
        expected=len(rows) * len(group.bias),
    )
    partners: dict[int, Row | None] = {}
    if not group.control:
        partners = {id(row): control_of(row, group.all_rows, control) for row in rows}
    own = mean_net(bias, partners, _names(partners, group))
    within = None
    if budget is not None:
        within = known.cost_increase is not None and known.cost_increase <= budget
    return replace(
        known,
        net=own.effect if own else None,
        net_of=own.control if own else None,
        nets=tuple(_nets(bias, group, groups)),
        matched=tuple(matched(rows, group.curves, partners, cost) for cost in costs),
        in_budget=within,
    )


def _names(partners: Mapping[int, Row | None], group: _Group) -> str:
    rows = [row for row in partners.values() if row is not None]
    return ", ".join(dict.fromkeys(group.names.name(row.cell) for row in rows))


def _nets(
    bias: Sequence[tuple[Row, Entry]], group: _Group, groups: Sequence[_Group]
) -> list[MeanNet]:
    """Net of each control of the same run and model."""
    if group.control:
        return []
    found = []
    for other in groups:
        if other.control and (other.run, other.model) == (group.run, group.model):
            partners = {id(row): alike(row, other.rows) for row in group.rows}
            own = mean_net(bias, partners, other.method)
            if own is not None:
                found.append(own)
    return found


def _increase(measured: Sequence[tuple[Row, Entry]], language: Column | None) -> float | None:
    found = [
        100.0 * (e.after.value / e.base.value - 1.0)
        for _, e in measured
        if e.column == language and e.base and e.after and e.base.value and e.after.value
    ]
    return _mean(found)


def _warnings(bias: Sequence[tuple[Row, Entry]]) -> tuple[str, ...]:
    return tuple(
        f"{row.cell.source or '-'} -> {entry.column.domain} ({entry.column.evaluator}): "
        f"{entry.warning}"
        for row, entry in bias
        if entry.warning
    )


def _with_front(standings: Sequence[Standing]) -> list[Standing]:
    """Mark the methods of each model that no other one beats in both improvement and cost."""

    def beaten(own: Standing) -> bool:
        assert own.improvement is not None
        assert own.cost_increase is not None
        return any(
            other.improvement >= own.improvement
            and other.cost_increase <= own.cost_increase
            and (other.improvement, other.cost_increase) != (own.improvement, own.cost_increase)
            for other in standings
            if other.model == own.model and not other.control
            if other.improvement is not None and other.cost_increase is not None
        )

    return [
        replace(own, pareto=not beaten(own))
        if not own.control and own.improvement is not None and own.cost_increase is not None
        else own
        for own in standings
    ]


def _cost(measured: Sequence[tuple[Row, Entry]]) -> dict[str, tuple[float, float]]:
    """Mean value and mean change of the metrics that are about no domain."""
    found: dict[str, list[tuple[float, float]]] = {}
    for _, entry in measured:
        if entry.column.domain not in (NO_DOMAIN, OVERALL) or entry.after is None:
            continue
        if entry.after.value is not None and entry.change is not None:
            label = f"{entry.column.metric} {entry.column.protocol}"
            found.setdefault(label, []).append((entry.after.value, entry.change))
    return {
        label: (sum(v for v, _ in pairs) / len(pairs), sum(c for _, c in pairs) / len(pairs))
        for label, pairs in found.items()
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
