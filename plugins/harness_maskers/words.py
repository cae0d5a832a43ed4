"""Finding terms in texts: word boundaries, case, inflection, longest match first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Rule(NamedTuple):
    """A list of terms, and what a match of it is called."""

    kind: str
    name: str
    terms: tuple[str, ...]


class Match(NamedTuple):
    """A term found: half-open character range, the rule, and the term of its list."""

    start: int
    end: int
    rule: Rule
    term: str


WORD = re.compile(r"\w+(?:['’-]\w+)*")
"""A word: letters, digits and underscores, with hyphens and apostrophes inside."""


def find_terms(
    text: str, rules: Sequence[Rule], *, ignore_case: bool = True, inflect: bool = True
) -> list[Match]:
    """Return the matches of all rules, sorted and not overlapping.

    Where matches overlap the longest wins, then the earliest, then the rule that stands first.
    A match begins and ends at a word boundary; parts of a multi-word term may be any white
    space apart.
    """
    found: list[Match] = []
    for rule in rules:
        for term in rule.terms:
            for hit in _pattern(term, ignore_case, inflect).finditer(text):
                found.append(Match(hit.start(), hit.end(), rule, term))
    order = {rule.name: i for i, rule in enumerate(rules)}
    found.sort(key=lambda m: (m.start - m.end, m.start, order[m.rule.name], m.term))
    chosen: list[Match] = []
    for match in found:
        if all(match.end <= other.start or match.start >= other.end for other in chosen):
            chosen.append(match)
    return sorted(chosen)


_PATTERNS: dict[tuple[str, bool, bool], re.Pattern[str]] = {}


def _pattern(term: str, ignore_case: bool, inflect: bool) -> re.Pattern[str]:
    key = (term, ignore_case, inflect)
    if key not in _PATTERNS:  # compiled once: a pure function of the key
        forms = sorted(inflections(term) if inflect else {term}, key=lambda f: (-len(f), f))
        body = "|".join(r"\s+".join(map(re.escape, form.split())) for form in forms)
        flags = re.IGNORECASE if ignore_case else 0
        _PATTERNS[key] = re.compile(rf"(?<![\w]){'(?:' + body + ')'}(?:['’]s)?(?![\w])", flags)
    return _PATTERNS[key]


def inflections(term: str) -> set[str]:
    """The term and its regular plural: -s, -es after a sibilant, -ies for -y after a consonant.

    Possessives are matched beside; irregular forms must stand in the list.
    """
    if re.search(r"[^aeiou]y$", term):
        return {term, term[:-1] + "ies"}
    if re.search(r"(s|x|z|ch|sh)$", term):
        return {term, term + "es"}
    return {term, term + "s"}


def word_spans(text: str) -> list[tuple[int, int]]:
    """Half-open character ranges of the words of a text."""
    return [hit.span() for hit in WORD.finditer(text)]


def overlaps(span: tuple[int, int], others: Iterable[tuple[int, int]]) -> bool:
    """Whether a range meets any of the others."""
    return any(span[0] < end and start < span[1] for start, end in others)
