"""The comparison of two runs as typed tables, one for each model that both have."""

from __future__ import annotations

from collections.abc import Mapping

from harness.analysis.corrections import CORRECTIONS
from harness.analysis.entry import Entry
from harness.analysis.run_comparison import ComparedCell, Comparison
from harness.analysis.tables import Table, TableCell, TableColumn, TableRow
from harness.analysis.units import NO_UNIT, MetricUnit
from harness.storage.reader import Column

COLUMNS = (
    TableColumn("metric", "metric"),
    TableColumn("first", "A", "value of the first run", "number"),
    TableColumn("second", "B", "value of the second run", "number"),
    TableColumn("difference", "B − A", "difference on the items that both runs have", "effect"),
    TableColumn("unit", "unit", "unit of the difference"),
    TableColumn("items", "items", "items that both runs have", "count"),
)


def comparison_tables(comparison: Comparison) -> list[Table]:
    """One table for each model, in the order of the first run."""
    legend = comparison_legend(comparison)
    return [_table(cell, legend, comparison.units) for cell in comparison.cells]


def _table(
    cell: ComparedCell, legend: tuple[str, ...], units: Mapping[Column, MetricUnit]
) -> Table:
    steps = cell.first_step
    if cell.first_step != cell.second_step:
        steps += f" and {cell.second_step}"
    return Table(
        key="comparison",
        title=f"{cell.title}, {steps}",
        columns=COLUMNS,
        rows=tuple(
            TableRow(
                "method",
                _cells(entry, units.get(entry.column, NO_UNIT)),
                method=cell.title,
            )
            for entry in cell.entries
        ),
        legend=legend,
    )


def comparison_legend(comparison: Comparison) -> tuple[str, ...]:
    """How to read the tables of a comparison."""
    families = {
        e.role: e.family for c in comparison.cells for e in c.entries if e.adjusted_p is not None
    }
    tests = " and ".join(f"{count} {role}" for role, count in families.items())
    lines = [
        "B − A is the difference on the items that both runs have, with its 95 % interval over "
        "items. It is nearer to the ideal, further from it, or undefined (~): A is not "
        "significantly different from the ideal."
    ]
    if tests:
        correction = CORRECTIONS[comparison.correction].title
        lines.append(f"* p < 0.05 after {correction} correction over {tests} tests; exploratory.")
    if any(_other_items(entry) for cell in comparison.cells for entry in cell.entries):
        lines.append(
            "A and B are over each run's own items, so B − A can differ from their difference."
        )
    return tuple(lines)


def _cells(entry: Entry, unit: MetricUnit) -> tuple[TableCell, ...]:
    column = entry.column
    base = entry.base.value if entry.base is not None else None
    return (
        TableCell(text=column.name()),
        TableCell(value=base) if base is not None else TableCell(absent="–"),
        TableCell(value=entry.value) if entry.value is not None else TableCell(absent="–"),
        _difference(entry),
        TableCell(text=unit.change),
        TableCell(count=entry.shared)
        if entry.changes
        else TableCell(absent="none shared", note="the runs share no item of this measurement"),
    )


def _difference(entry: Entry) -> TableCell:
    if not entry.changes:
        if entry.change is None:
            return TableCell(absent="–")
        return TableCell(value=entry.change, evidence="untested", note="no shared items, no test")
    return TableCell(
        value=entry.changes[0].value,
        interval=entry.interval,
        interval_covers="items",
        improvement=entry.improvement,
        p=entry.p,
        adjusted_p=entry.adjusted_p,
        mark=entry.mark,
        evidence=entry.evidence,
        detectable=entry.detectable,
        note=entry.note,
    )


def _other_items(entry: Entry) -> bool:
    """Whether a run has items that the other one lacks."""
    if not entry.changes or entry.base is None or entry.after is None:
        return False
    return max(entry.base.n, entry.after.n) > entry.shared
