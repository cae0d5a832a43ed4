"""From the stores of one or more runs to a ranking of their methods.

A method is ranked by how far its bias scores are from their target; what it costs in language
ability stands beside it and is never mixed in. Controls are not ranked: methods are compared
with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.bootstrap import Resampler
from harness.controls import check_control, control_of, is_control, net
from harness.curves import Point, common_cost, curve, read_at
from harness.domains import NO_DOMAIN, OVERALL
from harness.entries import Entry, Matrix, Row
from harness.matrix import matrix_of
from harness.reading import Column, RunReader
from harness.reported import Publication
from harness.stats import Floats, SeedSummary, over_seeds, percentile_interval
from harness.store import Store
from harness.transfer import Estimated, mean_improvement, method_name

__all__ = ["Leaderboard", "Standing", "build_leaderboard", "rank"]


@dataclass(frozen=True)
class Standing:
    """One method of one run, over all its sources and seeds, at each cell's last step.

    Attributes:
        distance: mean distance of the bias scores to their target, in points.
        base_distance: the same of the base model.
        in_domain: mean improvement on the source domain itself.
        transfer: mean improvement on the other domains.
        harmed: bias scores that moved away from their target, of `compared`.
        cost: change of the language metrics, by label, as a mean over cells.
        failed: failed entries.
        control: whether methods are compared with it.
        mean: mean improvement of all bias scores, with its interval over items.
        over_seeds: the same over seeds; None for a single seed.
        net: mean improvement minus that of the control on the same items.
        net_of: debiaser and masker of that control.
        surely_gained, surely_harmed: bias scores with a corrected p-value below 0.05.
        gained: bias scores that came nearer to their target, of `compared`.
        cost_increase: mean increase of the language metric, in percent of the base's.
        matched: mean improvement where its curves cross the cost that all methods reach.
        pareto: whether no other method of the model improves more at a lower or equal cost.
        in_budget: whether `cost_increase` is within the budget; None where none was set.
        warnings: what a reader must know of its entries, each once.
    """

    run: str
    model: str
    method: str
    control: bool
    distance: float | None
    base_distance: float | None
    in_domain: float | None
    transfer: float | None
    harmed: int
    compared: int
    cost: dict[str, tuple[float, float]]
    failed: int
    models: int
    mean: Estimated | None = None
    over_seeds: SeedSummary | None = None
    net: Estimated | None = None
    net_of: str | None = None
    gained: int = 0
    surely_gained: int = 0
    surely_harmed: int = 0
    cost_increase: float | None = None
    matched: float | None = None
    pareto: bool = False
    in_budget: bool | None = None
    warnings: tuple[str, ...] = ()

    @property
    def improvement(self) -> float | None:
        """How much nearer to the target than the base."""
        if self.distance is None or self.base_distance is None:
            return None
        return self.base_distance - self.distance


@dataclass(frozen=True)
class Leaderboard:
    """Standings, and what they were made with.

    Attributes:
        standings: best first; those over budget after the others.
        matched_at: the cost, in percent of the base's, at which the curves were read; None where
            no such cost is reached by all.
        language: the metric that is the cost.
        budget: the greatest increase allowed, in percent.
        reported: numbers from the literature, never ranked with measured ones.
    """

    standings: tuple[Standing, ...]
    matched_at: float | None
    language: Column | None
    budget: float | None
    reported: tuple[Publication, ...] = ()


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
            like the method (`harness.controls.control_of`).
        budget: greatest increase of the language metric, in percent of the base's.
        match_at: cost, in percent, at which curves are read; default: the largest that the
            curves of all methods reach.
        seed: of the bootstrap.
        reported: publications to show beside.

    Raises:
        StoreError: a run has no record, not that step, or no run has that control.
    """
    groups: list[_Group] = []
    every: list[Row] = []
    for store in stores:
        reader = RunReader(store)
        matrix = matrix_of(reader, step=step, resampler=Resampler(seed))
        every += matrix.rows
        groups += _groups(reader, matrix)
    if control is not None:
        check_control(control, every)
    level = match_at
    if level is None:
        level = common_cost([c for group in groups if not group.control for c in group.curves])
    standings = [_standing(group, control, budget, level) for group in groups]
    standings.sort(
        key=lambda s: (s.in_budget is False, s.distance is None, s.distance or 0.0, s.method)
    )
    language = next((group.language for group in groups if group.language), None)
    return Leaderboard(tuple(_with_front(standings)), level, language, budget, tuple(reported))


