"""Tables as typed cells: every table is built once in `harness.analysis` and only formatted later.

A `Table` has columns, rows of `TableCell`, and the texts that explain it. Console, Markdown,
LaTeX, HTML and data exports read these objects and add layout, colour and escaping, nothing else:
they compute no number, rank, mark or legend of their own.

Builders:

- `harness.analysis.matrix_tables.matrix_tables`: one table for each evaluator, protocol and metric;
- `harness.analysis.leaderboard_tables`: `leaderboard_table`, `nets_table`, `fits_table`,
  `matched_table`; `harness.analysis.leaderboard_columns.BOARD_COLUMNS` lists its columns;
- `harness.analysis.comparison_tables.comparison_tables`: one table for each model that two runs
  share;
- `harness.analysis.verdict.verdict`: the sentence above the tables.

How to format a cell depends on the `form` of its column:

========  =========================================================================================
form      what to print
========  =========================================================================================
text      `TableCell.text`
rank      `rank` and its interval `rank_low` to `rank_high`; `text` where there is no rank
number    `value`, unsigned
score     `value`, then `change` with its sign, `spread` where there is one, and `interval`, which
          is of the change
effect    `value` with its sign, `spread` where there is one, and `interval`, which is of the value
cost      `value` unsigned, then `change` with its sign in the unit `change_unit`, and `interval`,
          which is of the change
count     `count` of `total`, then `certain` (how many of them are significant)
========  =========================================================================================

A cell with `absent` set has no number: print `absent` ("failed", "not run", "–") and offer `note`
as the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.analysis.interval import Interval
from harness.metrics import Role
from harness.storage.reader import Column

Form = Literal["text", "rank", "number", "score", "effect", "cost", "count"]

Mark = Literal["better", "worse", "same", "undefined"]
"""Direction of a change: ``better`` is nearer to the ideal, ``worse`` further from it, ``same`` is
no change. ``undefined``: the base may be at the ideal, so a change has a sign but is
neither an improvement nor harm."""

Evidence = Literal["significant", "not significant", "untested", "exact"]
"""``significant``: the corrected p-value is below 0.05. ``untested``: there are too few units for
a test. ``exact``: every stored value of every item is the base's, so there is nothing to test."""


@dataclass(frozen=True)
class TableCell:
    """One cell of a table. Which fields are set depends on the `form` of its column.

    Attributes:
        value: the main number, in the unit of its column.
        change: the change from the base, or of the second run from the first.
        change_unit: unit of `change` where it differs from that of the value, such as ``%``.
        spread: standard deviation over fits.
        interval: 95 % interval, of the change in a ``score`` or ``cost``, else of the value.
        interval_covers: what is random in the interval: ``items``, or ``items and fits``.
        improvement: how much nearer to the ideal than the base, in the unit of the table; None
            where undefined.
        p: uncorrected p-value of "no change".
        adjusted_p: corrected over the cell's family of tests.
        mark: direction of the change.
        evidence: whether the change can be chance; None in cells that claim no change.
        detectable: the minimum detectable change of this cell at the corrected level.
        rank, rank_low, rank_high: rank and its 95 % interval; None where there is no rank.
        count, total, certain: a count, of how many, and how many of it are significant.
        text: text to show in a ``text`` column, or in place of a missing rank.
        absent: text to show where there is no number; empty where there is one.
        note: reason or footnote of this cell, one line; empty where there is none.
        own: whether source and target are the same domain.
    """

    value: float | None = None
    change: float | None = None
    change_unit: str = ""
    spread: float | None = None
    interval: Interval | None = None
    interval_covers: str = ""
    improvement: float | None = None
    p: float | None = None
    adjusted_p: float | None = None
    mark: Mark = "same"
    evidence: Evidence | None = None
    detectable: float | None = None
    rank: int | None = None
    rank_low: int | None = None
    rank_high: int | None = None
    count: int | None = None
    total: int | None = None
    certain: int | None = None
    text: str = ""
    absent: str = ""
    note: str = ""
    own: bool = False

    @property
    def significant(self) -> bool:
        """Whether to print a star: the corrected p-value is below 0.05."""
        return self.evidence == "significant"


@dataclass(frozen=True)
class TableColumn:
    """A column of a table.

    Attributes:
        key: short unique name, for exports.
        title: what its header says.
        description: one sentence for the legend; empty where the title says it all.
        form: how its cells are printed.
        digits: decimals of its numbers.
    """

    key: str
    title: str
    description: str = ""
    form: Form = "text"
    digits: int = 2

    @property
    def left(self) -> bool:
        """Whether the column is text and flush left."""
        return self.form == "text"


RowKind = Literal["base", "method", "control", "detectable"]


@dataclass(frozen=True)
class TableRow:
    """A row of a table, with one cell for each column.

    Attributes:
        kind: ``base``: the model before debiasing; ``detectable``: the minimum detectable change
            of each column (its cells are plain numbers); else a method or a control.
        cells: one for each column of the table, in order.
        model, method, source, step: what the row is about, as in the heading cells.
        reached: the step at which its fits stopped, in words; empty where they went to `step`.
        pareto: whether the row's method is on the Pareto front.
    """

    kind: RowKind
    cells: tuple[TableCell, ...]
    model: str = ""
    method: str = ""
    source: str = ""
    step: int | None = None
    pareto: bool = False
    reached: str = ""

    @property
    def shown_step(self) -> str:
        """The step in words; empty where there is none."""
        return self.reached or ("" if self.step is None else str(self.step))


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        key: ``matrix``, ``leaderboard``, ``nets``, ``fits``, ``matched`` or ``comparison``.
        title: one line.
        columns: in order; the first `heads` of them are headings of the rows.
        rows: in order.
        legend: lines to print under the table, each a full sentence.
        notes: further lines about this table's data, such as missing cells.
        direction: ``ideal 50``, ``higher is better`` or ``lower is better`` where all numbers
            are of one metric, else empty.
        heads: how many leading columns head the rows.
        metric, evaluator, protocol, role: what a matrix is about; empty for other tables.
        targets: the stored columns behind the columns after the headings, for a matrix.
        unit: of changes, distances and improvements where all numbers are of one, else empty.
    """

    key: str
    title: str
    columns: tuple[TableColumn, ...]
    rows: tuple[TableRow, ...]
    legend: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    direction: str = ""
    heads: int = 1
    metric: str = ""
    evaluator: str = ""
    protocol: str = ""
    role: Role | None = None
    targets: tuple[Column, ...] = ()
    unit: str = ""

    def column(self, key: str) -> int:
        """Position of a column by its key.

        Raises:
            KeyError: the table has no such column.
        """
        for position, column in enumerate(self.columns):
            if column.key == key:
                return position
        raise KeyError(key)

    @property
    def several_steps(self) -> bool:
        """Whether its methods are shown at more than one step."""
        steps = {row.shown_step for row in self.rows if row.kind == "method"}
        return len(steps) > 1
