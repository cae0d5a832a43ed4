"""What `harness compare` shows."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from harness.analysis.comparison_tables import comparison_legend, comparison_tables
from harness.analysis.reported import Publication
from harness.analysis.reported_comparison import Beside
from harness.analysis.run_comparison import Comparison
from harness.render.console.tables import print_table
from harness.render.console.terminal import Terminal
from harness.render.tables.cell_text import MARK_NOTE


def print_comparison(console: Terminal, found: Comparison) -> None:
    """Print a table for each model that both runs have."""
    console.print(f"A: {found.first}   B: {found.second}")
    for table in comparison_tables(found):
        print_table(console, table, below="intervals")
    lines = [
        *comparison_legend(found),
        f"{MARK_NOTE}.",
        *(f"only in {found.first}: {title}" for title in found.only_first),
        *(f"only in {found.second}: {title}" for title in found.only_second),
    ]
    for line in lines:
        console.print(line, style="dim")


def print_reported(
    console: Terminal, run: str, publication: Publication, found: Sequence[Beside]
) -> None:
    """Print a run's numbers beside those of a publication."""
    groups: dict[tuple[str, int | None], list[Beside]] = {}
    for own in found:
        groups.setdefault((own.title, own.step), []).append(own)
    for (title, step), rows in groups.items():
        models = ", ".join(dict.fromkeys(own.number.model for own in rows))
        table = _table(f"{title}, step {step}, beside {models}")
        table.add_column("metric", overflow="fold")
        table.add_column(publication.id, justify="right", no_wrap=True)
        table.add_column("step", justify="right", no_wrap=True)
        table.add_column("change", justify="right", no_wrap=True)
        table.add_column(run, justify="right", overflow="fold", min_width=7)
        table.add_column("change", justify="right", no_wrap=True)
        for own in rows:
            number = own.number
            table.add_row(
                Text(f"{number.metric}, {number.domain} ({number.evaluator})"),
                _number(number.value),
                "-" if number.step is None else str(number.step),
                _signed(own.reported_change),
                _number(own.value),
                _signed(own.change),
            )
        console.print(table)
    left = len(publication.numbers) - len({id(own.number) for own in found})
    lines = [
        f"{publication.id}: {publication.citation}",
        publication.note,
        "side by side, not tested: the items behind reported numbers are not known",
    ]
    if left:
        lines.append(f"{left} reported numbers have no counterpart in this run")
    for line in lines:
        console.print(line, style="dim")


def _table(title: str) -> Table:
    return Table(
        title=Text(title, "bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}"
