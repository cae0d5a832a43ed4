"""Derive the harm lexicon from DGHS train, and measure lexicons on passages not used for it.

    python benchmarks/harm_lexicon.py --data-dir DIR           measure; print the table of the docs
    python benchmarks/harm_lexicon.py --data-dir DIR --write   write the lexicon, then measure

How a word gets into the lexicon: each word of the train split has a log-odds ratio of occurring in
a hateful rather than a non-hateful passage, with an informative Dirichlet prior (Monroe, Colaresi
and Quinn 2008, "Fightin' Words", eqs. 15-23; the prior is the split's own word distribution, of
`PRIOR` pseudo-words; a word counts once a passage). A word is taken if its z-score is at least
`LEAST_Z`, if at least `LEAST_SHARE` of its passages are hateful, and if it occurs in at least
`LEAST_COUNT` passages. Words that contain a group term of any domain are left out, so that the
rules `attribute` and `harm` mask different words. The thresholds were chosen on the dev split;
the test split is used for the published figures only.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from harness_corpora.dghs import DGHS, parse
from harness_corpora.domains import BUILT_IN
from harness_maskers import harm_lexicon
from harness_maskers.wordlist import LDNOOBW
from harness_maskers.words import Matcher, Rule

from harness.data.pins import verified
from harness.data.places import DataStore
from harness.data.words import word_spans

PRIOR = 1000.0
LEAST_Z = 2.0
LEAST_SHARE = 0.75
LEAST_COUNT = 10
LEAST_LETTERS = 3
PLACEHOLDERS = frozenset({"user", "url"})
"""What the data set writes in place of mentions and links."""


class Text(NamedTuple):
    """A passage of DGHS."""

    text: str
    hateful: bool
    split: str


class Quality(NamedTuple):
    """How well "holds a term" predicts "is hateful"."""

    precision: float
    recall: float
    false_alarms: float
    """Share of the non-hateful passages that hold a term."""
    base_rate: float
    """Share of the passages that are hateful: the precision of a list without information."""


def read(path: Path) -> list[Text]:
    """Read all passages of the data set."""
    return [Text(row[1], row[2] == "hate", row[3]) for row in parse(path)]


def words_of(text: str) -> set[str]:
    """Return the words of a text in lower case, without a possessive ``'s``."""
    folded = text.casefold().replace("’", "'")
    return {folded[start:end].removesuffix("'s") for start, end in word_spans(folded)}


def derive(texts: Iterable[Text]) -> dict[str, float]:
    """Return the words of the lexicon with their log-odds ratios, the largest z-score first."""
    counts = {True: Counter[str](), False: Counter[str]()}
    for text in texts:
        counts[text.hateful].update(words_of(text.text))
    totals = {label: sum(counted.values()) for label, counted in counts.items()}
    names_group = Matcher([Rule(name, name, d.attribute_terms()) for name, d in BUILT_IN.items()])
    scored = {}
    for word in sorted(set(counts[True]) | set(counts[False])):
        both = counts[True][word] + counts[False][word]
        ratio, z = log_odds(
            counts[True][word],
            counts[False][word],
            totals[True],
            totals[False],
            PRIOR * both / sum(totals.values()),
        )
        if (
            z >= LEAST_Z
            and both >= LEAST_COUNT
            and counts[True][word] >= LEAST_SHARE * both
            and len(word) >= LEAST_LETTERS
            and word not in PLACEHOLDERS
            and not names_group.find(word)
        ):
            scored[word] = (ratio, z)
    ranked = sorted(scored.items(), key=lambda entry: (-entry[1][1], entry[0]))
    return {word: round(ratio, 2) for word, (ratio, _) in ranked}


def log_odds(a: int, b: int, total_a: int, total_b: int, prior: float) -> tuple[float, float]:
    """Return the log-odds ratio of a word in two collections, and its z-score.

    Args:
        a: occurrences in the first collection, of `total_a` words.
        b: occurrences in the second collection, of `total_b` words.
        prior: pseudo-occurrences of the word in either, out of `PRIOR`.
    """
    ratio = math.log((a + prior) / (total_a + PRIOR - a - prior)) - math.log(
        (b + prior) / (total_b + PRIOR - b - prior)
    )
    return ratio, ratio / math.sqrt(1 / (a + prior) + 1 / (b + prior))


def measure(terms: Iterable[str], texts: Iterable[Text]) -> Quality:
    """Predict "hateful" for each text in which the word-list masker finds a term."""
    matcher = Matcher([Rule("harm", "lexicon", tuple(terms))])
    counts = Counter((text.hateful, bool(matcher.find(text.text))) for text in texts)
    hateful = counts[True, True] + counts[True, False]
    other = counts[False, True] + counts[False, False]
    found = counts[True, True] + counts[False, True]
    return Quality(
        counts[True, True] / found if found else math.nan,
        counts[True, True] / hateful,
        counts[False, True] / other,
        hateful / (hateful + other),
    )


def naming(domain: str) -> Callable[[Text], bool]:
    """Whether a text holds a term of a domain."""
    matcher = Matcher([Rule(domain, domain, BUILT_IN.attribute_terms(domain))])
    return lambda text: bool(matcher.find(text.text))


def written(terms: Mapping[str, float]) -> str:
    """Return the lexicon as the file that the masker reads."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["term", "log_odds"])
    writer.writerows((term, f"{weight:.2f}") for term, weight in terms.items())
    return out.getvalue()


def row(subset: str, label: str, terms: Collection[str], texts: Collection[Text]) -> str:
    """Return a row of the table in the docs."""
    found = measure(terms, texts)
    return (
        f"| {subset} ({len(texts)}, {100 * found.base_rate:.0f} % hateful) | {label} | "
        f"{len(terms)} | {found.precision:.2f} | {found.recall:.2f} | {found.false_alarms:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--write", action="store_true", help="write the lexicon's file")
    args = parser.parse_args()
    data = DataStore(data_dir=args.data_dir)
    texts = read(data.locate(DGHS))
    derived = derive(text for text in texts if text.split == "train")
    if args.write:
        harm_lexicon.FILE.write_text(written(derived), encoding="utf-8")
        print(f"{harm_lexicon.FILE}: {len(derived)} terms")
    ldnoobw = [row[0] for row in verified(LDNOOBW, data.locate(LDNOOBW))]
    lists = {"dghs": derived, "builtin": harm_lexicon.TERMS, "ldnoobw": ldnoobw}
    test = [text for text in texts if text.split == "test"]
    subsets = {"all": test} | {
        domain: list(filter(naming(domain), test)) for domain in ("gender", "race", "religion")
    }
    print("| passages of the test split | list | terms | precision | recall | false alarms |")
    print("|---|---|--:|--:|--:|--:|")
    for name, subset in subsets.items():
        for label, terms in lists.items():
            print(row(name, label, terms, subset))


if __name__ == "__main__":
    main()
