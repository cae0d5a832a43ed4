"""What a run answers with: a matrix, a leaderboard, changed items, each of which shows itself.

Consoles and notebooks show the same objects. `harness.runs` makes them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from harness.analysis.entry import Entry
from harness.analysis.item_changes import CellChanges, ItemChange, ItemChanges
from harness.analysis.leaderboard import Leaderboard, Standing
from harness.analysis.leaderboard_tables import board_tables
from harness.analysis.mask_rules import rule_table
from harness.analysis.matrix import Matrix, Row
from harness.analysis.matrix_tables import matrix_tables
from harness.analysis.tables import Table
from harness.analysis.verdict import Verdict, verdict
from harness.errors import DataError
from harness.render.console.flips import print_flips
from harness.render.console.leaderboard import print_leaderboard
from harness.render.console.matrix import print_matrix
from harness.render.console.tables import Below, print_with_legend
from harness.render.console.terminal import Terminal
from harness.render.grids import bias_tables
from harness.render.page.content import each_line_once, grid_set
from harness.render.page.html import Part, html_part
from harness.render.page.lists import changes_numbers
from harness.render.page.views import view_of, view_of_numbers
from harness.render.tables.plain import leaderboard_json, matrix_json

Texts = Mapping[str, Mapping[str, str]]
"""Sentences of items: by item id, then by role."""


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
