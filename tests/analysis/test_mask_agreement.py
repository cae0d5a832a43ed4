"""Agreement of maskers: kappa against scikit-learn, overlaps, intervals that cover."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from sklearn.metrics import cohen_kappa_score

from harness.analysis.mask_agreement import agreement, agreements, differing
from harness.data.words import word_spans
from harness.errors import DataError
from harness.types import MaskedPassage, Passage, Span


def _masked(text: str, words: Sequence[int], name: str = "p") -> MaskedPassage:
    """A passage with the words of these positions masked, each by a span of its own."""
    ranges = word_spans(text)
    spans = tuple(
        Span(start=ranges[i][0], end=ranges[i][1], kind="k", reason="r") for i in sorted(words)
    )
    passage = Passage(id=name, text=text, domain="gender", label="hateful", split="train")
    return MaskedPassage(passage=passage, spans=spans)


def _drawn(
    rng: random.Random, passages: int, words: int, share: float, copied: float
) -> tuple[list[MaskedPassage], list[MaskedPassage]]:
    """Masks of two maskers: the second copies the first's choice of a word now and then."""
    one, other = [], []
    for p in range(passages):
        text = " ".join(f"w{i}" for i in range(rng.randint(1, words)))
        count = len(text.split())
        first = [rng.random() < share for _ in range(count)]
        second = [f if rng.random() < copied else rng.random() < share for f in first]
        one.append(_masked(text, [i for i, f in enumerate(first) if f], f"p{p}"))
        other.append(_masked(text, [i for i, s in enumerate(second) if s], f"p{p}"))
    return one, other


@pytest.mark.parametrize("copied", [0.0, 0.5, 1.0])
def test_kappa_is_that_of_scikit_learn(copied: float) -> None:
    one, other = _drawn(random.Random(1), 40, 20, 0.2, copied)
    flags: list[list[bool]] = [[], []]
    for answers, kept in zip((one, other), flags, strict=True):
        for answer in answers:
            starts = {span.start for span in answer.spans}
            kept += [start in starts for start, _ in word_spans(answer.passage.text)]
    result = agreement("a", one, "b", other)
    assert result.kappa == pytest.approx(cohen_kappa_score(*flags))
    assert result.words == len(flags[0])


def test_interval_covers_the_kappa_of_the_population() -> None:
    """The second masker copies half of the choices, so kappa is 0.5 in the long run."""
    rng = random.Random(2)
    results = []
    covered = 0
    for _ in range(200):
        one, other = _drawn(rng, 40, 20, 0.2, 0.5)
        result = agreement("a", one, "b", other)
        assert result.kappa_interval is not None
        results.append(result)
        covered += result.kappa_interval.low <= 0.5 <= result.kappa_interval.high
    assert 0.90 <= covered / len(results) <= 0.985
    assert sum(r.kappa or 0 for r in results) / len(results) == pytest.approx(0.5, abs=0.02)


def test_counts_by_hand() -> None:
    text = "a b c d e"
    one = [_masked(text, [0, 1]), _masked("x y", [0]), _masked("x y", [])]
    other = [_masked(text, [1, 4]), _masked("x y", [0]), _masked("x y", [])]
    result = agreement("a", one, "b", other)
    assert (result.passages, result.differing) == (3, 1)
    assert (result.words, result.both, result.only_first, result.only_second) == (9, 2, 1, 1)
    assert (result.spans, result.meeting) == (6, 4)
    assert result.span_overlap == 4 / 6
    assert result.differing_share == 1 / 3
    assert differing(one, other) == [(one[0], other[0])]
    assert result.kappa_interval is None  # three passages are too few


def test_spans_of_other_widths_still_meet() -> None:
    text = "all of it"
    passage = _masked(text, [0, 2])
    whole = passage.model_copy(update={"spans": (Span(start=0, end=9, kind="k", reason="r"),)})
    result = agreement("a", [passage], "b", [whole])
    assert result.span_overlap == 1.0
    assert (result.both, result.only_second) == (2, 1)


def test_nothing_to_compare_is_not_perfect_agreement() -> None:
    nothing = [_masked("a b c", [])] * 10
    everything = [_masked("a b c", [0, 1, 2])] * 10
    for masks in (nothing, everything):
        result = agreement("a", masks, "b", masks)
        assert result.kappa is None
        assert result.kappa_interval is None
    assert agreement("a", [], "b", []).differing_share is None


def test_every_pair_in_the_order_given() -> None:
    answers = {name: [_masked("a b", [0])] for name in ("c", "a", "b")}
    assert [(p.first, p.second) for p in agreements(answers)] == [
        ("c", "a"),
        ("c", "b"),
        ("a", "b"),
    ]


def test_other_passages_are_refused() -> None:
    with pytest.raises(DataError, match="'a' and 'b' did not mask the same passages"):
        agreement("a", [_masked("a b", [])], "b", [_masked("a c", [])])
