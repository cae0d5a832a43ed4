"""The transfer matrix as typed tables: one for each evaluator, protocol and metric."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from harness.analysis.corrections import CORRECTIONS
from harness.analysis.entry import Entry
from harness.analysis.matrix import Matrix, Row
from harness.analysis.matrix_builder import ANY
from harness.analysis.stats import FEWEST_FITS, FEWEST_UNITS
from harness.analysis.tables import Table, TableCell, TableColumn, TableRow
from harness.metrics import Direction, Metric, Role
from harness.storage.cells import is_control
from harness.storage.reader import Column, Stop, shown_step

DETECTABLE = "minimum detectable change"
"""Heading of the row with the changes that the tests of each column would find."""

HEADS = (
    TableColumn("method", "debiased by"),
    TableColumn("source", "from"),
    TableColumn("step", "step"),
)


def matrix_tables(matrix: Matrix, *, each_seed: bool = False) -> list[Table]:
    """One table for each evaluator, protocol and metric, in the matrix's order.

    The first row of each model is its base. The last row holds the minimum detectable changes.

    Args:
        matrix: of a run.
        each_seed: a row for each fit instead of one over fits; their tests are a family of their
            own.
    """
    rows = matrix.rows if each_seed else matrix.pooled
    groups: dict[tuple[str, str, str], list[Column]] = {}
    for column in matrix.columns:
        groups.setdefault((column.evaluator, column.protocol, column.metric), []).append(column)
    return [_table(matrix, rows, key, columns) for key, columns in groups.items()]


def _table(
    matrix: Matrix, rows: Sequence[Row], key: tuple[str, str, str], columns: Sequence[Column]
) -> Table:
    evaluator, protocol, metric = key
    several_models = len({model for model, _ in matrix.base}) > 1
    lines: list[TableRow] = []
    for model in dict.fromkeys([*(m for m, _ in matrix.base), *(r.cell.model for r in rows)]):
        lines.append(_base(matrix, model, columns))
        lines += [
            line
            for row in rows
            if row.cell.model == model
            if (line := _row(matrix, row, columns, several_models)) is not None
        ]
    shown = [entry for row in rows for entry in row.entries if entry.column in columns]
    unit = matrix.unit(columns[0]).change
    lines += _detectable(shown, columns, unit)
    return Table(
        key="matrix",
        title=f"{metric} ({evaluator}, {protocol})",
        columns=(
            *HEADS,
            *(TableColumn(column.domain, column.domain, form="score") for column in columns),
        ),
        rows=tuple(lines),
        legend=tuple(_legend(matrix, shown)),
        notes=tuple(_notes(rows, shown)),
        direction=_direction(matrix, columns),
        heads=len(HEADS),
        metric=metric,
        evaluator=evaluator,
        protocol=protocol,
        role=_role(shown),
        targets=tuple(columns),
        unit=unit,
    )


def _role(entries: Sequence[Entry]) -> Role:
    return entries[0].role if entries else "diagnostic"


def _direction(matrix: Matrix, columns: Sequence[Column]) -> str:
    for (_, column), metric in matrix.base.items():
        if column in columns:
            return words_of(metric.direction)
    return ""


def words_of(direction: Direction) -> str:
    """A direction in words: ``ideal 50``, ``lower is better``."""
    if direction.kind == "target":
        return f"ideal {direction.target:g}"
    if direction.kind == "none":
        return "no ideal"
    return f"{direction.kind} is better"


def _base(matrix: Matrix, model: str, columns: Sequence[Column]) -> TableRow:
    cells = [TableCell(text=f"{model} (base)"), TableCell(), TableCell(text="0")]
    for column in columns:
        metric: Metric | None = matrix.base.get((model, column))
        value = metric.value if metric is not None else None
        cells.append(TableCell(value=value) if value is not None else TableCell(absent="–"))
    return TableRow("base", tuple(cells), model=model, method=f"{model} (base)", step=0)


def _row(
    matrix: Matrix, row: Row, columns: Sequence[Column], several_models: bool
) -> TableRow | None:
    """A row of the table; None where nothing of it was ever planned or run."""
    entries = [row.entry(column) for column in columns]
    if all(entry is None or entry.status == "missing" for entry in entries) and any(
        entry is not None and entry.status != "missing" for entry in row.entries
    ):
        return None
    method = row_name(matrix, row)
    if several_models:
        method = f"{row.cell.model}: {method}"
    source = row.cell.source or ""
    cells = [TableCell(text=method), TableCell(text=source), TableCell(text=row.shown_step)]
    for column, entry in zip(columns, entries, strict=True):
        cells.append(cell_of(entry, own=row.cell.source == column.domain))
    return TableRow(
        "control" if is_control(row.cell) else "method",
        tuple(cells),
        model=row.cell.model,
        method=method,
        source=source,
        step=row.step,
        reached=row.shown_step if row.stops else "",
    )


def row_name(matrix: Matrix, row: Row) -> str:
    """Name of the row's method, with its seed (0 is left out) or with how many fits it has."""
    words = matrix.names.name(row.cell)
    if row.fits > 1:
        return f"{words}, {row.fits} fits"
    return words + (f", seed {row.cell.seed}" if row.cell.seed else "")


