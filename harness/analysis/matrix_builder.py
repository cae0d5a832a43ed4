"""From a run's store to its transfer matrix.

Everything here is read from the index and the records. A metric's direction says what is an
improvement; nothing knows a metric by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from harness.analysis.bootstrap import Draws, Resampler
from harness.analysis.corrections import ALPHA, DEFAULT, adjust
from harness.analysis.matrix import Entry, Half, Matrix, OverSeeds, Row, SeedRow, Status
from harness.analysis.stats import (
    McNemar,
    bootstrap_p,
    detectable_in_draws,
    mcnemar,
    minimal_detectable_change,
    over_seeds,
    seeds_p,
)
from harness.errors import StoreError
from harness.metrics import Metric
from harness.storage.cells import Cell
from harness.storage.item_table import ItemTable, aligned, uncollected
from harness.storage.reader import Column, Measured, Place, RunReader
from harness.storage.records import RunIndex
from harness.storage.store import Store

__all__ = [
    "ALPHA",
    "Column",
    "Entry",
    "Half",
    "Matrix",
    "OverSeeds",
    "Row",
    "SeedRow",
    "Status",
    "build_matrix",
    "matrix_of",
]


def build_matrix(
    store: Store,
    *,
    metric: str | None = None,
    evaluator: str | None = None,
    protocol: str | None = None,
    step: int | None = None,
    correction: str = DEFAULT,
    seed: int = 0,
) -> Matrix:
    """Compare every debiased model of a run with its base.

    Args:
        store: the run.
        metric: only this metric; default: the primary ones.
        evaluator: only this evaluator.
        protocol: only this protocol (scorer).
        step: the checkpoint; default: each cell's last.
        correction: of the p-values of all cells together.
        seed: of the bootstrap.

    Raises:
        StoreError: the run has no record, or none that was asked for.
    """
    return matrix_of(
        RunReader(store),
        metric=metric,
        evaluator=evaluator,
        protocol=protocol,
        step=step,
        correction=correction,
        resampler=Resampler(seed),
    )


def matrix_of(
    reader: RunReader,
    *,
    metric: str | None = None,
    evaluator: str | None = None,
    protocol: str | None = None,
    step: int | None = None,
    correction: str = DEFAULT,
    resampler: Resampler | None = None,
) -> Matrix:
    """The same from a reader, so that several tables of a run share what was read."""
    steps = _steps(reader.index, step)
    with uncollected():
        columns = reader.columns(steps, metric, evaluator, protocol)
        rows = _compared(reader, steps, columns, resampler or Resampler())
    adjusted = _adjusted(rows, correction)
    return Matrix(
        name=reader.index.name,
        columns=columns,
        base=_base(reader, columns),
        rows=tuple(adjusted),
        notes=tuple(dict.fromkeys(reader.notes)),
        correction=correction,
        seeds=_over_seeds(adjusted, columns, correction),
        names=reader.names,
    )


def _steps(index: RunIndex, step: int | None) -> dict[int, int]:
    """The step to show of each debiased cell, by its position; cells without it are left out."""
    found: dict[int, int] = {}
    for number, cell in enumerate(index.cells):
        steps = [s for s in cell.steps if s > 0]
        if cell.is_base or not steps:
            continue
        if step is None or (len(steps) == 1 and step not in steps):
            found[number] = steps[-1]
        elif step in steps:
            found[number] = step
    known = sorted({s for cell in index.cells for s in cell.steps if s > 0})
    if step is not None and step not in known:
        raise StoreError(
            f"this run has no step {step} (known: {', '.join(map(str, known)) or 'none'})"
        )
    return found


def _base(reader: RunReader, columns: Sequence[Column]) -> dict[tuple[str, Column], Metric]:
    found: dict[tuple[str, Column], Metric] = {}
    for cell in reader.index.cells:
        for column in columns:
            if (cell.model, column) not in found:
                measured = reader.find(cell, 0, column)
                if measured is not None:
                    found[cell.model, column] = measured.metrics[column.metric]
    return found


def _compared(
    reader: RunReader, steps: dict[int, int], columns: Sequence[Column], resampler: Resampler
) -> list[Row]:
    """Rows with values first; then tests and intervals, a column at a time."""
    cells = [(reader.index.cells[number], step) for number, step in steps.items()]
    entries: dict[tuple[int, Column], Entry] = {}
    for column in columns:
        pairs: dict[int, tuple[Measured, Measured]] = {}
        for number, (cell, step) in enumerate(cells):
            base, after = reader.find(cell, 0, column), reader.find(cell, step, column)
            entries[number, column] = _entry(reader, cell, step, column, base, after)
            if base is not None and after is not None:
                pairs[number] = base, after
        for number, entry in _tested(reader, column, pairs, entries, resampler):
            entries[number, column] = entry
    return [
        Row(cell, step, tuple(entries[number, column] for column in columns))
        for number, (cell, step) in enumerate(cells)
    ]


def _entry(
    reader: RunReader,
    cell: Cell,
    step: int,
    column: Column,
    base: Measured | None,
    after: Measured | None,
) -> Entry:
    """An entry with its values, or the reason why it has none."""
    old = base.metrics[column.metric] if base else None
    if after is None:
        for key in reader.keys(cell, step, column.evaluator):
            if reader.record(key) is None and (failure := reader.failure(key)):
                return Entry(column, "failed", failure.reason, base=old)
        return Entry(column, "missing", base=old)
    metric = after.metrics[column.metric]
    return Entry(column, "measured", base=old, after=metric, detectable=_detectable(metric))


def _tested(
    reader: RunReader,
    column: Column,
    pairs: dict[int, tuple[Measured, Measured]],
    entries: dict[tuple[int, Column], Entry],
    resampler: Resampler,
) -> Iterable[tuple[int, Entry]]:
    """The entries of a column with their tests and intervals.

    Cells that stand on the same two measurements (`identity` from any source) are tested once.
    """
    places: dict[tuple[Place, Place], list[int]] = {}
    for number, (base, after) in pairs.items():
        places.setdefault((base.place, after.place), []).append(number)
    firsts = [members[0] for members in places.values()]
    tables = [(reader.items(base), reader.items(after)) for base, after in places]
    drawn: dict[int, Draws | None] = {}
    by_metric: dict[Metric, list[int]] = {}
    for at, number in enumerate(firsts):
        metric = entries[number, column].after
        assert metric is not None
        by_metric.setdefault(_shape(metric), []).append(at)
    balanced: dict[int, Half] = {}
    for shape, members in by_metric.items():
        found = resampler.paired(shape, [tables[at] for at in members])
        drawn.update(zip(members, found, strict=True))
    halved = {at: _halves(pairs[number], column) for at, number in enumerate(firsts)}
    means = [(at, own) for at, (_, own) in halved.items() if own is not None]
    if means:
        shape = _shape(means[0][1].after)
        found = resampler.paired(shape, [tables[at] for at, _ in means])
        for (at, half), draws in zip(means, found, strict=True):
            balanced[at] = replace(half, draws=draws)
    for at, ((_, members), (old, new)) in enumerate(zip(places.items(), tables, strict=True)):
        done = _with_statistics(
            entries[members[0], column], old, new, drawn[at], halved[at][0], balanced.get(at)
        )
        for number in members:
            yield number, done


def _shape(metric: Metric) -> Metric:
    """A metric without its value: what its estimator does."""
    return metric.model_copy(update={"value": None, "n": 0, "numerator": None})


def _with_statistics(
    entry: Entry,
    before: ItemTable,
    after: ItemTable,
    draws: Draws | None,
    halves: tuple[Half, ...],
    balanced: Half | None,
) -> Entry:
    assert entry.after is not None
    test = test_decisions(entry.after, before, after)
    p = test.p if test is not None else bootstrap_p(draws.change) if draws else None
    detectable = entry.detectable
    if detectable is None and draws is not None:
        detectable = detectable_in_draws(draws.change, draws.units)
    return replace(
        entry,
        test=test,
        p=p,
        draws=draws,
        shared=draws.items if draws else 0,
        halves=halves,
        balanced=balanced,
        detectable=detectable,
    )


def _halves(
    pair: tuple[Measured, Measured], column: Column
) -> tuple[tuple[Half, ...], Half | None]:
    """The halves that a metric declares, and their balanced mean."""
    base, after = pair
    halves: list[Half] = []
    balanced: Half | None = None
    for name, metric in after.metrics.items():
        if metric.whole != column.metric:
            continue
        if metric.stratum is not None:
            halves.append(Half(metric.stratum, base.metrics.get(name), metric))
        else:
            balanced = Half("balanced", base.metrics.get(name), metric)
    return tuple(halves), balanced


def test_decisions(metric: Metric, before: ItemTable, after: ItemTable) -> McNemar | None:
    """Exact McNemar on the items' decisions, for a share of one decision."""
    if not metric.formula().decided or len(metric.of) != 1:
        return None
    (name,) = metric.of
    if before.ids == after.ids and metric.stratum is None and before.ids:
        old, new = before.column(name), after.column(name)
    else:
        old_at, new_at = aligned(before, after)
        inside = [metric.stratum in (None, after.strata[j]) for j in new_at]
        old, new = before.column(name)[old_at][inside], after.column(name)[new_at][inside]
    used = ~np.isnan(old + new)
    return mcnemar(old[used], new[used]) if used.any() else None


