"""Passages with their masked words highlighted, summaries, and how far maskers agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from harness.analysis.mask_agreement import MaskAgreement
from harness.analysis.mask_summary import MaskSummary, summarise
from harness.lm.association import Gaps
from harness.render.console.ruled import ruled
from harness.render.console.terminal import Terminal
from harness.render.exports.csv_file import csv_bytes
from harness.render.masked_text import one_line, pieces
from harness.render.tables.numbers import interval, number, signed
from harness.types import MaskedPassage

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
    shown = Text()
    for text, kind in pieces(answer):
        if kind is None:
            shown.append(text)
        else:
            shown.append(f"[{text}]", style=_STYLES.get(kind, _OTHER))
    return shown


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
    rows = gap_rows(answers, gaps)
    lines: list[tuple[str, ...]] = [
        (
            row["passage"],
            one_line(row["word"]),
            *(signed(row[name]) for name in ("prefix", "full", "gap")),
        )
        for row in rows
    ]
    if rows:
        mean = sum(row["gap"] for row in rows) / len(rows)
        lines.append(("mean", "", "", "", signed(mean)))
    header = ("passage", "word", "given\nthe left", "given\nboth", "gap")
    console.print(ruled("Masked words in nats", header, lines, left=(0, 1)))
    if (note := gaps.note()) is not None:
        console.print(Text(note, style="dim italic"))


def print_summary(console: Terminal, summary: MaskSummary) -> None:
    """Print the counts of a summary."""
    of = summary.masked_passages
    rows = [
        ("passages with a mask", _of(summary.masked_passages, summary.passages)),
        ("masks a passage", number(summary.spans_per_passage)),
        ("words masked", _of(summary.masked_words, summary.words)),
        ("no word before the first mask", _of(summary.at_start, of)),
        ("at most one word before it", _of(summary.little_context, of)),
        ("more than one mask", _of(summary.repeated, of)),
        ("words after the first mask", _of(summary.words_after_first, summary.words_of_masked)),
        *((f"masks by rule '{kind}'", str(count)) for kind, count in summary.kinds.items()),
    ]
    console.print(ruled("Masks", ("", "count"), rows))
    _print_counts(console, "Most frequent reasons", summary.reasons)
    _print_counts(console, "Passages without a mask, as the masker notes", summary.notes)


def _print_counts(console: Terminal, title: str, counts: dict[str, int]) -> None:
    if not counts:
        return
    rows: list[tuple[str | Text, str]] = [
        (one_line(name), str(count)) for name, count in list(counts.items())[:_MOST_REASONS]
    ]
    if (rest := len(counts) - _MOST_REASONS) > 0:
        rows.append((Text(f"… and {rest} more", "dim"), ""))
    console.print(ruled(title, ("", "count"), rows))


def _of(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.1f} %)" if whole else "–"


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
    rows = []
    for name, masked in answers.items():
        summary = summarise(masked)
        rows.append(
            (
                name,
                _of(summary.masked_passages, summary.passages),
                str(summary.spans),
                _of(summary.masked_words, summary.words),
            )
        )
    header = ("masker", "passages with a mask", "masks", "words masked")
    console.print(ruled("Maskers", header, rows))
    pairs_shown = [
        (
            pair.first,
            pair.second,
            number(pair.kappa),
            "–"
            if pair.kappa_interval is None
            else interval(pair.kappa_interval.low, pair.kappa_interval.high),
            "–" if pair.span_overlap is None else f"{100 * pair.span_overlap:.1f} %",
            _of(pair.differing, pair.passages),
        )
        for pair in pairs
    ]
    heads = ("first", "second", "kappa", "95 %\ninterval", "span\noverlap", "passages that\ndiffer")
    console.print(ruled("Agreement", heads, pairs_shown, left=(0, 1), fold=(0, 1)))
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
