"""What `harness compare` shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.analysis.comparison_tables import comparison_legend, comparison_tables
from harness.analysis.reported import Publication, ReportedNumber
from harness.analysis.reported_comparison import Beside
from harness.analysis.run_comparison import Comparison
from harness.render.console.ruled import ruled
from harness.render.console.tables import folded_header, print_table
from harness.render.console.terminal import Terminal
from harness.render.tables.cell_text import MARK_NOTE
from harness.render.tables.numbers import number, signed
from harness.storage.reader import Column

MOST_NAMED = 4
"""Models that only one run has which are named."""


def print_comparison(console: Terminal, comparison: Comparison) -> None:
    """Print a table for each model that both runs have."""
    console.print(f"A: {comparison.first}   B: {comparison.second}")
    for table in comparison_tables(comparison):
        print_table(console, table, below="intervals")
    lines = [
        *comparison_legend(comparison),
        f"{MARK_NOTE}.",
        *_only_in(comparison.first, comparison.only_first),
        *_only_in(comparison.second, comparison.only_second),
    ]
    for line in lines:
        console.print(line, style="dim")


def print_reported(
    console: Terminal, run: str, publication: Publication, matches: Sequence[Beside]
) -> None:
    """Print a run's numbers next to those of a publication."""
    groups: dict[tuple[str, int | None], list[Beside]] = {}
    for match in matches:
        groups.setdefault((match.title, match.step), []).append(match)
    for (title, step), rows in groups.items():
        models = ", ".join(dict.fromkeys(match.number.model for match in rows))
        header = ("metric", publication.id, "step", "change", folded_header(run), "change")
        lines = [
            (
                _column(match.number).name(),
                number(match.number.value),
                "–" if match.number.step is None else str(match.number.step),
                _change(match.reported_change),
                number(match.value),
                _change(match.change),
            )
            for match in rows
        ]
        console.print(ruled(f"{title}, step {step}, beside {models}", header, lines))
    left = len(publication.numbers) - len({id(match.number) for match in matches})
    notes = [
        f"{publication.id}: {publication.citation}",
        publication.note,
        "side by side, not tested: the items behind reported numbers are not known",
    ]
    if left:
        notes.append(f"{left} reported numbers have no counterpart in this run")
    for line in notes:
        console.print(line, style="dim")


def _column(reported: ReportedNumber) -> Column:
    """The column of a reported number."""
    return Column(reported.evaluator, reported.protocol, reported.metric, reported.domain)


def _change(value: float | None) -> str:
    return "" if value is None else signed(value)


def _only_in(run: str, titles: Sequence[str]) -> Iterator[str]:
    """Yield a line for each model that only one run has, and one for those beyond the first few."""
    for title in titles[:MOST_NAMED]:
        yield f"only in {run}: {title}"
    if len(titles) > MOST_NAMED:
        yield f"only in {run}: {len(titles) - MOST_NAMED} more models"
