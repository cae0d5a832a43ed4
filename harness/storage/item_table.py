"""Items as columns, for statistics over thousands of them without one object an item."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, compress
from operator import itemgetter
from typing import Any

import numpy as np

from harness.arrays import Floats
from harness.estimators import Sample
from harness.metrics import Item

Fields = tuple[tuple[str, ...], tuple[str | None, ...], tuple[str | None, ...]]
"""The id, the cluster and the stratum of every item."""


class ItemTable:
    """The items of one measurement as columns.

    Attributes:
        ids: stable item ids.
        clusters: the term or template of each item; None if it has none.
        strata: the half of each item; None if there are no halves.
    """

    def __init__(
        self,
        ids: Sequence[str],
        clusters: Sequence[str | None],
        strata: Sequence[str | None],
        values: Sequence[Mapping[str, float]],
    ) -> None:
        """Make a table of the fields of items, and of their values by name.

        Raises:
            TypeError: a value is not a number.
            OverflowError: a number is too large.
        """
        self.ids, self.clusters, self.strata = tuple(ids), tuple(clusters), tuple(strata)
        self._columns = _columns_of(values)
        self._stacks: dict[tuple[str, ...], Floats] = {}
        self._complete: dict[tuple[str, ...], bool] = {}

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
        ids = [item["id"] for item in items]
        clusters, strata = _each(items, "cluster", None), _each(items, "stratum", None)
        values = [item["values"] for item in items]
        _check_types(ids, str)
        _check_types(clusters, str, type(None))
        _check_types(strata, str, type(None))
        _check_types(values, dict)
        return cls(ids, clusters, strata, values)

    def share(self, shared: dict[Fields, Fields]) -> None:
        """Take ids, clusters and strata from another table that has the same, to save memory.

        Args:
            known: those of earlier tables; this table's are added.
        """
        fields = self.ids, self.clusters, self.strata
        self.ids, self.clusters, self.strata = shared.setdefault(fields, fields)

    def names(self) -> list[str]:
        """Return the names of the values that items have, in order of first appearance."""
        return list(self._columns)

    def column(self, name: str) -> Floats:
        """Return a value of every item, shape ``(items,)``; nan where an item has none."""
        if name not in self._columns:
            return np.full(len(self.ids), np.nan)
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
        if stratum is None and self.complete(of):
            return Sample(values, self.ids, self.clusters, self.strata, reference)
        kept = ~np.isnan(values).any(axis=1)
        if stratum is not None:
            kept &= np.array([name == stratum for name in self.strata], dtype=bool)
        chosen: list[bool] = np.asarray(kept).tolist()
        return Sample(
            values[chosen],
            list(compress(self.ids, chosen)),
            list(compress(self.clusters, chosen)),
            list(compress(self.strata, chosen)),
            reference,
        )

    def complete(self, names: Sequence[str]) -> bool:
        """Whether every item has all of these values."""
        key = tuple(names)
        if key not in self._complete:
            self._complete[key] = not np.isnan(self.columns(names)).any()
        return self._complete[key]


def _columns_of(values: Sequence[Mapping[str, float]]) -> dict[str, Floats]:
    """Return the values of items as one array for each name, nan where an item has none.

    The mappings themselves take several times the memory, so they are not kept.
    """
    first = list(values[0]) if values else []
    if len(first) > 1 and set(map(len, values)) == {len(first)}:
        try:  # the usual case: all items have the same values
            flat = list(chain.from_iterable(map(itemgetter(*first), values)))
        except KeyError:
            pass
        else:
            _check_types(flat, float, int)
            table = np.array(flat, np.float64).reshape(len(values), len(first))
            return dict(zip(first, np.ascontiguousarray(table.T), strict=True))
    _check_types([number for of_item in values for number in of_item.values()], float, int)
    names = dict.fromkeys(chain.from_iterable(values))
    return {name: np.array(_each(values, name, float("nan")), np.float64) for name in names}


def _check_types(values: Iterable[object], *kinds: type) -> None:
    strange = set(map(type, values)) - set(kinds)
    if strange:
        raise TypeError(f"a value is of the type {strange.pop().__name__}")


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
