"""Checking a stored run: hashes, keys, the index, and every number recomputed from its items."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.data.domains import NO_DOMAIN, OVERALL
from harness.errors import HarnessError, StoreError
from harness.estimators import Sample, estimate_sample
from harness.planning.keys import OF_MEASURING, content_key
from harness.quantities import Decision, Quantities
from harness.storage.cells import Cell, MeasureRef
from harness.storage.declarations import Declarations
from harness.storage.item_table import ItemTable
from harness.storage.records import Record, RunIndex
from harness.storage.store import Store
from harness.types import Measurement

RELATIVE = 1e-9
"""Numbers may differ by this share: another version of a library may sum in another order."""

_AXIS_INPUTS = {"model": "model", "debiaser": "debiaser", "masker": "masker"}
"""Axes whose value is the label of a plugin, and the input that says which plugin it was."""


@dataclass(frozen=True)
class Difference:
    """Something that is not as it was stored, or cannot be checked.

    Attributes:
        key: of the record; or the file, for the index and masks.
        where: cell, measurement and metric.
        what: what is wrong.
    """

    key: str
    where: str
    what: str


@dataclass(frozen=True)
class Verification:
    """What was checked, and what is wrong.

    Attributes:
        records: how many were read.
        numbers: how many were recomputed.
        differences: everything that is wrong.
        unhashed: how many records were written before hashes were stored. Their numbers follow
            from their items, but a change of ids, clusters, directions or labels may go unseen.
    """

    records: int
    numbers: int
    differences: tuple[Difference, ...]
    unhashed: int = 0


def verify(store: Store) -> Verification:
    """Check all files of a run against their hashes, their inputs and each other.

    Values, counts and numerators are recomputed from the items; keys and the cells of the index
    are compared with the inputs of the records. Records that no cell uses are checked too. A cell
    without a record is not a difference: it is not a stored number.

    Raises:
        StoreError: there is no index that can be read.
    """
    index = store.index()
    titles: dict[str, str] = {}
    uses: dict[str, list[tuple[Cell, MeasureRef]]] = {}
    for cell in index.cells:
        for ref in cell.measures:
            titles.setdefault(ref.key, f"{cell.title()} / step {ref.step} / {ref.evaluator}")
            uses.setdefault(ref.key, []).append((cell, ref))
    declarations = Declarations(index)
    differences = [Difference("index.json", "index", what) for what in _repeated_cells(index)]
    records = numbers = unhashed = 0
    for key in store.record_keys():
        title = titles.get(key, "no cell of the index")
        try:
            record = store.record(key, items=False)
            assert record is not None
            tables = store.item_tables(key, record.items_sha256)
        except StoreError as error:
            differences.append(Difference(key, title, str(error)))
            continue
        records += 1
        numbers += sum(len(measurement.metrics) for measurement in record.measurements)
        unhashed += record.items_sha256 is None
        label = uses[key][0][1].evaluator if key in uses else ""
        wrong = list(_wrong_record(key, record)) or list(
            _wrong_uses(index.spec, record.inputs, uses.get(key, []))
        )
        differences += [Difference(key, title, what) for what in wrong]
        differences += [
            Difference(key, f"{title}: {place}", what)
            for place, what in _wrong_numbers(
                [declarations.complete(label, measurement) for measurement in record.measurements],
                tables,
            )
        ]
    differences += _wrong_others(store)
    return Verification(records, numbers, tuple(differences), unhashed)


def _repeated_cells(index: RunIndex) -> Iterator[str]:
    seen = set()
    for cell in index.cells:
        if cell.identity in seen:
            yield f"two cells are {cell.title()}"
        seen.add(cell.identity)


def _wrong_record(key: str, record: Record) -> Iterator[str]:
    """What does not fit in a record and its inputs."""
    if record.key != key:
        yield f"the file holds record {record.key}"
    elif content_key(record.inputs) != key:
        yield "the key is not the hash of the stored inputs"
    domains = record.inputs.get("domains")
    if isinstance(domains, list):
        known = {*map(str, domains), NO_DOMAIN, OVERALL}
        for measurement in record.measurements:
            if measurement.domain not in known:
                yield f"a measurement is of '{measurement.domain}', which was not asked for"


def _wrong_uses(
    spec: Mapping[str, Any], inputs: Mapping[str, Any], uses: list[tuple[Cell, MeasureRef]]
) -> Iterator[str]:
    """Cells of the index that use a record which is not of them, by the record's inputs."""
    problems: dict[str, None] = {}
    for cell, ref in uses:
        for what in _wrong_use(spec, inputs, cell, ref):
            problems[f"the index gives it to {cell.title()} / step {ref.step}, but {what}"] = None
    yield from problems


