"""Passages with their masked words highlighted, and what the masks amount to."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from harness.analysis.mask_summary import MaskSummary
from harness.render.console.terminal import Terminal
from harness.types import MaskedPassage

_STYLES = {"attribute": "bold black on yellow", "harm": "bold white on red"}
_OTHER = "bold black on cyan"
_MOST_REASONS = 12


def print_masked(console: Terminal, answers: Sequence[MaskedPassage]) -> None:
    """Print each passage, its masks in colour and, for pipes and for anybody, in ``[…]``."""
    for answer in answers:
        console.print(Text(answer.passage.id, style="dim"), soft_wrap=True)
        console.print(highlighted(answer))
        reasons = dict.fromkeys(f"{span.kind}: {span.reason}" for span in answer.spans)
        about = "; ".join(reasons) if answer.spans else answer.note or "no word masked"
        console.print(Text(f"  {about}", style="dim italic"))


def highlighted(answer: MaskedPassage) -> Text:
    """A passage on one line, each mask in brackets and in the colour of its kind."""
    text = answer.passage.text
    shown = Text()
    end = 0
    for span in answer.spans:
        shown.append(_one_line(text[end : span.start]))
        words = _one_line(text[span.start : span.end])
        shown.append(f"[{words}]", style=_STYLES.get(span.kind, _OTHER))
        end = span.end
    shown.append(_one_line(text[end:]))
    return shown


def _one_line(text: str) -> str:
    """White space as spaces, and no control character: a text may hold a terminal's escapes."""
    return "".join(
        " " if char.isspace() else char if char.isprintable() else "\ufffd" for char in text
    )


def print_summary(console: Terminal, summary: MaskSummary) -> None:
    """Print what the masks amount to."""
    table = Table(title="Masks", title_justify="left", title_style="bold", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    of = summary.masked_passages
    table.add_row("passages with a mask", _of(summary.masked_passages, summary.passages))
    table.add_row("masks a passage", _number(summary.spans_per_passage))
    table.add_row("words masked", _of(summary.masked_words, summary.words))
    table.add_row("no word before the first mask", _of(summary.at_start, of))
    table.add_row("at most one word before it", _of(summary.little_context, of))
    table.add_row("more than one mask", _of(summary.repeated, of))
    table.add_row(
        "words after the first mask", _of(summary.words_after_first, summary.words_of_masked)
    )
    for kind, count in summary.kinds.items():
        table.add_row(f"masks by rule '{kind}'", str(count))
    console.print(table)
    _print_counts(console, "Most frequent reasons", summary.reasons)
    _print_counts(console, "Passages without a mask, as the masker notes", summary.notes)


def _print_counts(console: Terminal, title: str, counts: dict[str, int]) -> None:
    if not counts:
        return
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for name, count in list(counts.items())[:_MOST_REASONS]:
        table.add_row(str(count), Text(_one_line(name)))
    if (rest := len(counts) - _MOST_REASONS) > 0:
        table.add_row("", Text(f"… and {rest} more", style="dim"))
    console.print(table)


def _of(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.1f} %)" if whole else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
