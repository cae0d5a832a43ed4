"""From a run's store to its transfer matrix.

Everything here is read from the index and the records. A metric's direction says what is an
improvement and its role which tests belong together; nothing knows a metric by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import fields, replace
from operator import itemgetter

import numpy as np

from harness.analysis.changes import Change, ChangeReader
from harness.analysis.corrections import ALPHA, CORRECTIONS, DEFAULT, adjust
from harness.analysis.entry import Entry, Half, Status
from harness.analysis.matrix import Matrix, Row
from harness.analysis.stats import (
    FEWEST_UNITS,
    crossed_blocks,
    mcnemar_p,
    over_fits,
    t_p,
)
from harness.analysis.units import column_units
from harness.errors import StoreError
from harness.garbage import uncollected
from harness.metrics import Metric, Role
from harness.storage.cells import Cell, in_common
from harness.storage.item_table import ItemTable
from harness.storage.reader import Column, Measured, Place, RunReader
from harness.storage.records import RunIndex
from harness.storage.store import Store

__all__ = [
    "ANY",
    "Column",
    "Entry",
    "Half",
    "Matrix",
    "Row",
    "Status",
    "matrix_of",
]

ANY = "any"
"""Shown as the source of a model that is the same from every source."""


def matrix_of(
    run: Store | RunReader,
    *,
    metric: str | None = None,
    evaluator: str | None = None,
    protocol: str | None = None,
    step: int | None = None,
    correction: str = DEFAULT,
    pooled: bool = True,
) -> Matrix:
    """Compare every debiased model of a run with its base.

    Args:
        run: the run, or a reader of it, so that several tables share what was read.
        metric: only this metric; default: the primary ones.
        evaluator: only this evaluator.
        protocol: only this protocol (scorer).
        step: the checkpoint; default: each cell's last.
        correction: of the p-values of each family of tests.
        pooled: also make the rows over fits.

    Raises:
        StoreError: the run has no record, or none that was asked for.
    """
    reader = run if isinstance(run, RunReader) else RunReader(run)
    steps = _steps(reader.index, step)
    with uncollected():
        columns = reader.columns(steps, metric, evaluator, protocol)
        rows = _compared(reader, steps, columns)
        over_seeds = once(over_fits_of(rows)) if pooled else []
        return Matrix(
            name=reader.index.name,
            columns=columns,
            base=_base(reader, columns),
            rows=tuple(corrected(rows, correction)),
            pooled=tuple(corrected(over_seeds, correction)),
            notes=tuple(dict.fromkeys(reader.notes)),
            correction=correction,
            names=reader.names,
            units=column_units(reader, columns),
        )


def _steps(index: RunIndex, step: int | None) -> dict[int, int]:
    """The step to show of each debiased cell, by its position; cells without it are left out."""
    step_of: dict[int, int] = {}
    for number, cell in enumerate(index.cells):
        steps = [s for s in cell.steps if s > 0]
        if cell.is_base or not steps:
            continue
        if step is None or (len(steps) == 1 and step not in steps):
            step_of[number] = steps[-1]
        elif step in steps:
            step_of[number] = step
    known = sorted({s for cell in index.cells for s in cell.steps if s > 0})
    if step is not None and step not in known:
        raise StoreError(
            f"this run has no step {step} (known: {', '.join(map(str, known)) or 'none'})"
        )
    return step_of


def _base(reader: RunReader, columns: Sequence[Column]) -> dict[tuple[str, Column], Metric]:
    metrics: dict[tuple[str, Column], Metric] = {}
    for cell in reader.index.cells:
        for column in columns:
            if (cell.model, column) not in metrics:
                measured = reader.find(cell, 0, column)
                if measured is not None:
                    metrics[cell.model, column] = measured.metrics[column.metric]
    return metrics


def _compared(reader: RunReader, steps: dict[int, int], columns: Sequence[Column]) -> list[Row]:
    """A row for each fit: values first, then tests, a column at a time."""
    cells = [(reader.index.cells[number], step) for number, step in steps.items()]
    entries: dict[tuple[int, Column], Entry] = {}
    for column in columns:
        pairs: dict[int, tuple[Measured, Measured]] = {}
        for number, (cell, step) in enumerate(cells):
            base, after = reader.find(cell, 0, column), reader.find(cell, step, column)
            entries[number, column] = _entry(reader, cell, step, column, base, after)
            if base is not None and after is not None:
                pairs[number] = base, after
        for number, entry in _tested(reader, column, pairs, entries):
            entries[number, column] = entry
    return [
        Row(
            cell,
            step,
            tuple(entries[number, column] for column in columns),
            stops=(stop,) if (stop := reader.stop(cell, step)) is not None else (),
        )
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
    fit = cell.fit_key or cell.title()
    return Entry(column, "measured", base=old, after=metric, value=metric.value, fits=(fit,))


def _tested(
    reader: RunReader,
    column: Column,
    pairs: dict[int, tuple[Measured, Measured]],
    entries: dict[tuple[int, Column], Entry],
) -> Iterable[tuple[int, Entry]]:
    """The entries of a column with their changes and tests.

    Cells with the same two measurements (`identity` from any source) share one entry.
    """
    places: dict[tuple[Place, Place], list[int]] = {}
    for number, (base, after) in pairs.items():
        places.setdefault((base.place, after.place), []).append(number)
    firsts = [members[0] for members in places.values()]
    tables = [(reader.items(base), reader.items(after)) for base, after in places]
    metrics: list[Metric] = []
    for number in firsts:
        metric = entries[number, column].after
        assert metric is not None
        metrics.append(metric)
    changes = changes_of(metrics, tables)
    halved = [_halves(pairs[number], column) for number in firsts]
    halves = [k for k, (_, half) in enumerate(halved) if half is not None]
    means = changes_of(
        [half.after for _, half in halved if half is not None], [tables[k] for k in halves]
    )
    balanced = dict(zip(halves, means, strict=True))
    done = []
    for k, number in enumerate(firsts):
        strata, half = halved[k]
        change = changes[k]
        entry = _with(
            entries[number, column],
            changes=(change,) if change is not None else (),
            halves=strata,
            balanced=replace(half, compared=balanced[k]) if half is not None else None,
        )
        done.append(entry)
    for entry, members in zip(with_tests(done), places.values(), strict=True):
        for number in members:
            yield number, entry


def changes_of(
    metrics: Sequence[Metric], tables: Sequence[tuple[ItemTable, ItemTable]]
) -> list[Change | None]:
    """Changes of metrics that are mostly computed alike, those alike all at once."""
    by_shape: dict[tuple[object, ...], list[int]] = {}
    for position, metric in enumerate(metrics):
        way = metric.direction
        shape = (
            metric.estimator, metric.of, metric.stratum, metric.reference, way.kind, way.target
        )  # fmt: skip
        by_shape.setdefault(shape, []).append(position)
    of_each: list[Change | None] = [None] * len(metrics)
    for positions in by_shape.values():
        changes = ChangeReader(metrics[positions[0]]).changes([tables[k] for k in positions])
        for position, change in zip(positions, changes, strict=True):
            of_each[position] = change
    return of_each


def with_tests(entries: Sequence[Entry]) -> list[Entry]:
    """Entries of one fit or several, with the variance of their change and its p-value.

    A share of decisions over independent items of one fit is tested by McNemar's exact test,
    everything else by a t test over units, and over fits where there are several.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for position, entry in enumerate(entries):
        changes = entry.changes
        units = changes[0].units if changes else ()
        if (
            len(units) >= FEWEST_UNITS
            and all(change.units == units for change in changes[1:])
            and all(change.influences is not None for change in changes)
        ):
            groups.setdefault((len(changes), len(units)), []).append(position)
    tested = list(entries)
    for positions in groups.values():
        members = [entries[k] for k in positions]
        values = np.array([[change.value for change in entry.changes] for entry in members])
        influences = np.array([[change.influences for change in e.changes] for e in members])
        variance, df = crossed_blocks(values, influences)
        p_values = t_p(values.mean(axis=1), variance, df)
        for position, entry, var, freedom, p in zip(
            positions, members, variance.tolist(), df.tolist(), p_values.tolist(), strict=True
        ):
            flips = entry.changes[0].flips if len(entry.changes) == 1 else None
            p_value = mcnemar_p(*flips) if flips is not None else p
            tested[position] = _with(
                entry, variance=(var, freedom), p=None if entry.exact else p_value
            )
    return tested


