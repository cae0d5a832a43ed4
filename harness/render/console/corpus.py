"""The survey of a corpus on the console. Passages are printed only where they were asked for."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from harness.planning.corpus_survey import CorpusSurvey, Placement, Selection
from harness.render.console.terminal import Terminal

_MOST = 3
"""Groups and other domains that a row names."""


def print_corpus(console: Terminal, survey: CorpusSurvey) -> None:
    """Print the passages of each selection, how well they are placed, and any samples."""
    console.print(_selections(survey.selections))
    console.say(
        "mentions: share of passages with a term of another domain; near-duplicates: test passages "
        "left out because they repeat a training passage, and the share of non-hateful training "
        "passages that repeat a hateful one"
    )
    if survey.placements:
        console.print(_placements(survey.placements))
        console.say(
            "Rows that annotators coded: how many the corpus's rule of terms places in the domain, "
            "and how many of these have a code of it (95 % intervals)."
        )
    for sample in survey.samples:
        console.say(f"{sample.domain}, {sample.label}, {sample.split}:", "bold")
        for text in sample.texts:
            console.print(Text(f"  {' '.join(text.split())}"))


def _selections(selections: Sequence[Selection]) -> Table:
    table = Table(title="Passages", title_justify="left", title_style="bold")
    for column in ("domain", "label", "split"):
        table.add_column(column)
    table.add_column("passages", justify="right")
    for column in ("placed by", "mentions", "near-duplicates"):
        table.add_column(column, overflow="fold")
    for one in selections:
        reasons = [f"{count} {reason}" for reason, count in one.placed_by.items()]
        groups = list(one.groups.items())[:_MOST]
        named = ", ".join(f"{group or '–'} {_share(n / one.passages)}" for group, n in groups)
        placed = f"{', '.join(reasons)}: {named}" if one.passages else ""
        others = [f"{name} {_share(share)}" for name, share in list(one.mentions.items())[:_MOST]]
        near = f"{one.left_out} left out" if one.left_out else ""
        if one.repeats_hateful is not None:
            near = f"{_share(one.repeats_hateful)} repeat hateful ones"
        table.add_row(
            one.domain, one.label, one.split, str(one.passages), placed, ", ".join(others), near
        )
    return table


def _placements(placements: Sequence[Placement]) -> Table:
    table = Table(title="Placing by terms", title_justify="left", title_style="bold")
    table.add_column("domain")
    for column in ("coded", "of the domain", "placed", "precision", "recall"):
        table.add_column(column, justify="right")
    for one in placements:
        table.add_row(
            one.domain,
            str(one.coded),
            str(one.of_domain),
            str(one.placed),
            _with_interval(one.precision, one.precision_interval()),
            _with_interval(one.recall, one.recall_interval()),
        )
    return table


def _with_interval(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None or interval is None:
        return "–"
    return f"{value:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"
