"""Two runs side by side: paired where they share items, values beside each other where not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harness.bootstrap import Resampler
from harness.errors import StoreError
from harness.itemtable import aligned
from harness.matrix import test_decisions
from harness.metrics import Metric
from harness.reading import Column, RunReader
from harness.records import Cell
from harness.reported import Publication, ReportedNumber
from harness.stats import Correction, Interval, McNemar, adjust, bootstrap_p
from harness.store import Store
from harness.sums import shared_values


@dataclass(frozen=True)
class Compared:
    """One number of two runs.

    Attributes:
        column: what it is.
        first, second: as each run has it.
        shared: items that both have; 0 where none, and then nothing is tested.
        on_shared: the values of both on the shared items, where a run has others, too.
        interval: 95 % interval of second minus first over the shared items.
        test: McNemar on the shared items, for a share of 0/1 decisions.
        p: of the test, else of the paired bootstrap.
        adjusted_p: corrected over all of the comparison.
    """

    column: Column
    first: Metric
    second: Metric
    shared: int = 0
    on_shared: tuple[float, float] | None = None
    interval: Interval | None = None
    test: McNemar | None = None
    p: float | None = None
    adjusted_p: float | None = None

    @property
    def values(self) -> tuple[float, float] | None:
        """Of both, on the same items where they share some."""
        if self.on_shared is not None:
            return self.on_shared
        if self.first.value is None or self.second.value is None:
            return None
        return self.first.value, self.second.value

    @property
    def difference(self) -> float | None:
        """Second minus first."""
        return None if self.values is None else self.values[1] - self.values[0]

    @property
    def better(self) -> float | None:
        """How much nearer to the ideal the second is; negative: further."""
        return None if self.values is None else self.second.direction.improvement(*self.values)


@dataclass(frozen=True)
class ComparedCell:
    """One model of both runs: the base, or one that was debiased alike."""

    title: str
    first_step: int
    second_step: int
    numbers: tuple[Compared, ...]


@dataclass(frozen=True)
class Comparison:
    """Two runs.

    Attributes:
        first, second: names of the runs.
        cells: models that both have.
        only_first, only_second: titles of models that one has.
    """

    first: str
    second: str
    cells: tuple[ComparedCell, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]


def compare(
    first: Store,
    second: Store,
    *,
    metric: str | None = None,
    step: int | None = None,
    correction: Correction = "bh",
    seed: int = 0,
) -> Comparison:
    """Compare the models that two runs share: same labels in the spec, each at its last step.

    The model's own label need not be the same where each run has one model only.

    Args:
        first: a run.
        second: what is compared with it.
        metric: only this one; default: the primary ones.
        step: checkpoint; default: each cell's last.
        correction: of all p-values together.
        seed: of the bootstrap.

    Raises:
        StoreError: a run has no record, or they share no model.
    """
    one, two = RunReader(first), RunReader(second)
    by_model = len(_models(one)) > 1 or len(_models(two)) > 1
    cells, others = _named(one, by_model), _named(two, by_model)
    resampler = Resampler(seed)
    found = [
        own
        for name, cell in cells.items()
        if name in others
        and (own := _cell(one, cell, two, others[name], metric, step, resampler)) is not None
    ]
    if not found:
        raise StoreError(
            f"{one.index.name} and {two.index.name} share no measured model: cells are matched by "
            "their labels (debiaser, corpus, masker, source, label, seed)"
        )
    return Comparison(
        one.index.name,
        two.index.name,
        tuple(_adjusted(found, correction)),
        tuple(cell.title() for name, cell in cells.items() if name not in others),
        tuple(cell.title() for name, cell in others.items() if name not in cells),
    )


def _models(reader: RunReader) -> set[str]:
    return {cell.model for cell in reader.index.cells}


def _named(reader: RunReader, by_model: bool) -> dict[tuple[object, ...], Cell]:
    return {
        (
            c.model if by_model else None,
            c.debiaser,
            c.corpus,
            c.masker,
            c.source,
            c.label,
            c.seed,
        ): c
        for c in reader.index.cells
    }


def _last(cell: Cell, step: int | None) -> int:
    steps = cell.steps
    return step if step in steps else max(steps, default=0)


def _cell(
    one: RunReader,
    cell: Cell,
    two: RunReader,
    other: Cell,
    metric: str | None,
    step: int | None,
    resampler: Resampler,
) -> ComparedCell | None:
    at, there = _last(cell, step), _last(other, step)
    if cell.is_base:
        at = there = 0
    numbers = []
    for column in one.columns({one.index.cells.index(cell): at}, metric):
        left, right = one.find(cell, at, column), two.find(other, there, column)
        if left is None or right is None:
            continue
        old, new = left.metrics[column.metric], right.metrics[column.metric]
        own = Compared(column, old, new)
        tables = one.items(left.place), two.items(right.place)
        shared = len(aligned(*tables)[1])
        if shared:
            (draws,) = resampler.paired(new, [tables])
            test = test_decisions(new, *tables)
            more = max(len(table.ids) for table in tables) > shared
            own = replace(
                own,
                on_shared=shared_values(new, *tables) if more else None,
                shared=draws.items if draws else shared,
                interval=draws.interval if draws else None,
                test=test,
                p=test.p if test else bootstrap_p(draws.change) if draws else None,
            )
        numbers.append(own)
    return ComparedCell(cell.title(), at, there, tuple(numbers)) if numbers else None


def _adjusted(cells: Sequence[ComparedCell], correction: Correction) -> Iterable[ComparedCell]:
    p_values = [own.p for cell in cells for own in cell.numbers if own.p is not None]
    adjusted = iter(adjust(p_values, correction))
    for cell in cells:
        yield replace(
            cell,
            numbers=tuple(
                replace(own, adjusted_p=next(adjusted)) if own.p is not None else own
                for own in cell.numbers
            ),
        )


# -- numbers from the literature -----------------------------------------------------------------


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
    """Numbers of a run that stand where reported ones do: same suite, scorer, metric and domain.

    A method is matched by the plugin's name or its label, a step by its number; a reported number
    without a step stands beside the last.

    Raises:
        StoreError: nothing of the run stands where a reported number does.
    """
    reader = RunReader(store)
    uses = _uses(reader)
    base = {
        (n.model, n.evaluator, n.protocol, n.metric, n.domain): n.value
        for n in publication.numbers
        if n.method is None
    }
    found: list[Beside] = []
    for number in publication.numbers:
        column = Column(number.evaluator, number.protocol, number.metric, number.domain)
        for cell in reader.index.cells:
            if not _same_method(cell, number, uses):
                continue
            if number.step is not None and number.step not in cell.steps:
                continue
            step = 0 if cell.is_base else _last(cell, number.step)
            value, first = _value(reader, cell, step, column), _value(reader, cell, 0, column)
            if value is None:
                continue
            known = base.get((number.model, *column))
            change = value - first if first is not None and not cell.is_base else None
            reported = number.value - known if known is not None and number.method else None
            found.append(Beside(number, cell.title(), step, value, reported, change))
    if not found:
        raise StoreError(_nothing_beside(reader, publication))
    return found


def _nothing_beside(reader: RunReader, publication: Publication) -> str:
    """Why no number of a run stands where a reported one does: first of all, the scorers."""
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
    if cell.control_kind is not None or cell.label not in (None, "hateful"):
        return False
    return number.method in (cell.debiaser, uses.get(cell.debiaser))


def _value(reader: RunReader, cell: Cell, step: int, column: Column) -> float | None:
    found = reader.find(cell, step, column)
    return found.metrics[column.metric].value if found else None