_FIELDS = tuple(field.name for field in fields(Entry))
_VALUES = itemgetter(*_FIELDS)


def _with(entry: Entry, **changed: object) -> Entry:
    """`dataclasses.replace`, several times as fast: tables have tens of thousands of entries."""
    made = object.__new__(Entry)  # without what was computed from the fields of the other
    made.__dict__.update(zip(_FIELDS, _VALUES(entry.__dict__), strict=True), **changed)
    return made


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


def over_fits_of(rows: Sequence[Row]) -> list[Row]:
    """Rows over the fits that differ in their seed only, in order."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.cell.identity.without("seed"), row.step), []).append(row)
    over_seeds: list[Row] = []
    several: list[tuple[int, int, Entry]] = []
    for members in groups.values():
        fits = list({row.cell.fit_key or row.cell.title(): row for row in members}.values())
        entries = list(fits[0].entries)
        if len(fits) > 1:
            for k in range(len(entries)):
                entries[k] = _over_fits([row.entries[k] for row in fits])
                several.append((len(over_seeds), k, entries[k]))
        cells = tuple(row.cell for row in fits) if len(fits) > 1 else ()
        stops = tuple(stop for row in fits for stop in row.stops)
        over_seeds.append(Row(fits[0].cell, fits[0].step, tuple(entries), cells, stops))
    tested = with_tests([entry for _, _, entry in several])
    changed: dict[int, dict[int, Entry]] = {}
    for (number, k, _), entry in zip(several, tested, strict=True):
        changed.setdefault(number, {})[k] = entry
    done = [
        replace(
            row,
            entries=tuple(changed.get(number, {}).get(k, e) for k, e in enumerate(row.entries)),
        )
        for number, row in enumerate(over_seeds)
    ]
    return done


def _over_fits(entries: Sequence[Entry]) -> Entry:
    """One column over several fits: the mean of those that are measured."""
    measured = [e for e in entries if e.status == "measured" and e.value is not None]
    if not measured:
        return entries[0]
    if len(measured) == 1:
        return measured[0]
    changes = [e.change for e in measured if e.change is not None]
    values = [e.value for e in measured if e.value is not None]
    first = measured[0]
    return Entry(
        first.column,
        "measured",
        base=first.base,
        after=first.after,
        value=sum(values) / len(values),
        fits=tuple(name for e in measured for name in e.fits),
        spread=over_fits(changes) if changes else None,
        changes=tuple(change for e in measured for change in e.changes)
        if all(e.changes for e in measured)
        else (),
    )


def once(rows: Sequence[Row]) -> list[Row]:
    """Rows in their order, those that are one computation as one row.

    A fit that reads no source, passage or mask (`dropout`, `identity`) has the same scores for
    each of them. Its row is shown and tested once, without the axes that make no difference.
    """
    groups: dict[tuple[object, ...], list[Row]] = {}
    for number, row in enumerate(rows):
        cell = row.cell
        fits = tuple(entry.fits for entry in row.entries)
        name: tuple[object, ...] = (cell.model, cell.debiaser, row.step, cell.fit_key, fits)
        known = groups.get(name)
        if known and (cell.fit_key is None or not _same(known[0], row)):
            name = (*name, number)
        groups.setdefault(name, []).append(row)
    every = {row.cell.source for row in rows}
    return [_in_one(same, every) for same in groups.values()]


def _same(one: Row, other: Row) -> bool:
    """Whether two rows have the same measurements."""
    return all(
        a is b or (a.changes == b.changes and (a.status, a.value) == (b.status, b.value))
        for a, b in zip(one.entries, other.entries, strict=True)
    )


def _in_one(rows: Sequence[Row], every: Set[str | None]) -> Row:
    """One row for those that are one computation."""
    if len(rows) == 1:
        return rows[0]
    cell = in_common([row.cell for row in rows])
    sources = list(dict.fromkeys(row.cell.source for row in rows))
    if len(sources) > 1:
        name = ANY if set(sources) == every else ", ".join(s or "" for s in sources)
        cell = cell.model_copy(update={"source": name})
    return replace(rows[0], cell=cell)


def corrected(rows: Sequence[Row], correction: str) -> list[Row]:
    """Correct the tests of each role (bias, language, diagnostic) as a family of its own.

    A measurement that several rows share is one test. Models without any change are not tested.
    """
    families: dict[str, dict[tuple[int, ...], float]] = {}
    tested: dict[int, tuple[Entry, Role, tuple[int, ...]]] = {}
    for row in rows:
        for entry in row.entries:
            if entry.p is not None and id(entry) not in tested:
                family, test = entry.role, _test_key(entry)
                tested[id(entry)] = entry, family, test
                families.setdefault(family, {})[test] = entry.p
    adjusted: dict[str, tuple[Mapping[tuple[int, ...], float], float]] = {}
    for role, tests in families.items():
        p_values = adjust(list(tests.values()), correction)
        significant = sum(p < ALPHA for p in p_values)
        level = CORRECTIONS[correction].level(ALPHA, len(tests), significant)
        adjusted[role] = dict(zip(tests, p_values, strict=True)), level
    done: dict[int, Entry] = {}
    for number, (entry, family, test) in tested.items():
        by_test, level = adjusted[family]
        done[number] = _with(entry, adjusted_p=by_test[test], level=level, family=len(by_test))
    return [replace(row, entries=tuple(done.get(id(e), e) for e in row.entries)) for row in rows]


def _test_key(entry: Entry) -> tuple[int, ...]:
    """Identifies a test: the changes that it is about."""
    return tuple(id(change) for change in entry.changes)
