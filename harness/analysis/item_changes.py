"""Which items changed between a base model and a debiased one, and by how much.

``harness show``, the page's item lists and the figures all read `item_changes`. What an item's
values are comes from the measurement's declared quantities; what one item contributes to a metric
comes from its estimator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from harness.analysis.entry import Entry
from harness.analysis.fits import Fit, fit_of
from harness.analysis.matrix import Matrix, Row
from harness.arrays import Floats
from harness.errors import StoreError, did_you_mean
from harness.estimators import Sample
from harness.metrics import Metric
from harness.quantities import Decision, Nats, Quantities, unit_of
from harness.storage.cells import Cell, is_control, select_cell
from harness.storage.item_table import ItemTable, aligned
from harness.storage.reader import Column, RunReader, Stop, stopped_step


class NoItemValueError(StoreError):
    """The metric cannot be split into items: one number an item does not exist."""


class ItemChange(NamedTuple):
    """One item before and after.

    Attributes:
        id: of the item.
        cluster: term or template, where it has one.
        stratum: half, where it has one.
        before, after: margin between the scores that its decision compares, or its own value.
        decided: its decision before and after, as shares from 0 to 1; None: it decides nothing.
        scores: name, before and after of each score behind it.
    """

    id: str
    cluster: str | None
    stratum: str | None
    before: float
    after: float
    decided: tuple[float, float] | None
    scores: tuple[tuple[str, float, float], ...]

    @property
    def change(self) -> float:
        """After minus before."""
        return self.after - self.before

    @property
    def flipped(self) -> bool:
        """Whether its decision changed."""
        return self.decided is not None and self.decided[0] != self.decided[1]


@dataclass(frozen=True)
class ItemChanges:
    """The items of one column of a cell.

    Attributes:
        column: what is compared.
        base, after: the metric of both models.
        decisions: whether the metric is a share of decisions.
        unit: of `ItemChange.before` and `ItemChange.after`.
        items: those of the metric that both models were measured on, in the data's order.
    """

    column: Column
    base: Metric
    after: Metric
    decisions: bool
    unit: str
    items: tuple[ItemChange, ...] = field(repr=False)

    @property
    def changed(self) -> list[ItemChange]:
        """Items whose decision flipped, or whose value moved; the largest change first."""
        moved = [c for c in self.items if (c.flipped if self.decisions else c.change != 0)]
        return sorted(moved, key=lambda c: (-abs(c.change), c.id))


def item_changes(reader: RunReader, cell: Cell, step: int, column: Column) -> ItemChanges | None:
    """The items of a column before and after; None where it was not measured.

    Raises:
        NoItemValueError: the metric has no number for each item.
        StoreError: the items cannot be read.
    """
    base, after = reader.find(cell, 0, column), reader.find(cell, step, column)
    if base is None or after is None:
        return None
    metric, quantities = after.metrics[column.metric], after.quantities
    estimator = metric.formula()
    tables = reader.items(base.place), reader.items(after.place)
    old, new = _shared(metric, *tables)
    first, last = estimator.of_items(old), estimator.of_items(new)
    if first is None or last is None:
        raise NoItemValueError(
            f"metric '{metric.name}' has no value for each item; show one of the metrics that it "
            "is made of"
        )
    compared = [quantities.get(name) for name in metric.of]
    decisions = estimator.decided or all(isinstance(quantity, Decision) for quantity in compared)
    names = _scores(metric, quantities) if decisions else list(metric.of)
    before, now = (
        _columns(table, sample.ids, names) for table, sample in zip(tables, (old, new), strict=True)
    )
    shown = (first, last)
    if decisions and names:
        shown = (
            _margins(metric, quantities, names, before),
            _margins(metric, quantities, names, now),
        )
    changes = tuple(
        ItemChange(
            new.ids[k],
            new.clusters[k],
            new.strata[k],
            float(shown[0][k]),
            float(shown[1][k]),
            (float(first[k]), float(last[k])) if decisions else None,
            tuple((name, float(before[k, n]), float(now[k, n])) for n, name in enumerate(names)),
        )
        for k in range(len(new.ids))
        if np.isfinite(shown[0][k]) and np.isfinite(shown[1][k])
    )
    return ItemChanges(
        column,
        base.metrics[column.metric],
        metric,
        decisions,
        _unit(metric, quantities, names, decisions),
        changes,
    )


@dataclass(frozen=True)
class CellChanges:
    """The items of one cell, before and after debiasing.

    Attributes:
        cell: what was debiased, how and from what.
        step: the checkpoint.
        columns: one for each target, evaluator and metric.
        stop: where the fit ended, if it stopped at a dose.
    """

    cell: Cell
    step: int
    columns: tuple[ItemChanges, ...]
    stop: Stop | None = None

    @property
    def title(self) -> str:
        """Name of the cell and the step."""
        return f"{self.cell.title()} / {stopped_step(self.step, self.stop)}"


def cell_changes(
    reader: RunReader,
    name: str,
    *,
    target: str | None = None,
    evaluator: str | None = None,
    protocol: str | None = None,
    metric: str | None = None,
    step: int | None = None,
) -> CellChanges:
    """Return the items of a cell before and after, for every measured column that is asked for.

    Without a metric, these are the columns of the primary bias scores that are shares of
    decisions; where the run has none, those of its other primary metrics.

    Args:
        reader: of the run.
        name: parts of the cell's title between slashes, such as ``mlm-unlearning/gender``.
        target: only this target domain.
        evaluator: only this evaluator.
        protocol: only this protocol (scorer).
        metric: items of this metric.
        step: the checkpoint; default: the last.

    Raises:
        NoItemValueError: the metric has no number for each item.
        StoreError: there is no such cell, step or column, or the cell is not measured.
    """
    chosen = select_cell(reader.index.cells, name)
    step = chosen.debiased_step(step)
    position = reader.index.cells.index(chosen)
    columns = reader.columns({position: step}, metric, evaluator, protocol)
    if metric is None:  # windows of text say little one by one
        columns = tuple(c for c in columns if reader.role(c) == "bias") or columns
    if target is not None:
        known = {column.domain for column in columns}
        if target not in known:
            raise StoreError(f"no target '{target}' here{did_you_mean(target, known)}")
        columns = tuple(column for column in columns if column.domain == target)
    compared = [item_changes(reader, chosen, step, column) for column in columns]
    measured = [changes for changes in compared if changes is not None]
    if metric is None:
        measured = [changes for changes in measured if changes.decisions] or measured
    answer = CellChanges(chosen, step, tuple(measured), reader.stop(chosen, step))
    if not measured:
        failures = (reader.failure(ref.key) for ref in chosen.measures)
        reasons = {failure.reason for failure in failures if failure is not None}
        why = f": {'; '.join(sorted(reasons))}" if reasons else "; `harness run` measures it"
        raise StoreError(f"{answer.title} is not measured{why}")
    return answer


def _shared(metric: Metric, before: ItemTable, after: ItemTable) -> tuple[Sample, Sample]:
    """The items of the metric that both tables have, in the same order."""
    old_at, new_at = aligned(before, after)
    old, new = before.columns(metric.of)[old_at], after.columns(metric.of)[new_at]
    used = ~(np.isnan(old).any(axis=1) | np.isnan(new).any(axis=1))
    if metric.stratum is not None:
        used &= np.array([after.strata[j] == metric.stratum for j in new_at], dtype=bool)
    kept = [new_at[k] for k in np.flatnonzero(used)]
    sample = Sample(
        old[used],
        [after.ids[j] for j in kept],
        [after.clusters[j] for j in kept],
        [after.strata[j] for j in kept],
        metric.reference,
    )
    return sample, sample._replace(values=new[used])


def _scores(metric: Metric, quantities: Quantities) -> list[str]:
    """Names of the scores that the decisions of a metric compare."""
    names: dict[str, None] = {}
    for name in metric.of:
        quantity = quantities.get(name)
        if isinstance(quantity, Decision):
            names.update(dict.fromkeys(quantity.of))
    return list(names)


def _columns(table: ItemTable, ids: Sequence[str], names: Sequence[str]) -> Floats:
    """Values of the named items, shape ``(items, names)``."""
    if not names:
        return np.empty((len(ids), 0))
    position = {item: i for i, item in enumerate(table.ids)}
    return table.columns(names)[[position[item] for item in ids]]


def _margins(
    metric: Metric, quantities: Quantities, names: Sequence[str], scores: Floats
) -> Floats:
    """By how much the first score of a decision is above the others; the mean over decisions."""
    margins = []
    for name in metric.of:
        quantity = quantities.get(name)
        if isinstance(quantity, Decision) and len(quantity.of) > 1:
            columns = [scores[:, names.index(score)] for score in quantity.of]
            margins.append(columns[0] - np.max(columns[1:], axis=0))
    mean: Floats = np.mean(margins, axis=0) if margins else np.zeros(len(scores))
    return mean


def _unit(metric: Metric, quantities: Quantities, names: Sequence[str], decisions: bool) -> str:
    first = quantities.get(names[0] if names else metric.of[0])
    unit = unit_of(first)
    if decisions:
        return f"margin ({unit})" if unit else "margin"
    if isinstance(first, Nats) and first.tokens in metric.of:
        return "nats a token"
    return unit or metric.name


# -- distributions of changes ----------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """How the items of one comparison moved."""

    fit: Fit
    seed: int | None
    changes: tuple[float, ...] = field(repr=False)
    gained: int | None = None
    lost: int | None = None

    def quantiles(self) -> tuple[float, float, float, float, float]:
        """5th, 25th, 50th, 75th and 95th percentile."""
        p5, p25, p50, p75, p95 = np.percentile(np.array(self.changes), [5, 25, 50, 75, 95]).tolist()
        return p5, p25, p50, p75, p95


@dataclass(frozen=True)
class SpreadPanel:
    """Item changes of one column, a row for each fit.

    Attributes:
        column: what is compared.
        unit: of a change.
        spreads: in the order of the matrix.
        fits: how many fits there are; `spreads` are fewer where only the largest changes are shown.
    """

    column: Column
    unit: str
    spreads: tuple[Spread, ...]
    fits: int


MOST_FITS = 20
"""Fits whose items are shown; of more, those whose score moved most."""


def moved_most(matrix: Matrix, column: Column) -> tuple[list[tuple[Fit, Row, Entry]], int]:
    """Return the fits whose items are worth showing, in the order of the matrix, and their number.

    A fit is shown by its first seed. Controls are left out.
    """
    fits: dict[Fit, tuple[Row, Entry]] = {}
    for row in matrix.rows:
        entry = row.entry(column)
        if entry is None or entry.after is None or is_control(row.cell):
            continue
        fits.setdefault(fit_of(row.cell, matrix.names), (row, entry))
    sizes = sorted((abs(entry.change or 0.0) for _, entry in fits.values()), reverse=True)
    least = sizes[MOST_FITS - 1] if len(sizes) > MOST_FITS else -1.0
    moved = [(fit, *ends) for fit, ends in fits.items() if abs(ends[1].change or 0.0) >= least]
    return moved[:MOST_FITS], len(fits)


def spread_panels(reader: RunReader, matrix: Matrix) -> list[SpreadPanel]:
    """Return how much each item moved, at the steps of the matrix.

    A decision between two scores moves by their margin, a perplexity by nats a token. Of many
    fits, those of `moved_most` are read.
    """
    panels = []
    for column in matrix.columns:
        spreads = []
        unit = ""
        chosen, fits = moved_most(matrix, column)
        for fit, row, entry in chosen:
            try:
                changes = item_changes(reader, row.cell, row.step, column)
            except NoItemValueError:
                break
            if changes is None or not changes.items:
                continue
            unit = changes.unit
            flips = (entry.test.gained, entry.test.lost) if entry.test else (None, None)
            spreads.append(
                Spread(fit, row.cell.seed, tuple(c.change for c in changes.items), *flips)
            )
        if spreads:
            panels.append(SpreadPanel(column, unit, tuple(spreads), fits))
    return panels