def cell_of(entry: Entry | None, *, own: bool = False) -> TableCell:
    """A cell of form ``score``: the value of one metric and its change from the base."""
    if entry is None or entry.status == "missing":
        return TableCell(absent="not run", own=own)
    if entry.status == "failed":
        return TableCell(absent="failed", note=entry.reason or "", own=own)
    if entry.value is None:
        return TableCell(absent="–", note=entry.note, own=own)
    return TableCell(
        value=entry.value,
        change=entry.change,
        spread=entry.spread.sd if entry.spread is not None else None,
        interval=entry.interval,
        interval_covers=entry.covers if entry.interval is not None else "",
        improvement=entry.improvement,
        p=entry.p,
        adjusted_p=entry.adjusted_p,
        mark=entry.mark,
        evidence=entry.evidence,
        detectable=entry.detectable,
        note=entry.note,
        own=own,
    )


def _detectable(entries: Sequence[Entry], columns: Sequence[Column], unit: str) -> list[TableRow]:
    """The row of minimum detectable changes: of each column, the median over its tests."""
    title = f"{DETECTABLE}, {unit}" if unit else DETECTABLE
    cells = [TableCell(text=title), TableCell(), TableCell()]
    for column in columns:
        known = [e.detectable for e in entries if e.column == column and e.detectable is not None]
        cells.append(TableCell(value=statistics.median(known)) if known else TableCell(absent="–"))
    if all(cell.absent for cell in cells[len(HEADS) :]):
        return []
    return [TableRow("detectable", tuple(cells), method=title)]


def _legend(matrix: Matrix, entries: Sequence[Entry]) -> list[str]:
    """How to read a cell: what it says, then how sure it is."""
    lines = ["A cell is the score and its change from the base."]
    if any(entry.towards_target for entry in entries):
        lines[0] += " A change is nearer to the ideal, further from it, or undefined (~): "
        lines[0] += (
            "the base is not significantly different from the ideal, or the score passed it."
        )
    covered = {entry.covers for entry in entries if entry.interval is not None}
    if covered:
        over = "items and fits" if covered == {"items and fits"} else "items"
        lines.append(f"Intervals are 95 %, over {over}.")
        if len(covered) > 1:
            lines[-1] = (
                f"Intervals are 95 %, over items and fits where there are {FEWEST_FITS} fits or "
                "more, else over items."
            )
    tested = [entry for entry in entries if entry.adjusted_p is not None]
    if tested:
        correction = CORRECTIONS[matrix.correction].title
        role = tested[0].role
        lines.append(
            f"* p < 0.05 after {correction} correction over {_tests(tested[0].family, role)} of "
            f"this run; exploratory. {DETECTABLE.capitalize()}: found in 4 of 5 cases at "
            "that level, median of the column."
        )
    return lines


def _tests(count: int, role: Role) -> str:
    return f"the only {role} test" if count == 1 else f"the {count} {role} tests"


def stops_in_words(stops: Sequence[Stop]) -> str:
    """A sentence on the dose at which fits stopped, and at which steps."""
    reached = [stop.kl for stop in stops]
    low, high = f"{min(reached):.3g}", f"{max(reached):.3g}"
    doses = low if low == high else f"{low} to {high}"
    steps = shown_step(0, stops)
    return (
        f"Steps are those at which the fits stopped (stop_at): {steps}, at a divergence from the "
        f"base of {doses} nats a token."
    )


def _notes(rows: Sequence[Row], entries: Sequence[Entry]) -> list[str]:
    notes = []
    if any(e.changes and e.units < FEWEST_UNITS and not e.exact for e in entries):
        notes.append(
            f"Cells with fewer than {FEWEST_UNITS} independent units have no interval and no star."
        )
    stops = [stop for row in rows for stop in row.stops]
    if stops:
        notes.append(stops_in_words(stops))
    halves: dict[str, list[str]] = {}
    for entry in entries:
        if entry.few and not entry.exact and entry.column.domain not in halves.get(entry.few, ()):
            halves.setdefault(entry.few, []).append(entry.column.domain)
    for reason, domains in halves.items():
        notes.append(f"No interval, no star and no mark for {', '.join(domains)}: {reason}.")
    fits = {row.fits for row in rows if row.fits > 1}
    if fits and min(fits) < FEWEST_FITS:
        notes.append(f"With fewer than {FEWEST_FITS} fits, fits are not in the interval.")
    if any(entry.spread is not None for entry in entries):
        notes.append("± is the standard deviation over fits on the same items.")
    if any(row.cell.source == ANY for row in rows):
        notes.append(f"From {ANY}: the same model from every source, shown and tested once.")
    return notes
