"""Passages with their masked words highlighted, summaries, and how far maskers agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from harness.analysis.mask_agreement import MaskAgreement
from harness.analysis.mask_summary import MaskSummary, summarise
from harness.lm.association import Gaps
from harness.render.console.terminal import Terminal
from harness.render.exports.csv_file import csv_bytes
from harness.render.tables.numbers import interval, number
from harness.types import MaskedPassage, MaskUsage

_STYLES = {"attribute": "bold black on yellow", "harm": "bold white on red"}
_OTHER = "bold black on cyan"
_MOST_REASONS = 12


def print_masked(console: Terminal, answers: Sequence[MaskedPassage]) -> None:
    """Print each passage with its masks in colour and in brackets."""
    for answer in answers:
        console.print(Text(answer.passage.id, style="dim"), soft_wrap=True)
        console.print(highlighted(answer))
        reasons = dict.fromkeys(f"{span.kind}: {span.reason}" for span in answer.spans)
        about = "; ".join(reasons) if answer.spans else answer.note or "no word masked"
        console.print(Text(f"  {about}", style="dim italic"))


def highlighted(answer: MaskedPassage) -> Text:
    """Return a passage on one line, each mask in brackets and in the colour of its kind."""
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
    """Return a text with white space as spaces and without control characters."""
    return "".join(
        " " if char.isspace() else char if char.isprintable() else "\ufffd" for char in text
    )


def gap_rows(answers: Sequence[MaskedPassage], gaps: Gaps) -> list[dict[str, Any]]:
    """Return the scored words as rows: passage, word, both log-probabilities, and the gap."""
    return [
        {
            "passage": answers[word.slot.passage].passage.id,
            "start": word.slot.start,
            "word": word.slot.text[word.slot.start : word.slot.end],
            "candidates": word.candidates,
            "prefix": word.prefix,
            "full": word.full,
            "gap": word.gap,
        }
        for word in gaps.words
    ]


def print_gaps(console: Terminal, answers: Sequence[MaskedPassage], gaps: Gaps) -> None:
    """Print what the words after each mask say about the word, in nats."""
    table = Table(title="Masked words in nats", title_justify="left", title_style="bold")
    for name in ("passage", "word"):
        table.add_column(name)
    for name in ("given the left", "given both", "gap"):
        table.add_column(name, justify="right")
    rows = gap_rows(answers, gaps)
    for row in rows:
        values = (f"{row[name]:+.2f}" for name in ("prefix", "full", "gap"))
        table.add_row(row["passage"], _one_line(row["word"]), *values)
    if rows:
        mean = sum(row["gap"] for row in rows) / len(rows)
        table.add_row("mean", "", "", "", f"{mean:+.2f}", end_section=True)
    console.print(table)
    if (note := gaps.note()) is not None:
        console.print(Text(note, style="dim italic"))


def print_summary(console: Terminal, summary: MaskSummary) -> None:
    """Print the counts of a summary."""
    table = Table(title="Masks", title_justify="left", title_style="bold", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    of = summary.masked_passages
    table.add_row("passages with a mask", _of(summary.masked_passages, summary.passages))
    table.add_row("masks a passage", number(summary.spans_per_passage))
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


def usage_line(usage: MaskUsage) -> str:
    """Return what a masker used of a service, in one line."""
    cost = "price unknown" if usage.cost is None else f"${usage.cost:.4f} spent"
    calls = "1 call" if usage.calls == 1 else f"{usage.calls} calls"
    line = f"{calls}, {usage.tokens_in} tokens in and {usage.tokens_out} out, {cost}"
    if usage.unaccounted:
        line += f" at most ({usage.unaccounted} without an account of its tokens)"
    if usage.events:
        told = ", ".join(f"{count} {kind}" for kind, count in usage.events.items())
        line += f"; {told}"
    return line


# -- several maskers -------------------------------------------------------------------------

AGREEMENT_COLUMNS = (
    "first",
    "second",
    "passages",
    "differing",
    "differing_share",
    "words",
    "both",
    "only_first",
    "only_second",
    "kappa",
    "kappa_low",
    "kappa_high",
    "spans",
    "span_overlap",
)


def agreement_row(pair: MaskAgreement) -> dict[str, Any]:
    """Return one comparison as data, in the order of `AGREEMENT_COLUMNS`."""
    low, high = pair.kappa_interval or (None, None)
    more = {"kappa_low": low, "kappa_high": high}
    return {name: more.get(name, getattr(pair, name, None)) for name in AGREEMENT_COLUMNS}


def agreement_csv(pairs: Sequence[MaskAgreement]) -> str:
    """Return all comparisons as CSV."""
    rows = (agreement_row(pair).values() for pair in pairs)
    return csv_bytes(rows, AGREEMENT_COLUMNS, spreadsheet_safe=False).decode()


def print_agreement(
    console: Terminal,
    answers: Mapping[str, Sequence[MaskedPassage]],
    pairs: Sequence[MaskAgreement],
) -> None:
    """Print how much each masker masks, and how far each two agree."""
    table = Table(title="Maskers", title_justify="left", title_style="bold")
    for column in ("masker", "passages with a mask", "masks", "words masked"):
        table.add_column(column, justify="left" if column == "masker" else "right")
    for name, masked in answers.items():
        summary = summarise(masked)
        table.add_row(
            name,
            _of(summary.masked_passages, summary.passages),
            str(summary.spans),
            _of(summary.masked_words, summary.words),
        )
    console.print(table)
    table = Table(title="Agreement", title_justify="left", title_style="bold")
    for column in ("first", "second"):
        table.add_column(column)
    for column in ("kappa", "95 % interval", "span overlap", "passages that differ"):
        table.add_column(column, justify="right")
    for pair in pairs:
        bounds = pair.kappa_interval
        table.add_row(
            pair.first,
            pair.second,
            number(pair.kappa),
            "-" if bounds is None else interval(bounds.low, bounds.high),
            "-" if pair.span_overlap is None else f"{100 * pair.span_overlap:.1f} %",
            _of(pair.differing, pair.passages),
        )
    console.print(table)
    console.print(
        Text(
            "kappa: Cohen's, over words (1: the same words, 0: as by chance); interval over "
            "passages. Span overlap: masks that overlap one of the other masker.",
            style="dim",
        )
    )


def print_differing(
    console: Terminal,
    first: str,
    second: str,
    examples: Sequence[tuple[MaskedPassage, MaskedPassage]],
) -> None:
    """Print passages that two maskers mask differently, one line for each masker."""
    if not examples:
        return
    console.print(Text(f"\n{first} and {second} differ in:", style="bold"))
    for one, other in examples:
        console.print(Text(one.passage.id, style="dim"), soft_wrap=True)
        for name, answer in ((first, one), (second, other)):
            console.print(Text(f"  {name}: ", style="dim italic") + highlighted(answer))
