"""Recomputing every stored number from the items it came from."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.errors import StoreError
from harness.metrics import estimate
from harness.planning.keys import content_key
from harness.storage.records import Record
from harness.storage.store import Store

RELATIVE = 1e-9
"""Numbers may differ by this share: another version of a library may sum in another order."""


@dataclass(frozen=True)
class Difference:
    """A stored number that its items do not give, or a record that cannot be checked."""

    key: str
    where: str
    what: str


@dataclass(frozen=True)
class Verification:
    """What was checked, and what is wrong."""

    records: int
    numbers: int
    differences: tuple[Difference, ...]


def verify(store: Store) -> Verification:
    """Recompute values, counts and numerators of all records; check keys against their inputs.

    Records that no cell uses are checked too. A cell without a record is no difference: it is
    not a stored number.

    Raises:
        StoreError: there is no index.
    """
    index = store.index()
    names: dict[str, str] = {}
    for cell in index.cells:
        for ref in cell.measures:
            names.setdefault(ref.key, f"{cell.title()} / step {ref.step} / {ref.evaluator}")
    differences: list[Difference] = []
    records = numbers = 0
    for key in store.record_keys():
        where = names.get(key, "no cell of the index")
        try:
            record = store.record(key)
        except (StoreError, ValueError) as error:  # ValueError: items of another record
            differences.append(Difference(key, where, str(error)))
            continue
        assert record is not None
        records += 1
        if record.key != key:
            differences.append(Difference(key, where, f"the file holds record {record.key}"))
        elif content_key(record.inputs) != key:
            differences.append(
                Difference(key, where, "the key is not the hash of the inputs beside it")
            )
        own, wrong = _check(record, where)
        numbers += own
        differences += wrong
    return Verification(records, numbers, tuple(differences))


def _check(record: Record, where: str) -> tuple[int, list[Difference]]:
    found: list[Difference] = []
    numbers = 0
    for measurement in record.measurements:
        for metric in measurement.metrics:
            numbers += 1
            place = f"{where}: {measurement.domain} / {measurement.protocol} / {metric.name}"
            again = estimate(measurement.items, metric.estimator, metric.of, metric.stratum)
            for name, stored, computed in (
                ("value", metric.value, again.value),
                ("n", metric.n, again.n),
                ("numerator", metric.numerator, again.numerator),
            ):
                if not _same(stored, computed):
                    found.append(
                        Difference(
                            record.key, place, f"{name} is {stored}, its items give {computed}"
                        )
                    )
    return numbers, found


def _same(stored: float | None, computed: float | None) -> bool:
    if stored is None or computed is None:
        return stored is computed
    return math.isclose(stored, computed, rel_tol=RELATIVE, abs_tol=1e-12)