def _detectable(metric: Metric) -> float | None:
    if not metric.formula().decided or len(metric.of) != 1:
        return None
    return minimal_detectable_change(metric.n)


def _adjusted(rows: Sequence[Row], correction: str) -> list[Row]:
    """Correct all tests of the matrix together.

    Cells that are one computation (`identity` from any source) are one entry, and one test.
    """
    tests = {id(e): e for row in rows for e in row.entries if e.p is not None}
    p_values = [e.p for e in tests.values() if e.p is not None]
    done = {
        name: replace(tests[name], adjusted_p=p)
        for name, p in zip(tests, adjust(p_values, correction), strict=True)
    }
    return [replace(row, entries=tuple(done.get(id(e), e) for e in row.entries)) for row in rows]


def _over_seeds(
    rows: Sequence[Row], columns: Sequence[Column], correction: str
) -> tuple[SeedRow, ...]:
    """Summaries of the rows that differ in nothing but their seed."""
    groups: dict[tuple[object, ...], dict[int, Row]] = {}
    for row in rows:
        if row.cell.seed is not None:
            name = (row.cell.identity.without("seed"), row.step)
            groups.setdefault(name, {})[row.cell.seed] = row
    found: dict[tuple[int, int], OverSeeds] = {}
    tests: dict[tuple[object, ...], list[tuple[int, int]]] = {}
    heads: list[Row] = []
    for group in groups.values():
        if len({row.cell.fit_key for row in group.values()}) < 2:
            continue  # one computation under several seeds says nothing of their spread
        fits = tuple(row.cell.fit_key for row in group.values())
        for k, column in enumerate(columns):
            own = _seeds_of(group, k)
            if own is None:
                continue
            found[len(heads), k] = own
            if own.p is not None:  # the same fits and base are one test, from whatever source
                tests.setdefault((fits, column, own.change.mean), []).append((len(heads), k))
        heads.append(next(iter(group.values())))
    p_values = [found[places[0]].p or 0.0 for places in tests.values()]
    for places, p in zip(tests.values(), adjust(p_values, correction), strict=True):
        for place in places:
            found[place] = replace(found[place], adjusted_p=p)
    return tuple(
        SeedRow(
            row.cell,
            row.step,
            tuple(found[i, k] for k in range(len(columns)) if (i, k) in found),
        )
        for i, row in enumerate(heads)
    )


def _seeds_of(group: dict[int, Row], k: int) -> OverSeeds | None:
    known: list[tuple[int, float, float, float]] = []
    for seed, row in sorted(group.items()):
        entry = row.entries[k]
        if entry.after is None or entry.after.value is None:
            continue
        if entry.change is not None and entry.improvement is not None:
            known.append((seed, entry.after.value, entry.change, entry.improvement))
    if not known:
        return None
    improvements = [own[3] for own in known]
    return OverSeeds(
        next(iter(group.values())).entries[k].column,
        tuple(own[0] for own in known),
        over_seeds([own[1] for own in known]),
        over_seeds([own[2] for own in known]),
        over_seeds(improvements),
        seeds_p(improvements),
    )