def _wrong_use(
    spec: Mapping[str, Any], inputs: Mapping[str, Any], cell: Cell, ref: MeasureRef
) -> Iterator[str]:
    if isinstance(inputs.get("step"), int) and inputs["step"] != ref.step:
        yield f"it was measured at step {inputs['step']}"
    plugins: list[tuple[str, str | None, Any]]
    plugins = [("evaluators", ref.evaluator, inputs.get("evaluator"))]
    axes = ["model"] if ref.step == 0 else list(_AXIS_INPUTS)
    plugins += [(axis, getattr(cell, axis), inputs.get(_AXIS_INPUTS[axis])) for axis in axes]
    source = inputs.get("source")
    if ref.step > 0 and isinstance(source, Mapping):
        for axis, stored in (("source", source.get("domain")), ("label", source.get("label"))):
            if stored is not None and stored != getattr(cell, axis):
                yield f"its {axis} was '{stored}'"
        plugins.append(("corpus", cell.corpus, source.get("corpus")))
    for part, label, plugin in plugins:
        if isinstance(plugin, Mapping) and not _is_use(spec.get(part), label, plugin):
            yield f"it is of the {part.removesuffix('s')} '{plugin.get('name')}', used otherwise"
    if ref.step > 0 and "debiaser" in inputs:
        if isinstance(inputs.get("seed"), int) and inputs["seed"] != cell.seed:
            yield f"its seed was {inputs['seed']}"
        fit = {name: value for name, value in inputs.items() if name not in OF_MEASURING}
        if cell.fit_key is not None and content_key(fit) != cell.fit_key:
            yield f"its fit is {content_key(fit)}, not {cell.fit_key}"


def _is_use(uses: Any, label: str | None, plugin: Mapping[str, Any]) -> bool:
    """Whether a plugin's inputs are those of a label in the spec, and of no other one more so."""
    by_label = {
        use.get("label"): _unlike(use, plugin)
        for use in (uses if isinstance(uses, list) else [])
        if isinstance(use, Mapping) and use.get("use") == plugin.get("name")
    }
    return label in by_label and by_label[label] == min(by_label.values())


def _unlike(use: Mapping[str, Any], plugin: Mapping[str, Any]) -> int:
    """How many settings differ; some may, as a key leaves out those that change no answer."""
    ours, theirs = use.get("config"), plugin.get("config")
    if not isinstance(ours, Mapping) or not isinstance(theirs, Mapping):
        return 0
    return sum(ours.get(name) != theirs.get(name) for name in {*ours, *theirs})


def _wrong_numbers(
    measurements: Sequence[Measurement], tables: tuple[ItemTable, ...]
) -> Iterator[tuple[str, str]]:
    """Metrics and decisions that their items do not give: where, and what differs."""
    if len(tables) != len(measurements):
        yield "items", f"{len(measurements)} measurements, items of {len(tables)}"
        return
    for measurement, table in zip(measurements, tables, strict=True):
        samples: dict[tuple[object, ...], Sample] = {}
        place = f"{measurement.domain} / {measurement.protocol}"
        for what in _wrong_decisions(measurement.quantities, table):
            yield place, what
        for metric in measurement.metrics:
            place = f"{measurement.domain} / {measurement.protocol} / {metric.name}"
            items = metric.of, metric.stratum, metric.reference
            try:
                if items not in samples:
                    samples[items] = table.sample(*items)
                formula = metric.formula(based=bool(metric.reference))
                again = estimate_sample(formula, samples[items])
            except HarnessError as error:
                yield place, str(error)
                continue
            for name, stored, computed in (
                ("value", metric.value, again.value),
                ("n", metric.n, again.n),
                ("numerator", metric.numerator, again.numerator),
            ):
                if not _same(stored, computed):
                    yield place, f"{name} is {stored}, its items give {computed}"


def _wrong_decisions(quantities: Quantities, table: ItemTable) -> Iterator[str]:
    """Decisions that do not follow from the scores that they compare, each with one item."""
    names = set(table.names())
    for name, quantity in quantities.items():
        if (
            not isinstance(quantity, Decision)
            or len(quantity.of) < 2
            or not {name, *quantity.of} <= names
        ):
            continue
        stored, scores = table.column(name), table.columns(quantity.of)
        complete = ~np.isnan(scores).any(axis=1) & ~np.isnan(stored)
        wrong = np.flatnonzero(complete & (quantity.decide(scores) != stored))
        if len(wrong):
            more = f" and {len(wrong) - 1} more items" if len(wrong) > 1 else ""
            yield f"{name} of item {table.ids[wrong[0]]}{more} does not follow from its scores"


def _wrong_others(store: Store) -> Iterator[Difference]:
    """Failures and masks that cannot be read."""
    for key in store.failure_keys():
        problem = store.failure_damage(key)
        if problem is not None:
            yield Difference(key, "failure", problem)
    for name in store.mask_keys():
        try:
            store.masks(name)
        except StoreError as error:
            yield Difference(name, "masks", str(error))


def _same(stored: float | None, computed: float | None) -> bool:
    if stored is None or computed is None:
        return stored is computed
    return math.isclose(stored, computed, rel_tol=RELATIVE, abs_tol=1e-12)