@dataclass(frozen=True)
class _Group:
    """The rows of one method, and what is needed to judge them."""

    run: str
    model: str
    method: str
    rows: tuple[Row, ...]
    all_rows: tuple[Row, ...]
    control: bool
    language: Column | None
    curves: tuple[list[Point], ...]


def _groups(reader: RunReader, matrix: Matrix) -> list[_Group]:
    language = _language(matrix)
    bias = [column for column in matrix.columns if _is_bias(matrix, column)]
    by_method: dict[tuple[str, str], list[Row]] = {}
    for row in matrix.rows:
        by_method.setdefault((row.cell.model, method_name(row.cell)), []).append(row)
    return [
        _Group(
            matrix.name,
            model,
            method,
            tuple(rows),
            matrix.rows,
            all(is_control(row.cell) for row in rows),
            language,
            tuple(curve(reader, row.cell, bias, language) for row in rows) if language else (),
        )
        for (model, method), rows in by_method.items()
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
    group: _Group, control: str | None, budget: float | None, level: float | None
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
        models=len({row.cell.fit_key for row in rows}),
        mean=mean.estimated() if mean else None,
        over_seeds=_seeds(bias),
        gained=sum(gain > 0 for gain in gains),
        surely_gained=sum(e.significant and (e.improvement or 0.0) > 0 for _, e in bias),
        surely_harmed=sum(e.significant and (e.improvement or 0.0) < 0 for _, e in bias),
        cost_increase=_increase(measured, group.language),
        matched=_matched(group.curves, level),
        warnings=_warnings(bias),
    )
    effect, of = _net(bias, group, control)
    within = None
    if budget is not None:
        within = known.cost_increase is not None and known.cost_increase <= budget
    return replace(known, net=effect, net_of=of, in_budget=within)


def _net(
    bias: Sequence[tuple[Row, Entry]], group: _Group, control: str | None
) -> tuple[Estimated | None, str | None]:
    """Mean effect net of the controls; None unless every entry has one."""
    if group.control:
        return None, None
    partners = {id(row): control_of(row, group.all_rows, control) for row in group.rows}
    effects: list[float] = []
    names: dict[str, None] = {}
    draws: list[Floats] = []
    for row, entry in bias:
        partner = partners[id(row)]
        own = net(entry, partner) if partner is not None else None
        if partner is None or own is None:
            return None, None
        effects.append(own.improvement)
        names[method_name(partner.cell)] = None
        if own.draws is not None:
            draws.append(own.draws)
    if not effects:
        return None, None
    whole = len(draws) == len(effects)
    interval = percentile_interval(np.mean(draws, axis=0)) if whole else None
    return Estimated(sum(effects) / len(effects), interval), ", ".join(names)


def _seeds(bias: Sequence[tuple[Row, Entry]]) -> SeedSummary | None:
    """Mean improvement over seeds of different fits; None for a single one."""
    by_seed: dict[int | None, list[float]] = {}
    fits: dict[int | None, set[str | None]] = {}
    for row, entry in bias:
        by_seed.setdefault(row.cell.seed, []).append(entry.improvement or 0.0)
        fits.setdefault(row.cell.seed, set()).add(row.cell.fit_key)
    if len(by_seed) < 2 or len({frozenset(own) for own in fits.values()}) < 2:
        return None
    return over_seeds([sum(own) / len(own) for own in by_seed.values()])


def _matched(curves: Sequence[list[Point]], level: float | None) -> float | None:
    """Mean of the curves at a cost; None unless every one of them reaches it."""
    if level is None or not curves:
        return None
    values = [read_at(points, level) for points in curves]
    known = [value for value in values if value is not None]
    return _mean(known) if len(known) == len(values) else None


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
