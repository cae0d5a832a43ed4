"""From the stores of one or more runs to a ranking of their methods.

Methods are ordered by how far their bias scores are from the ideal. What they cost in language
ability is a column of its own and does not change the rank. Controls are not ranked: methods are
compared with them. `harness.analysis.standing_order` gives the ranks.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from harness.analysis.comparability import differences, settings_of
from harness.analysis.controls import PREFERENCE, alike, labelled, mean_net
from harness.analysis.costs import Cost, dose, language_cost
from harness.analysis.effects import Estimated, combined, mean_effect
from harness.analysis.entry import Entry
from harness.analysis.gains import gain_of
from harness.analysis.leaderboard import LanguageCost, Leaderboard, MeanNet, Standing
from harness.analysis.matched_cost import Curves, Matched, common_cost, levels, matched
from harness.analysis.matrix import Matrix, Row, fit_summary
from harness.analysis.matrix_builder import matrix_of
from harness.analysis.reported import Publication
from harness.analysis.standing_order import ordered, with_front, with_ranks
from harness.analysis.stats import FitSummary
from harness.analysis.transfer import by_method
from harness.errors import StoreError
from harness.storage.cells import Cell, MethodNames, is_control
from harness.storage.reader import Column, RunReader
from harness.storage.store import Store


def rank(
    stores: Sequence[Store | RunReader],
    *,
    step: int | None = None,
    control: str | None = None,
    budget: float | None = None,
    match_at: float | None = None,
    dose_at: float | None = None,
    unit: str | None = None,
    only_comparable: bool = False,
    reported: Sequence[Publication] = (),
    matrices: Sequence[Matrix] | None = None,
) -> Leaderboard:
    """Rank the methods of runs.

    Args:
        stores: the runs, or readers of them that have read some records already.
        step: checkpoint; default: each cell's last.
        control: debiaser, masker or passage label to compare with; default: the control that the
            most methods can be compared with, of the kind closest to a method.
        budget: greatest cost of the language metric, in percent of the base's.
        match_at: cost at which curves are read; default: the largest around which the curves of
            all methods were measured.
        dose_at: the same for the dose (KL divergence from the base).
        unit: rank by the bias scores in this unit (``points``, ``nats``), for scores of different
            units have no common mean; default: the most common unit.
        only_comparable: leave out runs that differ from the first one in limits or protocols.
        reported: publications to show below the ranking.
        matrices: what `matrix_of` returns for each run at that step, where it is known already.

    Raises:
        StoreError: a run has no record, not that step, or no run has that control or unit.
    """
    readers = [run if isinstance(run, RunReader) else RunReader(run) for run in stores]
    if matrices is None:
        matrices = [matrix_of(reader, step=step) for reader in readers]
    runs = [
        (matrix.name, settings_of(reader.index, matrix))
        for reader, matrix in zip(readers, matrices, strict=True)
    ]
    differing = [phrases for _, phrases in differences(runs)]
    comparable = [True, *(not phrases for phrases in differing)]
    left_out: tuple[str, ...] = ()
    if only_comparable:
        left_out = tuple(name for (name, _), kept in zip(runs, comparable, strict=True) if not kept)
        readers = [reader for reader, kept in zip(readers, comparable, strict=True) if kept]
        matrices = [matrix for matrix, kept in zip(matrices, comparable, strict=True) if kept]
        comparable = [True] * len(readers)
    names = MethodNames(cell for reader in readers for cell in reader.index.cells)
    counted = _unit(matrices, unit)
    groups = [
        group
        for reader, matrix, same in zip(readers, matrices, comparable, strict=True)
        for group in _groups(reader, matrix, names, counted, comparable=same)
    ]
    every = [row for matrix in matrices for row in matrix.pooled]
    asked = labelled(every, control) if control is not None else None
    costs = _levels(groups, match_at, dosed=False)
    doses = _levels(groups, dose_at, dosed=True)
    standings = [_standing(group, groups, asked, control, budget) for group in groups]
    chosen = control if control is not None else _board_control(groups, standings)
    standings = [
        replace(
            standing,
            net=next((net for net in standing.nets if net.control == chosen), None)
            if control is None
            else standing.net,
            matched=_matched(group, groups, asked, chosen, costs, dosed=False),
            dosed=_matched(group, groups, asked, chosen, doses, dosed=True),
        )
        for group, standing in zip(groups, standings, strict=True)
    ]
    return Leaderboard(
        tuple(ordered(with_front(with_ranks(standings)))),
        control=chosen,
        levels=costs,
        doses=doses,
        dose=next((group.dose.column for group in groups if group.dose), None),
        language=next((group.cost.column for group in groups if group.cost), None),
        budget=budget,
        unit=counted,
        other_scores=_other_scores(matrices, counted),
        differences=tuple(phrase for phrases in differing for phrase in phrases),
        left_out=left_out,
        few=tuple(dict.fromkeys(few for group in groups for few in _few(group))),
        reported=tuple(reported),
    )


@dataclass(frozen=True)
class _Group:
    """The rows of one method, and what is needed to judge them.

    Attributes:
        names: of all runs of the leaderboard.
        rows: pooled over fits.
        fits: a row for each fit.
        bias: the columns of the bias scores that its model has, in the leaderboard's unit.
        language: the columns of the language metrics.
        cost: the language column that is the cost.
        dose: the column that says how far a model is from its base.
        curves: of all rows of the run, over the cost; `dose_curves` over the dose.
    """

    run: str
    model: str
    method: str
    names: MethodNames
    rows: tuple[Row, ...]
    fits: tuple[Row, ...]
    control: bool
    bias: tuple[Column, ...]
    language: tuple[Column, ...]
    cost: Cost | None
    dose: Cost | None
    curves: Curves
    dose_curves: Curves
    comparable: bool


def _unit(matrices: Sequence[Matrix], asked: str | None) -> str:
    """The unit of the bias scores that are averaged.

    Raises:
        StoreError: no run has a bias score in the unit that was asked for.
    """
    counts = Counter(
        {
            unit: sum(len(matrix.endpoints_in(unit)) for matrix in matrices)
            for matrix in matrices
            for unit in matrix.endpoint_units
        }
    )
    if asked is not None and asked not in counts:
        known = ", ".join(unit for unit in counts if unit) or "none"
        raise StoreError(f"no bias score is in '{asked}' (units: {known})")
    if asked is not None or not counts:
        return asked or ""
    return counts.most_common(1)[0][0]


def _other_scores(matrices: Sequence[Matrix], unit: str) -> tuple[tuple[str, str], ...]:
    """Bias scores that are in no mean of the leaderboard: their name and unit, each once."""
    others: dict[tuple[str, str], None] = {}
    for matrix in matrices:
        kept = set(matrix.endpoints_in(unit))
        for column in matrix.endpoints:
            if column not in kept:
                name = f"{column.metric} ({column.evaluator}, {column.protocol})"
                others[name, matrix.unit(column).change] = None
    return tuple(others)


def _groups(
    reader: RunReader, matrix: Matrix, names: MethodNames, unit: str, *, comparable: bool
) -> list[_Group]:
    bias = matrix.endpoints_in(unit)
    language = tuple(c for c in matrix.columns if matrix.role(c) == "language")
    cost, distance = language_cost(matrix), dose(matrix)
    curves, dose_curves = Curves(reader, bias, cost), Curves(reader, bias, distance)
    groups = []
    for model, method, rows in by_method(matrix.pooled, names):
        groups.append(
            _Group(
                run=matrix.name,
                model=model,
                method=method,
                names=names,
                rows=tuple(rows),
                fits=tuple(_fits_of(rows, matrix.rows)),
                control=all(is_control(row.cell) for row in rows),
                bias=tuple(c for c in bias if (model, c) in matrix.base),
                language=language,
                cost=cost,
                dose=distance,
                curves=curves,
                dose_curves=dose_curves,
                comparable=comparable,
            )
        )
    return groups


def _fits_of(rows: Sequence[Row], every: Sequence[Row]) -> list[Row]:
    """The rows of the single fits behind pooled rows, each computation once."""
    wanted = {(cell.title(), row.step) for row in rows for cell in row.cells or (row.cell,)}
    keys = {
        (cell.fit_key, row.step)
        for row in rows
        for cell in row.cells or (row.cell,)
        if cell.fit_key is not None
    }
    by_fit: dict[object, Row] = {}
    for row in every:
        key = (row.cell.fit_key, row.step)
        if (row.cell.title(), row.step) in wanted or key in keys:
            by_fit.setdefault(key if row.cell.fit_key is not None else row.cell.title(), row)
    return list(by_fit.values())


def _levels(groups: Sequence[_Group], asked: float | None, *, dosed: bool) -> tuple[float, ...]:
    """The costs or doses at which the curves of all methods are read."""
    curves = [
        (group, group.dose_curves if dosed else group.curves, group.dose if dosed else group.cost)
        for group in groups
    ]
    methods = [
        [curve_reader.of(cell) for row in group.rows for cell in row.cells or (row.cell,)]
        for group, curve_reader, cost in curves
        if not group.control and cost is not None
    ]
    relative = next((cost.relative for _, _, cost in curves if cost is not None), not dosed)
    first = asked if asked is not None else common_cost(methods)
    read_at = levels(methods, first, relative=relative)
    for group, curve_reader, _ in curves:
        curve_reader.prepare(group.rows, read_at)
    return read_at


def _standing(
    group: _Group,
    groups: Sequence[_Group],
    asked: Sequence[Row] | None,
    label: str | None,
    budget: float | None,
) -> Standing:
    measured = [(row, e) for row in group.rows for e in row.entries if e.status == "measured"]
    bias = [(r, e) for r, e in measured if e.column in group.bias and e.distance is not None]
    entries = [entry for _, entry in bias]
    marks = [entry.mark for entry in entries]
    gain = gain_of(entries)
    on_source = gain_of([e for r, e in bias if e.column.domain == r.cell.source])
    elsewhere = gain_of([e for r, e in bias if e.column.domain != r.cell.source])
    failed = [e for row in group.rows for e in row.entries if e.status == "failed"]
    costs = _language(group, measured)
    cost = next(
        (
            language.change
            for column, language in costs
            if group.cost and column == group.cost.column
        ),
        None,
    )
    nets = () if group.control else tuple(_nets(bias, group, groups))
    net = None
    if asked is not None and label is not None and not group.control:
        net = _net(bias, group, asked)
    return Standing(
        run=group.run,
        model=group.model,
        method=group.method,
        control=group.control,
        scores=tuple(bias),
        distance=gain.after if gain else None,
        base_distance=gain.before if gain else None,
        improvement=gain.estimated if gain else None,
        shift=_shift(entries),
        in_domain=on_source.estimated if on_source else None,
        transfer=elsewhere.estimated if elsewhere else None,
        gained=marks.count("better"),
        harmed=marks.count("worse"),
        undefined=marks.count("undefined"),
        surely_gained=sum(e.significant and e.mark == "better" for e in entries),
        surely_harmed=sum(e.significant and e.mark == "worse" for e in entries),
        compared=len(entries),
        expected=len(group.rows) * len(group.bias),
        costs=costs,
        cost=cost,
        dose=_mean_dose(group, measured),
        stops=tuple(stop for row in group.rows for stop in row.stops),
        net=net,
        nets=nets,
        over_fits=_over_fits(group),
        in_budget=None if budget is None else cost is not None and cost <= budget,
        comparable=group.comparable,
        fits=sum(row.fits for row in group.rows),
        failed=len(failed),
        reasons=tuple(dict.fromkeys(e.reason or "" for e in failed)),
        warnings=_warnings([(r, e) for r, e in measured if e.role == "bias"]),
    )


def _few(group: _Group) -> Iterator[str]:
    """The bias scores of a method that cannot be judged, each with the reason."""
    for row in group.rows:
        for entry in row.entries:
            if entry.few and entry.role == "bias" and not entry.exact:
                column = entry.column
                yield f"{column.metric} on {column.domain} ({column.evaluator}): {entry.few}"


def _shift(entries: Sequence[Entry]) -> Estimated | None:
    effects = [entry.effect for entry in entries if entry.effect is not None]
    if not effects:
        return None
    mean = mean_effect(effects)
    return Estimated(mean.value, mean.interval, mean.covers)


def _language(
    group: _Group, measured: Sequence[tuple[Row, Entry]]
) -> tuple[tuple[Column, LanguageCost], ...]:
    costs = []
    for column in group.language:
        entries = [
            e
            for _, e in measured
            if e.column == column and e.value is not None and e.base and e.base.value is not None
        ]
        entries = [e for e in entries if e.change is not None]
        if not entries:
            continue
        bases = [e.base.value for e in entries if e.base and e.base.value is not None]
        lower = entries[0].after is not None and entries[0].after.direction.kind == "lower"
        relative = lower and all(abs(base) > 1e-9 for base in bases)
        weights = [100.0 / base if relative else 1.0 for base in bases]
        n = len(entries)
        effects = [e.effect for e in entries if e.effect is not None]
        interval = None
        if len(effects) == n:
            parts = zip(weights, effects, strict=True)
            interval = combined([(w / n, effect) for w, effect in parts]).interval
        changes = [e.change or 0.0 for e in entries]
        mean = math.fsum(w * c for w, c in zip(weights, changes, strict=True)) / n
        value = math.fsum(e.value or 0.0 for e in entries) / n
        costs.append((column, LanguageCost(value, mean, "%" if relative else "", interval)))
    return tuple(costs)


def _mean_dose(group: _Group, measured: Sequence[tuple[Row, Entry]]) -> float | None:
    values = [
        e.value
        for _, e in measured
        if group.dose is not None and e.column == group.dose.column and e.value is not None
    ]
    return math.fsum(values) / len(values) if values else None


def _over_fits(group: _Group) -> FitSummary | None:
    """The gain of each seed by itself, summarised."""
    values = _by_seed(group)
    return fit_summary([(cell, gain) for cell, gain in values.values()])


def _by_seed(group: _Group) -> dict[int | None, tuple[Cell, float]]:
    """The gain of the fits of each seed, with one of its cells."""
    seeds: dict[int | None, list[Row]] = {}
    for row in group.fits:
        seeds.setdefault(row.cell.seed, []).append(row)
    gains = {}
    for seed, rows in seeds.items():
        entries = [e for row in rows for e in row.entries if e.column in group.bias and e.distance]
        gain = gain_of(entries)
        if gain is not None and gain.before.distinguishable:
            gains[seed] = rows[0].cell, gain.before.value - gain.after.value
    return gains


def _nets(
    bias: Sequence[tuple[Row, Entry]], group: _Group, groups: Sequence[_Group]
) -> list[MeanNet]:
    """Net of each control of the same run and model."""
    nets = []
    for other in groups:
        if other.control and (other.run, other.model) == (group.run, group.model):
            net = mean_net(bias, other.rows)
            if net is not None:
                nets.append(MeanNet(other.method, net[0], _net_over_fits(group, other)))
    return nets


def _net(bias: Sequence[tuple[Row, Entry]], group: _Group, asked: Sequence[Row]) -> MeanNet | None:
    """Net of the rows of the control that was asked for; None for those rows themselves."""
    control_rows = {id(row) for row in asked}
    if any(id(row) in control_rows for row in group.rows):
        return None
    net = mean_net(bias, asked)
    if net is None:
        return None
    name = ", ".join(dict.fromkeys(group.names.name(row.cell) for row in net[1]))
    return MeanNet(name, net[0], None)


def _net_over_fits(group: _Group, control: _Group) -> FitSummary | None:
    """The gain of each seed minus the control's of the same seed."""
    mine, theirs = _by_seed(group), _by_seed(control)
    pairs = {
        seed: (cell, gain - theirs[seed][1])
        for seed, (cell, gain) in mine.items()
        if seed in theirs
    }
    return fit_summary(list(pairs.values())) if pairs else None


