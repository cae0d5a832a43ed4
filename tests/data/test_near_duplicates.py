"""Near-duplicates against brute force, and the filters that the corpora build on them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.near_duplicates import near_duplicates, similarities, trigrams

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=7).map(" ".join)
TEXTS = st.lists(WORDS, max_size=8)


def jaccard(one: str, other: str) -> float:
    """By the definition."""
    a, b = trigrams(one), trigrams(other)
    return len(a & b) / len(a | b)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(texts=TEXTS, references=TEXTS)
def test_similarities_are_those_of_brute_force(texts: list[str], references: list[str]) -> None:
    expected = [max((jaccard(t, r) for r in references), default=0.0) for t in texts]
    assert similarities(texts, references) == expected
    assert near_duplicates(texts, references, 0.5) == [value >= 0.5 for value in expected]


def test_what_counts_as_the_same_text() -> None:
    assert jaccard("The cat sat.", "the  CAT, sat!") == 1
    assert jaccard("one two", "one two") == 1
    assert jaccard("one two", "two one") == 0
    assert jaccard("!!!", "???") == 0
    assert jaccard("a b c d", "a b c e") == 1 / 3


def test_references_are_read_once() -> None:
    assert near_duplicates(["a b c d"], iter(["x", "a b c d"]), 1.0) == [True]
