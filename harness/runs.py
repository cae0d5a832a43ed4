"""A run as a Python object: its matrix, leaderboard, items and figures, in notebooks and scripts.

Example::

    run = open_run("quickstart")
    run.matrix()                                  # a coloured matrix in a notebook
    print(run.leaderboard())                      # the table of `harness leaderboard`
    run.changes("mlm-unlearning/gender")          # items whose decision flipped
    run.to_pandas().query("target == 'religion'")

Numbers come from `harness.analysis` and layout from `harness.render`; the commands show the same
objects.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from harness.analysis.corrections import DEFAULT
from harness.analysis.item_changes import CellChanges, ItemChange, ItemChanges, cell_changes
from harness.analysis.leaderboard import Leaderboard, Standing
from harness.analysis.leaderboard_tables import board_tables
from harness.analysis.long_table import COLUMNS, tidy_rows
from harness.analysis.mask_rules import rule_table
from harness.analysis.matrix import Entry, Matrix, Row
from harness.analysis.matrix_builder import matrix_of
from harness.analysis.matrix_tables import matrix_tables
from harness.analysis.ranking import rank
from harness.analysis.reported import Publication
from harness.analysis.tables import Table
from harness.analysis.verdict import Verdict, verdict
from harness.errors import DataError, HarnessError
from harness.plugins import Registry, installed_plugins
from harness.render.console.flips import print_flips
from harness.render.console.leaderboard import print_leaderboard
from harness.render.console.matrix import print_matrix
from harness.render.console.tables import Below, print_with_legend
from harness.render.console.terminal import Terminal
from harness.render.figures.canvas import Figure
from harness.render.figures.catalogue import RunFigures, figures_of
from harness.render.grids import bias_tables
from harness.render.page.content import each_line_once, grid_set
from harness.render.page.html import Part, html_part
from harness.render.page.lists import changes_numbers
from harness.render.page.views import view_of, view_of_numbers
from harness.render.tables.plain import leaderboard_json, matrix_json
from harness.replay.sentences import find_sentences
from harness.running.experiment import RESULTS, default_data
from harness.storage.reader import RunReader
from harness.storage.store import Store, find_run

if TYPE_CHECKING:
    from harness.data.places import DataStore


Texts = Mapping[str, Mapping[str, str]]
"""Sentences of items: by item id, then by role."""


def open_run(
    path: str | Path,
    *,
    results: str | Path = RESULTS,
    registry: Registry | None = None,
    data: DataStore | None = None,
) -> Run:
    """Open a run to read its results. Loads no model.

    Args:
        path: the run's folder (packed or not), or its name below ``results``.
        results: the folder that holds run folders.
        registry: plugins, to read sentences again; default: all that are installed.
        data: where data sets are looked for; default: the folder that ``HARNESS_DATA`` names, then
            the user cache, then the data set's own address.

    Raises:
        StoreError: there is no such run; says which there are.
    """
    return Run(find_run(str(path), Path(results)), registry=registry, data=data)


class Shown:
    """A result that knows how to show itself on a console and in a notebook."""

    def show(self, console: Terminal) -> None:
        """Print the result on a console."""
        raise NotImplementedError

    def part(self) -> Part:
        """Return what a notebook shows."""
        raise NotImplementedError

    def __str__(self) -> str:
        """Return the result as plain text, as wide as the terminal."""
        terminal = _terminal(color_system=None)
        self.show(terminal)
        return _written(terminal)

    __repr__ = __str__

    def __rich__(self) -> _Printed:
        """Return a rich renderable, in colour and as wide as the console."""
        return _Printed(self)

    def _repr_html_(self) -> str | None:
        """Return the result as HTML; without Jinja2 a notebook shows plain text instead."""
        try:
            return html_part(self.part())
        except DataError:
            return None


class _Printed:
    """Prints a result at the width of the console that renders it."""

    def __init__(self, result: Shown) -> None:
        self._result = result

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        terminal = _terminal(width=options.max_width, force_terminal=True, color_system="truecolor")
        self._result.show(terminal)
        yield Text.from_ansi(_written(terminal), no_wrap=True, overflow="ignore")


def _terminal(**options: Any) -> Terminal:
    """Return a console that writes to a string, in a notebook too."""
    return Terminal(file=io.StringIO(), force_jupyter=False, legacy_windows=False, **options)


def _written(terminal: Terminal) -> str:
    assert isinstance(terminal.file, io.StringIO)
    return terminal.file.getvalue().rstrip("\n")


class Run:
    """The stored results of a run.

    Attributes:
        store: the files of the run.
    """

    def __init__(
        self, store: Store, *, registry: Registry | None = None, data: DataStore | None = None
    ) -> None:
        """Read the results of a store.

        Args:
            store: the files of the run.
            registry: plugins, to read sentences again; default: all that are installed.
            data: where data sets are looked for.
        """
        self.store = store
        self._registry = registry
        self._data = data
        self._boards: dict[int | None, Leaderboard] = {}

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self.store.folder

    @property
    def name(self) -> str:
        """The name of the run's spec."""
        return self.reader.index.name

    @cached_property
    def reader(self) -> RunReader:
        """The index and the records of the run, each read once."""
        return RunReader(self.store, self._registry)

    @property
    def cells(self) -> tuple[str, ...]:
        """Titles of the debiased models; parts of one name a cell in `changes` and `items`."""
        return tuple(cell.title() for cell in self.reader.index.cells if not cell.is_base)

    def __repr__(self) -> str:
        """Return the name and the folder of the run."""
        return f"<Run {self.name!r}: {len(self.cells)} debiased models in {self.folder}>"

    def matrix(
        self,
        *,
        metric: str | None = None,
        evaluator: str | None = None,
        protocol: str | None = None,
        step: int | None = None,
        correction: str = DEFAULT,
    ) -> RunMatrix:
        """Compare every debiased model with its base: the transfer matrix.

        Args:
            metric: only this metric; default: the primary ones.
            evaluator: only this evaluator.
            protocol: only this protocol (scorer).
            step: the checkpoint; default: each cell's last.
            correction: of the p-values of each family of tests, such as ``holm``.

        Raises:
            StoreError: nothing is measured, or not what was asked for; says what is.
        """
        matrix = matrix_of(
            self.reader,
            metric=metric,
            evaluator=evaluator,
            protocol=protocol,
            step=step,
            correction=correction,
        )
        return RunMatrix(matrix)

    def _board(self, step: int | None) -> Leaderboard:
        """The ranking of this run alone, made once for each step."""
        if step not in self._boards:
            self._boards[step] = rank([self.reader], step=step)
        return self._boards[step]

    def leaderboard(
        self,
        *others: Run,
        step: int | None = None,
        control: str | None = None,
        budget: float | None = None,
        match_at: float | None = None,
        dose_at: float | None = None,
        unit: str | None = None,
        only_comparable: bool = False,
        reported: Sequence[Publication] = (),
    ) -> RunLeaderboard:
        """Rank the methods of this run, and of others, by distance to the ideal.

        Args:
            others: further runs to rank together with this one.
            step: the checkpoint; default: each cell's last.
            control: debiaser, masker or passage label to subtract.
            budget: do not rank methods that cost more, in percent of the base's perplexity.
            match_at: compare at this cost; default: the largest that every curve reaches.
            dose_at: compare at this divergence from the base; default: the largest common one.
            unit: rank by the bias scores in this unit, such as ``nats``; default: the unit that
                the most of them have.
            only_comparable: leave out runs that differ from this one in limits or protocols.
            reported: publications whose numbers are shown below.

        Raises:
            StoreError: a run has no record, not that step, or no run has that control or unit.
        """
        given = [value is not None for value in (control, budget, match_at, dose_at, unit)]
        if not (any(given) or others or reported or only_comparable):
            return RunLeaderboard(self._board(step))
        board = rank(
            [self.reader, *(run.reader for run in others)],
            step=step,
            control=control,
            budget=budget,
            match_at=match_at,
            dose_at=dose_at,
            unit=unit,
            only_comparable=only_comparable,
            reported=reported,
        )
        return RunLeaderboard(board)

    def changes(
        self,
        cell: str,
        *,
        target: str | None = None,
        evaluator: str | None = None,
        protocol: str | None = None,
        metric: str | None = None,
        step: int | None = None,
        sentences: bool = False,
    ) -> RunChanges:
        """Return the items of a cell whose decision flipped, or whose value changed.

        Args:
            cell: parts of the cell's title between slashes, such as ``mlm-unlearning/gender``.
            target: only this target domain.
            evaluator: only this evaluator.
            protocol: only this protocol (scorer).
            metric: items of this metric; default: the decisions of the primary bias scores.
            step: the checkpoint; default: the last.
            sentences: read the sentences of the items again from their data set. Many are
                offensive.

        Raises:
            StoreError: there is no such cell, step or column, or it is not measured.
        """
        found = cell_changes(
            self.reader,
            cell,
            target=target,
            evaluator=evaluator,
            protocol=protocol,
            metric=metric,
            step=step,
        )
        texts: dict[tuple[str, str], Texts] = {}
        missing: dict[tuple[str, str], str] = {}
        for changes in found.columns if sentences else ():
            if changes.after.role != "bias" or not changes.changed:
                continue  # windows and whole texts do not fit on a line
            key = (changes.column.evaluator, changes.column.domain)
            if key not in texts and key not in missing:
                try:
                    texts[key] = self.sentences(*key)
                except HarnessError as error:  # the scores are worth showing without them
                    missing[key] = str(error)
        return RunChanges(found, texts, missing)

    def items(
        self,
        cell: str,
        *,
        target: str | None = None,
        evaluator: str | None = None,
        protocol: str | None = None,
        metric: str | None = None,
        step: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return every item of a cell, changed or not, one dictionary an item.

        Each has the evaluator, protocol, target and metric, the item's id, cluster and stratum,
        its value ``before``, ``after`` and their ``change``, whether its decision ``flipped``
        (None where it decides nothing), and each score behind it, as ``NAME before`` and
        ``NAME after``. Make a data frame of it with ``pandas.DataFrame(run.items(cell))``.

        Args:
            cell: parts of the cell's title between slashes, such as ``mlm-unlearning/gender``.
            target: only this target domain.
            evaluator: only this evaluator.
            protocol: only this protocol (scorer).
            metric: items of this metric; default: the decisions of the primary bias scores.
            step: the checkpoint; default: the last.

        Raises:
            StoreError: there is no such cell, step or column, or it is not measured.
        """
        changes = self.changes(
            cell,
            target=target,
            evaluator=evaluator,
            protocol=protocol,
            metric=metric,
            step=step,
        )
        return changes.rows(unchanged=True)

    def sentences(self, evaluator: str, domain: str) -> Texts:
        """Read the sentences of an evaluator's items again: by item id, then by role.

        Raises:
            HarnessError: the evaluator is not installed, its data is not available, or it lists no
                sentences.
        """
        registry = self._registry if self._registry is not None else installed_plugins()
        data = (self._data or default_data()).knowing(registry.domains)
        return find_sentences(self.reader.index, evaluator, domain, registry, data)

    def rows(self) -> list[dict[str, Any]]:
        """Return every number of the run, all metrics and steps: the rows of ``export csv``."""
        return [row.values() for row in tidy_rows(self.store)]

    def to_pandas(self) -> Any:
        """Return every number of the run as a data frame: the table of ``harness export``.

        Raises:
            DataError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise DataError("to_pandas() needs pandas; pip install pandas") from None
        return pandas.DataFrame(self.rows(), columns=list(COLUMNS))

    @cached_property
    def figures(self) -> RunFigures:
        """The figures of the run. `Figure.matplotlib` draws one, `Figure.files` saves it."""
        return figures_of(self.reader, matrix_of(self.reader))

    def figure(self, name: str) -> Figure:
        """Return a figure by its name.

        Raises:
            DataError: the run has no such figure; says which it has.
        """
        known = {figure.name: figure for figure in self.figures}
        if name not in known:
            raise DataError(f"this run has no figure '{name}' (known: {', '.join(known)})")
        return known[name]


class RunMatrix(Shown):
    """The transfer matrix of a run: each debiased model compared with its base.

    Attributes:
        data: the matrix with the statistics of every entry.
    """

    def __init__(self, data: Matrix) -> None:
        """Wrap a matrix."""
        self.data = data

    @cached_property
    def verdict(self) -> Verdict:
        """What moved, where and at what cost, in words."""
        return verdict(self.data)

    @property
    def rows(self) -> tuple[Row, ...]:
        """A row for each debiased model, with an entry for each column."""
        return self.data.rows

    def entries(self) -> Iterator[tuple[Row, Entry]]:
        """Yield every entry with its row, one for each fit."""
        return ((row, entry) for row in self.data.rows for entry in row.entries)

    def tables(self, *, each_seed: bool = False) -> list[Table]:
        """Return one typed table for each evaluator, protocol and metric.

        Args:
            each_seed: a row for each fit instead of one over fits.
        """
        return matrix_tables(self.data, each_seed=each_seed)

    def json(self) -> str:
        """Return the entries as JSON, as ``harness matrix --json`` prints them."""
        return matrix_json(self.data)

    def show(
        self,
        console: Terminal,
        *,
        below: Below = "nothing",
        each_seed: bool = False,
        long: bool = True,
    ) -> None:
        """Print the verdict and its grids, then the tables.

        Args:
            console: the console to print to; all of its width is used.
            below: what the second line of a cell shows.
            each_seed: a row for each fit instead of one over fits.
            long: print the tables too.
        """
        print_matrix(console, self.data, self.verdict, below=below, each_seed=each_seed, long=long)
        rules = rule_table(self.data)
        if rules is not None and long:
            print_with_legend(console, rules)

    def part(self) -> Part:
        """Return the verdict, the grids of the bias metrics, and all tables."""
        tables = self.tables()
        return Part(
            headline=self.verdict.text,
            grids=tuple(grid_set(table) for table in bias_tables(tables)),
            tables=tuple(each_line_once(map(view_of, tables))),
        )


class RunLeaderboard(Shown):
    """Methods ranked by their distance to the ideal, with what they cost.

    Attributes:
        data: the standings with their statistics.
    """

    def __init__(self, data: Leaderboard) -> None:
        """Wrap a leaderboard."""
        self.data = data

    @property
    def standings(self) -> tuple[Standing, ...]:
        """The methods and controls, in their order."""
        return self.data.standings

    def tables(self) -> list[Table]:
        """Return the typed tables: the ranking first, then what follows from it."""
        return board_tables(self.data)

    def json(self) -> str:
        """Return the standings as JSON, as ``harness leaderboard --json`` prints them."""
        return leaderboard_json(self.data)

    def show(self, console: Terminal) -> None:
        """Print the tables."""
        print_leaderboard(console, self.data)

    def part(self) -> Part:
        """Return the tables that have rows."""
        views = (view_of(table) for table in self.tables() if table.rows)
        return Part(tables=tuple(each_line_once(views)))


class RunChanges(Shown):
    """The items of a cell that flipped or changed, the largest change first.

    Attributes:
        data: the items of every column, changed or not.
        texts: sentences by evaluator and domain, as far as they were asked for and found.
        missing: why sentences were not found, by evaluator and domain.
    """

    def __init__(
        self,
        data: CellChanges,
        texts: Mapping[tuple[str, str], Texts],
        missing: Mapping[tuple[str, str], str],
    ) -> None:
        """Wrap the changes of a cell."""
        self.data = data
        self.texts = texts
        self.missing = missing

    def rows(self, *, unchanged: bool = False) -> list[dict[str, Any]]:
        """Return one dictionary for each changed item; see `Run.items` for its keys.

        Args:
            unchanged: return all items instead, in the order of the data.
        """
        return [
            _row(changes, item)
            for changes in self.data.columns
            for item in (changes.items if unchanged else changes.changed)
        ]

    def __len__(self) -> int:
        """Return the number of changed items."""
        return sum(len(changes.changed) for changes in self.data.columns)

    def show(self, console: Terminal, *, limit: int = 10) -> None:
        """Print the largest changes of each column.

        Args:
            console: the console to print to.
            limit: items of each column.
        """
        for changes in self.data.columns:
            key = (changes.column.evaluator, changes.column.domain)
            texts, missing = self.texts.get(key, {}), self.missing.get(key)
            print_flips(console, self.data.title, changes, texts, missing, limit)

    def part(self) -> Part:
        """Return a table of changed items for each column."""
        tables = []
        for changes in self.data.columns:
            key = (changes.column.evaluator, changes.column.domain)
            numbers = changes_numbers(changes, self.texts.get(key, {}))
            column = changes.column
            what = "flipped" if changes.decisions else "changed"
            title = (
                f"{column.domain}: {column.evaluator}, {column.protocol}, {column.metric}; "
                f"{len(changes.changed)} of {len(changes.items)} items {what}"
            )
            tables.append(view_of_numbers(numbers, title))
        return Part(headline=self.data.title, tables=tuple(tables))


def _row(changes: ItemChanges, item: ItemChange) -> dict[str, Any]:
    """Return an item as a flat dictionary."""
    column = changes.column
    return {
        "evaluator": column.evaluator,
        "protocol": column.protocol,
        "target": column.domain,
        "metric": column.metric,
        "id": item.id,
        "cluster": item.cluster,
        "stratum": item.stratum,
        "before": item.before,
        "after": item.after,
        "change": item.change,
        "flipped": item.flipped if item.decided is not None else None,
        **{
            f"{name} {when}": value
            for name, *values in item.scores
            for when, value in zip(("before", "after"), values, strict=True)
        },
    }
