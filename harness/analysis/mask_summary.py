"""Counts over a masker's answer: how much is masked, where, and how much text follows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict

from harness.data.words import touched, word_spans
from harness.types import MaskedPassage


class MaskSummary(BaseModel):
    """Counts over masked passages.

    A causal model reads only what comes before a mask. So Eq. 1 of the paper says nothing about the
    words after the first mask, and almost nothing about a mask with no word before it.
    """

    model_config = ConfigDict(frozen=True)

    passages: int
    masked_passages: int
    spans: int
    words: int
    masked_words: int
    at_start: int
    """Passages whose first mask has no word before it."""
    little_context: int
    """Passages whose first mask has at most one word before it."""
    repeated: int
    """Passages with more than one mask."""
    words_after_first: int
    """Words of the masked passages that come after their first mask."""
    words_of_masked: int
    """Words of the masked passages."""
    kinds: dict[str, int]
    """Spans by kind of rule."""
    reasons: dict[str, int]
    """Spans by reason, most frequent first."""
    notes: dict[str, int]
    """Passages without a mask, by the masker's note about them."""

    @property
    def spans_per_passage(self) -> float | None:
        """Mean number of masks of all passages; None where there is no passage."""
        return self.spans / self.passages if self.passages else None


def summarise(answers: Sequence[MaskedPassage]) -> MaskSummary:
    """Count what a masker masked."""
    counts: Counter[str] = Counter()
    for answer in answers:
        counts.update(_count(answer))
    spans = [span for answer in answers for span in answer.spans]
    return MaskSummary(
        passages=len(answers),
        spans=len(spans),
        kinds=_ranked(span.kind for span in spans),
        reasons=_ranked(span.reason for span in spans),
        notes=_ranked(answer.note for answer in answers if answer.note is not None),
        **{name: counts[name] for name in _COUNTED},
    )


_COUNTED = (
    "masked_passages",
    "words",
    "masked_words",
    "at_start",
    "little_context",
    "repeated",
    "words_after_first",
    "words_of_masked",
)


def _count(answer: MaskedPassage) -> dict[str, int]:
    words = word_spans(answer.passage.text)
    counts = {"words": len(words)}
    if not answer.spans:
        return counts
    first = answer.spans[0]
    before = sum(end <= first.start for _, end in words)
    masked = sum(touched(words, [(span.start, span.end) for span in answer.spans]))
    return counts | {
        "masked_passages": 1,
        "masked_words": masked,
        "at_start": int(before == 0),
        "little_context": int(before <= 1),
        "repeated": int(len(answer.spans) > 1),
        "words_after_first": sum(start >= first.end for start, _ in words),
        "words_of_masked": len(words),
    }


def _ranked(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items(), key=lambda entry: (-entry[1], entry[0])))
