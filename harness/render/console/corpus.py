"""The survey of a corpus on the console. Passages are printed only where they were asked for."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from harness.planning.corpus_survey import CorpusSurvey, Placement, Selection
from harness.render.console.ruled import Ruled, ruled
from harness.render.console.terminal import Terminal

_MOST = 3
"""Groups and other domains that a row names."""


def print_corpus(console: Terminal, survey: CorpusSurvey) -> None:
    """Print the passages of each selection, how well they are placed, and any samples."""
    console.print(_selections(survey.selections))
    console.print(
        "mentions: share of passages with a term of another domain; near-duplicates: test passages "
        "left out because they repeat a training passage, and the share of non-hateful training "
        "passages that repeat a hateful one",
        style="dim",
    )
    if survey.placements:
        console.print(_placements(survey.placements))
        console.print(
            "Rows that annotators coded: how many the corpus's rule of terms places in the domain, "
            "and how many of these have a code of it (95 % intervals).",
            style="dim",
        )
    for sample in survey.samples:
        console.say(f"{sample.domain}, {sample.label}, {sample.split}:", "bold")
        for text in sample.texts:
            console.print(Text(f"  {' '.join(text.split())}"))


def _selections(selections: Sequence[Selection]) -> Ruled:
    header = (
        "domain", "label", "split", "passages", "placed by", "mentions", "near-\nduplicates"
    )  # fmt: skip
    rows = []
    for one in selections:
        reasons = [f"{count} {reason}" for reason, count in one.placed_by.items()]
        groups = list(one.groups.items())[:_MOST]
        named = ", ".join(f"{group or '–'} {_share(n / one.passages)}" for group, n in groups)
        placed = f"{', '.join(reasons)}: {named}" if one.passages else ""
        others = [f"{name} {_share(share)}" for name, share in list(one.mentions.items())[:_MOST]]
        near = f"{one.left_out} left out" if one.left_out else ""
        if one.repeats_hateful is not None:
            near = f"{_share(one.repeats_hateful)} repeat hateful ones"
        rows.append(
            (one.domain, one.label, one.split, str(one.passages), placed, ", ".join(others), near)
        )
    return ruled("Passages", header, rows, left=(0, 1, 2, 4, 5, 6), fold=(4, 5, 6))


def _placements(placements: Sequence[Placement]) -> Ruled:
    header = ("domain", "coded", "of the\ndomain", "placed", "precision", "recall")
    rows = [
        (
            one.domain,
            str(one.coded),
            str(one.of_domain),
            str(one.placed),
            _with_interval(one.precision, one.precision_interval()),
            _with_interval(one.recall, one.recall_interval()),
        )
        for one in placements
    ]
    return ruled("Placing by terms", header, rows)


def _with_interval(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None or interval is None:
        return "–"
    return f"{value:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"
