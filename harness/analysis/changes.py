"""Changes of one metric between a base and debiased models, with the influence of every unit.

A metric is a function of sums over units (`harness.analysis.resampling_units`). Leaving out one
unit at a time (the jackknife) shows how much each unit moves the metric, for every estimator alike.
All intervals and tests are made of these influences: they add up over metrics, subtract from those
of a control on the same units, and combine with the spread between fits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from harness.analysis.references import reference_influences
from harness.analysis.resampling_units import Layout, Layouts, Sums
from harness.analysis.stats import FEWEST_UNITS, influence, squared_distance
from harness.arrays import Floats
from harness.metrics import Direction, Metric
from harness.once import cached_property
from harness.storage.item_table import ItemTable, aligned


@dataclass(frozen=True, eq=False)
class Side:
    """One metric of one model on the units that two models share.

    Attributes:
        value: of the metric.
        influences: of each unit on it, shape ``(units,)``; None where it has no value without
            one of the units.
        square: unbiased squared distance to the ideal; None for a metric without a target.
        square_influences: of each unit on that, shape ``(units,)``.
    """

    value: float
    influences: Floats | None
    square: float | None = None
    square_influences: Floats | None = None

    def __eq__(self, other: object) -> bool:
        """Whether both have the same values for every unit."""
        if not isinstance(other, Side):
            return NotImplemented
        return (
            (self.value, self.square) == (other.value, other.square)
            and _same_array(self.influences, other.influences)
            and _same_array(self.square_influences, other.square_influences)
        )

    @cached_property
    def variance(self) -> float | None:
        """Sampling variance over units."""
        if self.influences is None:
            return None
        return float((self.influences * self.influences).sum())


def _same_array(one: Floats | None, other: Floats | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)


class Flips(NamedTuple):
    """Items whose decision changed."""

    gained: int
    lost: int


@dataclass(frozen=True)
class Change:
    """One metric of a debiased model and its base on the same units.

    Attributes:
        before, after: both models.
        direction: of the metric.
        units: names of the units; equal names are equal items in all metrics.
        items: how many items both models have.
        flips: of a share of 0/1 decisions over independent items; None for any other metric.
        few: units in the smallest part, where an estimator combines parts (halves, strata) and
            that part has too few of them; else None. Then nothing has an influence, so that there
            is no interval, test or mark.
        same: whether both sides have the same value of everything that was stored of each item, as
            a model that was not changed has.
    """

    before: Side
    after: Side
    direction: Direction
    units: tuple[str, ...]
    items: int
    flips: Flips | None
    same: bool
    few: int | None = None

    @property
    def value(self) -> float:
        """After minus before."""
        return self.after.value - self.before.value

    @cached_property
    def influences(self) -> Floats | None:
        """Influence of each unit on the change, shape ``(units,)``."""
        before, after = self.before.influences, self.after.influences
        return None if before is None or after is None else after - before


def _equal(before: ItemTable, after: ItemTable) -> bool:
    """Whether two tables hold the same values of the items that both have."""
    names = before.names()
    if names != after.names():
        return False
    pairs = ((before.column(name), after.column(name)) for name in names)
    if before.ids != after.ids:
        old_at, new_at = aligned(before, after)
        pairs = ((old[old_at], new[new_at]) for old, new in pairs)
    return all(np.array_equal(old, new, equal_nan=True) for old, new in pairs)


def _few(layout: Layout) -> int | None:
    """Units in the smallest part of an estimator that has several, if they are too few."""
    if len(layout.counts) < 2:
        return None
    smallest = int((layout.counts > 0).sum(axis=1).min())
    return smallest if smallest < FEWEST_UNITS else None


class ChangeReader:
    """Computes changes of one metric for many pairs of tables, all at once."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._layouts = Layouts(metric)

    def changes(self, pairs: Sequence[tuple[ItemTable, ItemTable]]) -> list[Change | None]:
        """Compare (before, after) tables.

        Returns:
            One answer for each pair: None where they share no item that has the metric's values,
            or the metric has no value on them.
        """
        prepared = [self._layouts.paired(before, after) for before, after in pairs]
        groups: dict[int, list[int]] = {}
        tables: dict[int, ItemTable] = {}
        for position, (sums, pair) in enumerate(zip(prepared, pairs, strict=True)):
            if sums is not None:
                groups.setdefault(id(sums[0].layout), []).append(position)
                tables.update(zip(map(id, sums), pair, strict=True))
        answers: list[Change | None] = [None] * len(pairs)
        for positions in groups.values():
            members = [(position, prepared[position]) for position in positions]
            self._compare([(position, sums) for position, sums in members if sums], tables, answers)
        return [
            replace(change, same=_equal(*pair)) if change is not None and change.same else change
            for change, pair in zip(answers, pairs, strict=True)
        ]

    def _compare(
        self,
        members: Sequence[tuple[int, tuple[Sums, Sums]]],
        tables: Mapping[int, ItemTable],
        answers: list[Change | None],
    ) -> None:
        """Fill in the changes of pairs that share a layout; each table is computed once."""
        known = {id(sums): sums for _, pair in members for sums in pair}
        layout = members[0][1][0].layout
        stacked = np.stack([sums.sums for sums in known.values()])  # (tables, components, units)
        few = _few(layout)
        based = None
        if layout.estimator.needs_base:
            base = tables[id(members[0][1][0])]
            based = reference_influences(layout, base, [tables[key] for key in known])
        sides = self._sides(layout, stacked, based)
        if few is not None:
            sides = [None if side is None else Side(side.value, None) for side in sides]
        order = {key: k for k, key in enumerate(known)}
        old = [order[id(before)] for _, (before, _) in members]
        new = [order[id(after)] for _, (_, after) in members]
        with np.errstate(invalid="ignore"):  # sums that overflowed on both sides have no change
            moved = stacked[new] - stacked[old]
        alone = len(layout.units) == layout.items
        decided = np.zeros(len(stacked), bool)
        if layout.estimator.decided and alone and len(self._metric.of) == stacked.shape[1] == 1:
            decided = ((stacked == 0) | (stacked == 1)).all(axis=(1, 2))
        pairs = zip(
            members,
            old,
            new,
            (decided[old] & decided[new]).tolist(),
            np.count_nonzero(moved > 0, axis=(1, 2)).tolist(),
            np.count_nonzero(moved < 0, axis=(1, 2)).tolist(),
            np.count_nonzero(moved, axis=(1, 2)).tolist(),
            strict=True,
        )
        for (position, _), k_old, k_new, both_decided, up, down, all_moved in pairs:
            before, after = sides[k_old], sides[k_new]
            if before is None or after is None:
                continue
            answers[position] = Change(
                before,
                after,
                self._metric.direction,
                layout.units,
                layout.items,
                Flips(up, down) if both_decided else None,
                all_moved == 0,
                few,
            )

    def _sides(self, layout: Layout, stacked: Floats, based: Floats | None) -> list[Side | None]:
        sums = np.moveaxis(stacked, 0, 1)  # (components, tables, units)
        totals, counts = sums.sum(axis=-1), layout.counts.sum(axis=-1)
        values = layout.value(totals, np.broadcast_to(counts[:, None], (len(counts), len(stacked))))
        units = len(layout.units)
        if units < 2:
            return [Side(v, None) if np.isfinite(v) else None for v in values.tolist()]
        rest = layout.counts.sum(axis=-1, keepdims=True) - layout.counts
        shape = (len(rest), len(stacked), units)
        with np.errstate(invalid="ignore"):
            without = layout.value(
                totals[..., None] - sums, np.broadcast_to(rest[:, None, :], shape)
            )
        influences = influence(without)
        if based is not None:
            influences = influences + based
        target = self._metric.direction.target
        squares = spread = None
        if target is not None and units > 2:
            squares, spread = squared_distance(values - target, influences)
        known = np.isfinite(influences.sum(axis=-1)).tolist()
        return [
            None
            if not np.isfinite(value)
            else Side(value, None)
            if not known[k]
            else Side(
                value,
                influences[k],
                None if squares is None else float(squares[k]),
                None if spread is None else spread[k],
            )
            for k, value in enumerate(values.tolist())
        ]
