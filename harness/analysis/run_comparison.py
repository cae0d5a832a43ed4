"""Two runs side by side: paired where they share items, values beside each other where not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harness.analysis.bootstrap import Resampler
from harness.analysis.corrections import DEFAULT, adjust
from harness.analysis.interval import Interval
from harness.analysis.matrix_builder import test_decisions
from harness.analysis.resampling_units import shared_values
from harness.analysis.stats import McNemar, bootstrap_p
from harness.errors import StoreError
from harness.metrics import Metric
from harness.storage.cells import Cell, Identity
from harness.storage.item_table import aligned
from harness.storage.reader import Column, RunReader
from harness.storage.store import Store


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
    correction: str = DEFAULT,
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


def _named(reader: RunReader, by_model: bool) -> dict[Identity, Cell]:
    hidden = () if by_model else ("model",)
    return {cell.identity.without(*hidden): cell for cell in reader.index.cells}


def _cell(
    one: RunReader,
    cell: Cell,
    two: RunReader,
    other: Cell,
    metric: str | None,
    step: int | None,
    resampler: Resampler,
) -> ComparedCell | None:
    at, there = cell.measured_step(step), other.measured_step(step)
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


def _adjusted(cells: Sequence[ComparedCell], correction: str) -> Iterable[ComparedCell]:
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
