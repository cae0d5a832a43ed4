"""A run compared with published numbers."""

from __future__ import annotations

from dataclasses import dataclass

from harness.analysis.reported import Publication, ReportedNumber
from harness.errors import StoreError
from harness.storage.cells import Cell, has_usual_label, is_control
from harness.storage.reader import Column, RunReader
from harness.storage.store import Store


@dataclass(frozen=True)
class Beside:
    """A reported number and what the run has in its place, with each one's change from its base.

    Never tested: the items behind a reported number are not known.
    """

    number: ReportedNumber
    title: str
    step: int
    value: float
    reported_change: float | None
    change: float | None


def beside_reported(store: Store, publication: Publication) -> list[Beside]:
    """Numbers of a run that match reported ones: same suite, scorer, metric and domain.

    A method is matched by the plugin's name or its label, a step by its number; a reported number
    without a step is compared with the last.

    Raises:
        StoreError: no number of the run matches a reported one.
    """
    reader = RunReader(store)
    uses = _uses(reader)
    base = {
        (n.model, n.evaluator, n.protocol, n.metric, n.domain): n.value
        for n in publication.numbers
        if n.method is None
    }
    rows: list[Beside] = []
    for number in publication.numbers:
        column = Column(number.evaluator, number.protocol, number.metric, number.domain)
        for cell in reader.index.cells:
            if not _same_method(cell, number, uses):
                continue
            if number.step is not None and number.step not in cell.steps:
                continue
            step = 0 if cell.is_base else cell.measured_step(number.step)
            value, first = _value(reader, cell, step, column), _value(reader, cell, 0, column)
            if value is None:
                continue
            known = base.get((number.model, *column))
            change = value - first if first is not None and not cell.is_base else None
            reported = number.value - known if known is not None and number.method else None
            stop = reader.stop(cell, step)
            at = step if stop is None else stop.step
            rows.append(Beside(number, cell.title(), at, value, reported, change))
    if not rows:
        raise StoreError(_nothing_beside(reader, publication))
    return rows


def _nothing_beside(reader: RunReader, publication: Publication) -> str:
    """Why no number of a run matches a reported one: first of all, the scorers."""
    ours = {
        (ref.evaluator, protocol)
        for cell in reader.index.cells
        for ref in cell.measures
        for protocol, _ in reader.record(ref.key) or {}
    }
    theirs = {(number.evaluator, number.protocol) for number in publication.numbers}
    if ours & theirs:
        return (
            f"{reader.index.name} has no number where {publication.id} has one (same evaluator, "
            "scorer, metric, domain, method and step)"
        )

    def listed(pairs: set[tuple[str, str]]) -> str:
        return ", ".join(f"{evaluator} by '{protocol}'" for evaluator, protocol in sorted(pairs))

    return (
        f"{publication.id} measured {listed(theirs)}; {reader.index.name} has none of these but "
        f"{listed(ours)}: add the scorer to an evaluator of the spec and run it again"
    )


def _uses(reader: RunReader) -> dict[str, str]:
    """Plugin names by label, of the debiasers in the spec."""
    uses = reader.index.spec.get("debiaser")
    return {
        str(use.get("label")): str(use.get("use"))
        for use in (uses if isinstance(uses, list) else [])
        if isinstance(use, dict)
    }


def _same_method(cell: Cell, number: ReportedNumber, uses: dict[str, str]) -> bool:
    if number.method is None or cell.debiaser is None:
        return number.method is None and cell.is_base
    if number.source is not None and cell.source not in (None, number.source):
        return False
    if is_control(cell) or not has_usual_label(cell):
        return False
    return number.method in (cell.debiaser, uses.get(cell.debiaser))


def _value(reader: RunReader, cell: Cell, step: int, column: Column) -> float | None:
    measured = reader.find(cell, step, column)
    return measured.metrics[column.metric].value if measured else None
