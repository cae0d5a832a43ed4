"""How far the maskers of a run agree, computed from the masks that the run stored.

The passages of a comparison are those that both maskers masked for fits with the same corpus,
source, label and seed. A passage that several fits learned from counts once, with the masks of the
first of these fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType
from typing import NamedTuple

from harness.analysis.mask_agreement import MaskAgreement, MaskedWords, agreement_of_words
from harness.analysis.tables import Table, TableCell, TableColumn, TableRow
from harness.errors import StoreError
from harness.storage.masks import StoredMask, StoredMasks
from harness.storage.reader import RunReader
from harness.types import MaskedPassage

MaskedTexts = Mapping[str, Sequence[MaskedPassage]]
"""Masked passages with their texts, by the hash of the stored masks."""

Example = tuple[MaskedPassage, MaskedPassage]
"""The answers of two maskers to a passage in which they mask different words."""


@dataclass(frozen=True)
class RunMasks:
    """The comparison of every two maskers of a run.

    Attributes:
        pairs: the agreement of every two maskers, in the order of the run's cells.
        examples: for each pair in the same order, the passages that differ and whose texts were
            given.
        without_words: passages that are left out, because the run stored their masks without
            their words and their texts were not given.
        unreadable: why masks could not be read, a line for each file.
    """

    pairs: tuple[MaskAgreement, ...]
    examples: tuple[tuple[Example, ...], ...]
    without_words: int
    unreadable: tuple[str, ...]


class _Fit(NamedTuple):
    """What the maskers of comparable fits were asked: the same passages, with the same seed."""

    corpus: str | None
    source: str | None
    label: str | None
    seed: int | None


class _Place(NamedTuple):
    """A passage of a run."""

    corpus: str | None
    source: str | None
    label: str | None
    passage: str
    text: str


class _Answer(NamedTuple):
    """What a masker masked in a passage; the texts only where they were given."""

    words: MaskedWords | None
    masked: MaskedPassage | None


_Answers = dict[_Fit, dict[str, dict[_Place, _Answer]]]


def run_masks(reader: RunReader, texts: MaskedTexts = MappingProxyType({})) -> RunMasks | None:
    """Compare every two maskers of a run; None where fewer than two stored masks.

    Maskers that are controls (such as `random`) are compared too.

    Args:
        reader: of the run.
        texts: of the masked passages, as far as they are known. They give examples, and the words
            of masks that an earlier version stored without them.
    """
    unreadable: dict[str, str] = {}
    answers = _answers(reader, texts, unreadable)
    maskers = dict.fromkeys(masker for of_fit in answers.values() for masker in of_fit)
    if len(maskers) < 2:
        return None
    without_words: set[_Place] = set()
    pairs, examples = [], []
    for first, second in combinations(maskers, 2):
        compared: dict[_Place, tuple[_Answer, _Answer]] = {}
        for place, one, other in _of_both(answers, first, second):
            if one.words is None or other.words is None:
                without_words.add(place)
            else:
                compared.setdefault(place, (one, other))
        words = [
            (one.words, other.words)
            for one, other in compared.values()
            if one.words is not None and other.words is not None
        ]
        pairs.append(
            agreement_of_words(first, [one for one, _ in words], second, [two for _, two in words])
        )
        examples.append(
            tuple(
                (one.masked, other.masked)
                for (one, other), (a, b) in zip(compared.values(), words, strict=True)
                if one.masked is not None and other.masked is not None and a.masked != b.masked
            )
        )
    return RunMasks(tuple(pairs), tuple(examples), len(without_words), tuple(unreadable.values()))


def _answers(reader: RunReader, texts: MaskedTexts, unreadable: dict[str, str]) -> _Answers:
    """Read the stored masks of a run, and note those that cannot be read."""
    answers: _Answers = {}
    for cell in reader.index.cells:
        sha256 = None if cell.masker is None else reader.masks(cell)
        if cell.masker is None or sha256 is None:
            continue
        fit = _Fit(cell.corpus, cell.source, cell.label, cell.seed)
        of_fit = answers.setdefault(fit, {})
        if cell.masker in of_fit:
            continue  # another method learned from the same passages
        try:
            stored = reader.store.masks(sha256)
        except StoreError as error:
            unreadable[sha256] = str(error)
            continue
        if stored is not None:
            of_fit[cell.masker] = dict(_placed(fit, stored, texts.get(sha256, ())))
    return answers


def _placed(
    fit: _Fit, stored: StoredMasks, texts: Sequence[MaskedPassage]
) -> Iterator[tuple[_Place, _Answer]]:
    """Yield the passages of a fit that the masker answered, with its answer."""
    masks = stored.each()
    masked: Sequence[MaskedPassage | None] = texts or [None] * len(masks)
    for mask, answer in zip(masks, masked, strict=True):
        if mask.final:
            place = _Place(fit.corpus, fit.source, fit.label, mask.passage, mask.text)
            words = _words_of(mask) if answer is None else MaskedWords.of(answer)
            yield place, _Answer(words, answer)


def _words_of(mask: StoredMask) -> MaskedWords | None:
    """Return the masked words of a stored mask; None if an earlier version stored it."""
    if mask.words is None:
        return None
    spans = tuple((span.start, span.end) for span in mask.spans)
    return MaskedWords(mask.words, mask.masked_words, spans)


def _of_both(
    answers: _Answers, first: str, second: str
) -> Iterator[tuple[_Place, _Answer, _Answer]]:
    """Yield the passages that two maskers masked for comparable fits, with both answers."""
    for of_fit in answers.values():
        of_second = of_fit.get(second, {})
        for place, one in of_fit.get(first, {}).items():
            if (other := of_second.get(place)) is not None:
                yield place, one, other


# -- the table -------------------------------------------------------------------------------


def agreement_table(compared: RunMasks) -> Table:
    """Build the table of `run_masks`: a row for every two maskers."""
    notes = list(compared.unreadable)
    if compared.without_words:
        notes.append(
            f"{compared.without_words} passages are left out: an earlier version stored their "
            "masks without their words. `harness report RUN --sentences` reads their texts again "
            "and compares them."
        )
    return Table(
        key="mask-agreement",
        title="Agreement of maskers on the passages that both masked",
        columns=_COLUMNS,
        rows=tuple(map(_row, compared.pairs)),
        legend=_LEGEND,
        notes=tuple(notes),
        heads=2,
    )


_COLUMNS = (
    TableColumn("first", "masker"),
    TableColumn("second", "other masker"),
    TableColumn("kappa", "kappa", form="number"),
    TableColumn("span_overlap", "span overlap, %", form="number", digits=1),
    TableColumn("differing", "passages that differ, %", form="number", digits=1),
    TableColumn("passages", "passages", form="count"),
)

_LEGEND = (
    "Kappa: Cohen's kappa over words. 1 means the same words, 0 means as many in common as two "
    "independent choices would have. With a 95 % interval by the jackknife over passages.",
    "Span overlap: the share of the masks of both that overlap a mask of the other.",
    "Passages that differ: those in which the two mask different words.",
    "Passages: those that both masked for the same corpus, source, label and seed. A passage of "
    "several fits counts once.",
)


def _row(pair: MaskAgreement) -> TableRow:
    kappa = _number(pair.kappa, pair, "the two mask every word, or none")
    if pair.kappa is not None:
        kappa = TableCell(
            value=pair.kappa, interval=pair.kappa_interval, interval_covers="passages"
        )
    cells = (
        TableCell(text=pair.first),
        TableCell(text=pair.second),
        kappa,
        _percent(pair.span_overlap, pair, "neither masks anything"),
        _percent(pair.differing_share, pair, ""),
        TableCell(count=pair.passages),
    )
    return TableRow("method", cells, method=f"{pair.first} / {pair.second}")


def _percent(share: float | None, pair: MaskAgreement, reason: str) -> TableCell:
    return _number(None if share is None else 100 * share, pair, reason)


def _number(value: float | None, pair: MaskAgreement, reason: str) -> TableCell:
    if value is not None:
        return TableCell(value=value)
    return TableCell(absent="–", note=reason if pair.passages else "no passage to compare")
