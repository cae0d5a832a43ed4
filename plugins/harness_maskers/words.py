"""Finding terms in texts: word boundaries, case, inflection, longest match first.

The terms are indexed by their first token, so a text is read once, and the time is proportional to
its length.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from harness.data.words import COMBINING, without_overlap

MATCHING_VERSION = "1"
"""Version of the matching, part of the content key: raise it when terms are matched differently."""

_MARKS = frozenset(COMBINING)


class Rule(NamedTuple):
    """A list of terms, with the kind and name given to its matches."""

    kind: str
    name: str
    terms: tuple[str, ...]


class Match(NamedTuple):
    """A match: half-open character range, the rule, and the term of its list."""

    start: int
    end: int
    rule: Rule
    term: str


_CLUSTER = re.compile(rf".[{COMBINING}]{{0,30}}", re.DOTALL)
"""A letter with its accents; at most 30, as in Unicode's stream-safe text."""
_TOKEN = re.compile(rf"[^\W_]+(?:[{COMBINING}]+[^\W_]*)*|\S")
_END = re.compile(rf"(?!'?(?:[^\W_]|[{COMBINING}]))")
_END_OR_POSSESSIVE = re.compile(rf"(?=(?:'s)?{_END.pattern})")
_SAME = {
    **str.maketrans("’ʼ‘‐‑", "'''--"),
    **dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d")),
}


Order = tuple[int, bool, int]
"""Decides between matches of one range: rule, inflected or not, term (both by their position)."""


class Matcher:
    """Finds the terms of some rules. Made once, used on many texts.

    What counts as a match:

    - Letters are compared in Unicode form NFKC, typographic apostrophes and hyphens as the plain
      ones, and whatever the case unless told otherwise.
    - A term begins and ends at a word boundary. A hyphen is one (``anti-Muslim`` holds
      ``Muslim``), an apostrophe inside a word is not (``can't`` does not hold ``can``).
    - A space or hyphen in a term matches white space or a hyphen (``same-sex``, ``same sex``).
    - With inflection, the last word of a term also matches in its plural (`inflections`) and
      before a possessive ``'s``, which stays outside the match.
    - Where matches overlap the longest wins, then the earliest, then that of the first rule, then a
      term as it is listed before an inflected one, then the first term of the list.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        ignore_case: bool = True,
        inflect: bool = True,
        possessive: bool | None = None,
    ) -> None:
        """`possessive` alone switches the rule for ``'s``; default: as `inflect`."""
        possessive = inflect if possessive is None else possessive
        self._ignore_case = ignore_case
        # First token of a form -> forms; so a text is compared with few of the terms.
        self._forms: dict[str, list[tuple[re.Pattern[str], Order, Rule, str]]] = {}
        self._end = _END_OR_POSSESSIVE if possessive else _END
        for rank, rule in enumerate(rules):
            for order, term in enumerate(rule.terms):
                folded, _ = _fold(term.strip(), ignore_case)
                if not folded:
                    continue
                for form in sorted(inflections(folded) if inflect else {folded}):
                    first = _TOKEN.search(form)
                    if first is None:
                        continue
                    parts = [re.escape(part) for part in re.split(r"[\s\-]+", form) if part]
                    body = r"(?:\s+|\s*-\s*)".join(parts)
                    entry = (re.compile(body), (rank, form != folded, order), rule, term)
                    self._forms.setdefault(first.group(), []).append(entry)

    def find(self, text: str) -> list[Match]:
        """Return the matches in a text, sorted and not overlapping."""
        folded, source = _fold(text, self._ignore_case)
        candidates: list[tuple[int, int, Order, Match]] = []
        for token in _TOKEN.finditer(folded):
            at = token.start()
            if _inside_word(folded, at):
                continue
            for pattern, order, rule, term in self._forms.get(token.group(), ()):
                hit = pattern.match(folded, at)
                if hit and (not _in_word(hit[0][-1]) or self._end.match(folded, hit.end())):
                    start, end = source[at][0], source[hit.end() - 1][1]
                    match = Match(start, end, rule, term)
                    candidates.append((start - end, start, order, match))
        candidates.sort(key=lambda entry: entry[:3])
        ranges = [(match.start, match.end) for *_, match in candidates]
        return sorted(candidates[i][3] for i in without_overlap(len(text), ranges))


def _inside_word(text: str, at: int) -> bool:
    """Whether a word character, or an apostrophe that joins one, precedes a position."""
    if not text[at].isalnum():
        return False
    at = _before_marks(text, at)
    if at > 0 and text[at - 1] == "'":
        at = _before_marks(text, at - 1)
    return at > 0 and text[at - 1].isalnum()


def _before_marks(text: str, at: int) -> int:
    while at > 0 and text[at - 1] in _MARKS:
        at -= 1
    return at


def _in_word(char: str) -> bool:
    return char.isalnum() or char in _MARKS


def _fold(text: str, ignore_case: bool) -> tuple[str, list[tuple[int, int]]]:
    """Return a text as it is compared, and the source range of each character."""
    folded: list[str] = []
    source: list[tuple[int, int]] = []
    for cluster in _CLUSTER.finditer(text):
        # Invisible characters (soft hyphen, zero-width space) would hide words: they are dropped.
        same = unicodedata.normalize("NFKC", cluster.group()).translate(_SAME)
        for char in same.casefold() if ignore_case else same:
            folded.append(char)
            source.append(cluster.span())
    return "".join(folded), source


_IRREGULAR = (
    (re.compile(r"(\b|wo|s)man$"), "man", "men"),
    (re.compile(r"\bwife$"), "wife", "wives"),
    (re.compile(r"\bchild$"), "child", "children"),
    (re.compile(r"\bperson$"), "person", "people"),
)
"""Which last words, the end that changes, and what it becomes."""


def inflections(term: str) -> set[str]:
    """Return the term and the plural of its last word.

    -s; -es after a sibilant; -ies for -y after a consonant; and man/men (woman, spokesman),
    wife/wives, child/children, person/people. Lists must contain other irregular forms.
    """
    forms = {term}
    if not term[-1:].isalpha():
        return forms
    if re.search(r"[^aeiou\W\d_]y$", term):
        forms.add(term[:-1] + "ies")
    elif re.search(r"(s|x|z|ch|sh)$", term):
        forms.add(term + "es")
    else:
        forms.add(term + "s")
    for last_word, singular, plural in _IRREGULAR:
        if last_word.search(term):
            forms.add(term[: -len(singular)] + plural)
    return forms