def _board_control(groups: Sequence[_Group], standings: Sequence[Standing]) -> str | None:
    """The control of the leaderboard: one for all methods, so that its column means one thing.

    It is the one that the most methods can be compared with; among these, of the kind closest to
    a method.
    """
    covered: dict[str, int] = {}
    for standing in standings:
        for net in standing.nets:
            covered[net.control] = covered.get(net.control, 0) + 1
    kinds: dict[str, int] = {}
    for group in groups:
        if group.control:
            kind = group.rows[0].cell.control_kind
            kinds.setdefault(group.method, PREFERENCE.index(kind) if kind else len(PREFERENCE))
    return min(covered, key=lambda name: (-covered[name], kinds[name]), default=None)


def _matched(
    group: _Group,
    groups: Sequence[_Group],
    asked: Sequence[Row] | None,
    chosen: str | None,
    costs: Sequence[float],
    *,
    dosed: bool,
) -> tuple[Matched, ...]:
    curves = group.dose_curves if dosed else group.curves
    candidates: Sequence[Row] = asked or [
        row
        for other in groups
        if other.method == chosen and (other.run, other.model) == (group.run, group.model)
        for row in other.rows
    ]
    curves.prepare(candidates, costs)
    usable = not group.control and bool(candidates)
    return tuple(
        matched(
            group.rows,
            curves,
            cost,
            (lambda row: alike(row, candidates)) if usable else None,
        )
        for cost in costs
    )


def _warnings(bias: Sequence[tuple[Row, Entry]]) -> tuple[str, ...]:
    return tuple(
        f"{row.cell.source or '-'} -> {entry.column.domain} ({entry.column.evaluator}): "
        f"{entry.warning}"
        for row, entry in bias
        if entry.warning
    )
