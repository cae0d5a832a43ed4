"""Which items changed between a base model and a debiased one, biggest first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.errors import StoreError
from harness.metrics import Metric
from harness.storage.cells import Cell
from harness.storage.item_table import ItemTable, aligned
from harness.storage.reader import Column, RunReader


@dataclass(frozen=True)
class Flip:
    """An item before and after.

    Attributes:
        item: its id.
        cluster: term or template, where it has one.
        stratum: half, where it has one.
        before, after: decision (0 or 1), or the value that the metric is made of.
        size: how much the margin between its first two scores, or the value, changed.
        scores: name, before and after of each score, in the evaluator's order.
    """

    item: str
    cluster: str | None
    stratum: str | None
    before: float
    after: float
    size: float
    scores: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True)
class Flips:
    """The items of one column of a cell that changed.

    Attributes:
        decisions: whether these are flipped decisions; False: values that moved.
        items: of how many items both models were measured on.
        flips: biggest first; all of them.
    """

    column: Column
    base: Metric
    after: Metric
    decisions: bool
    items: int
    flips: tuple[Flip, ...]


def find_flips(reader: RunReader, cell: Cell, step: int, column: Column) -> Flips | None:
    """The items of a column that changed; None where it was not measured.

    Raises:
        StoreError: the items cannot be read.
    """
    base, after = reader.find(cell, 0, column), reader.find(cell, step, column)
    if base is None or after is None:
        return None
    old, new = reader.items(base.place), reader.items(after.place)
    metric = after.metrics[column.metric]
    old_at, new_at = aligned(old, new)
    decisions = metric.estimator.startswith("percent") and len(metric.of) == 1
    if decisions:
        before_values = old.column(metric.of[0])[old_at]
        after_values = new.column(metric.of[0])[new_at]
        changed = (before_values != after_values) & ~np.isnan(before_values + after_values)
    else:
        before_values, after_values = _value(metric, old)[old_at], _value(metric, new)[new_at]
        changed = before_values != after_values
    names = [n for n in new.names() if n not in metric.of] if decisions else list(metric.of)
    names = [n for n in names if not _is_decision(new, n)]
    flips = []
    for k in np.flatnonzero(changed):
        i, j = old_at[k], new_at[k]
        scores = tuple((n, float(old.column(n)[i]), float(new.column(n)[j])) for n in names)
        first, last = float(before_values[k]), float(after_values[k])
        if np.isnan(first) or np.isnan(last):
            continue
        size = abs(last - first)
        if decisions and len(scores) > 1:
            size = abs((scores[0][2] - scores[1][2]) - (scores[0][1] - scores[1][1]))
        flips.append(Flip(new.ids[j], new.clusters[j], new.strata[j], first, last, size, scores))
    flips.sort(key=lambda flip: (-flip.size, flip.item))
    return Flips(column, base.metrics[column.metric], metric, decisions, len(new_at), tuple(flips))


def _value(metric: Metric, table: ItemTable) -> np.ndarray:
    """The share of each item in a metric that is no share of decisions."""
    if metric.estimator == "exp_rate":
        return np.asarray(table.column(metric.of[0]) / table.column(metric.of[1]))
    if metric.estimator == "mean":
        return table.column(metric.of[0])
    if metric.estimator == "did":
        return np.asarray(table.column(metric.of[0]) - table.column(metric.of[1]))
    raise StoreError(
        f"metric '{metric.name}' is no sum over items; show one of those it is made of"
    )


def _is_decision(table: ItemTable, name: str) -> bool:
    column = table.column(name)
    known = column[~np.isnan(column)]
    return bool(np.isin(known, (0.0, 1.0)).all())
