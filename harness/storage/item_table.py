"""Items as columns, for statistics over thousands of them without one object an item."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from harness.arrays import Floats
from harness.estimators import Sample
from harness.metrics import Item


@contextmanager
def uncollected() -> Iterator[None]:
    """Turn the garbage collector off for a block that makes many objects and no cycles.

    Otherwise it would scan hundreds of thousands of item values again and again.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@dataclass
class ItemTable:
    """The items of one measurement as columns, each made once, on first use.

    Attributes:
        ids: stable item ids.
        clusters: the term or template of each item; None if it has none.
        strata: the half of each item; None if there are no halves.
    """

    ids: list[str]
    clusters: list[str | None]
    strata: list[str | None]
    _values: Sequence[Mapping[str, float]]
    _names: list[str] | None = None
    _columns: dict[str, Floats] = field(default_factory=dict)
    _stacks: dict[tuple[str, ...], Floats] = field(default_factory=dict)
    _complete: dict[tuple[str, ...], bool] = field(default_factory=dict)

    @classmethod
    def of_items(cls, items: Iterable[Item]) -> ItemTable:
        """Make a table of validated items."""
        kept = list(items)
        return cls(
            [item.id for item in kept],
            [item.cluster for item in kept],
            [item.stratum for item in kept],
            [item.values for item in kept],
        )

    @classmethod
    def of_json(cls, items: Sequence[Mapping[str, Any]]) -> ItemTable:
        """Make a table of items as they are stored.

        Raises:
            KeyError: an item lacks a field.
            TypeError: a field is of another type than an item's.
            OverflowError: a number is too large.
        """
        table = cls(
            [item["id"] for item in items],
            _each(items, "cluster", None),
            _each(items, "stratum", None),
            [item["values"] for item in items],
        )
        _check_types(table.ids, str)
        _check_types(table.clusters, str, type(None))
        _check_types(table.strata, str, type(None))
        _check_types(table._values, dict)
        values = list(chain.from_iterable(item.values() for item in table._values))
        if _check_types(values, float, int) != {float}:
            max(map(float, values), default=0.0)  # no whole number is too large for a float
        return table

    def names(self) -> list[str]:
        """Return the names of the values that items have, in order of first appearance."""
        if self._names is None:
            self._names = list(dict.fromkeys(chain.from_iterable(self._values)))
        return list(self._names)

    def column(self, name: str) -> Floats:
        """Return a value of every item, shape ``(items,)``; nan where an item has none."""
        if name not in self._columns:
            self._columns[name] = np.array(_each(self._values, name, float("nan")), float)
        return self._columns[name]

    def columns(self, names: Sequence[str]) -> Floats:
        """Return several values of every item, shape ``(items, names)``."""
        key = tuple(names)
        if key not in self._stacks:
            columns = [self.column(name) for name in names]
            one = len(columns) == 1
            self._stacks[key] = columns[0][:, None] if one else np.stack(columns, axis=1)
        return self._stacks[key]

    def sample(
        self,
        of: Sequence[str],
        stratum: str | None = None,
        reference: tuple[float, ...] = (),
    ) -> Sample:
        """Return the items of a stratum that carry every value in ``of``, for an estimator."""
        values = self.columns(of)
        kept = ~np.isnan(values).any(axis=1)
        if stratum is not None:
            kept &= np.array([name == stratum for name in self.strata], dtype=bool)
        if kept.all():
            return Sample(values, self.ids, self.clusters, self.strata, reference)
        chosen = np.flatnonzero(kept).tolist()
        return Sample(
            values[chosen],
            [self.ids[i] for i in chosen],
            [self.clusters[i] for i in chosen],
            [self.strata[i] for i in chosen],
            reference,
        )

    def complete(self, names: Sequence[str]) -> bool:
        """Whether every item has all of these values."""
        key = tuple(names)
        if key not in self._complete:
            self._complete[key] = not np.isnan(self.columns(names)).any()
        return self._complete[key]


def _check_types(values: Iterable[object], *kinds: type) -> set[type]:
    types = set(map(type, values))
    strange = types - set(kinds)
    if strange:
        raise TypeError(f"a value is of the type {strange.pop().__name__}")
    return types


def _each(objects: Sequence[Mapping[str, Any]], name: str, otherwise: Any) -> list[Any]:
    """Return a field of every object; the usual case, in which all have it, is the fast one."""
    try:
        return list(map(itemgetter(name), objects))
    except KeyError:
        return [values.get(name, otherwise) for values in objects]


def aligned(before: ItemTable, after: ItemTable) -> tuple[list[int], list[int]]:
    """Return the positions in both tables of the items they share, in the order of ``after``."""
    if before.ids == after.ids:
        every = list(range(len(after.ids)))
        return every, every
    at = {item: i for i, item in enumerate(before.ids)}
    shared = [(at[item], j) for j, item in enumerate(after.ids) if item in at]
    return [i for i, _ in shared], [j for _, j in shared]
