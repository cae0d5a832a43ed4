"""The two harm lexicons of this project. Content note: derogatory words and slurs.

`derived_terms` come from data: words that occur more often in hateful than in non-hateful
passages of the DGHS train split (Vidgen et al. 2021, CC BY 4.0), with their log-odds ratios.
``benchmarks/harm_lexicon.py`` makes the list and measures it. It separates hateful from
non-hateful passages on the test split, though most hateful passages hold none of its words.

`TERMS` were written by hand: insults, words of contempt and verbs of hostility, no slurs. They
occur as often in non-hateful as in hateful passages of DGHS, so they do not separate the two.

docs/mask-rules.md has the figures of both.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("harm_terms.csv")
"""The derived lexicon: columns ``term`` and ``log_odds``."""

VERSION = "2"
"""Raised by each change of the list written by hand: it enters content keys."""


@cache
def derived_terms() -> dict[str, float]:
    """Return the derived lexicon: terms with their log-odds ratios of being hateful."""
    with FILE.open(encoding="utf-8", newline="") as stream:
        return {row["term"]: float(row["log_odds"]) for row in csv.DictReader(stream)}


def _terms(text: str) -> tuple[str, ...]:
    return tuple(" ".join(term.split()) for term in text.split(","))


_CONTEMPT = _terms(
    "awful, backward, barbaric, brainless, crazy, cruel, cunning, dangerous, degenerate, "
    "despicable, dirty, dishonest, disgraceful, disgusting, dumb, evil, feeble, filthy, foolish, "
    "good for nothing, greedy, gross, hideous, hysterical, idiotic, ignorant, immoral, "
    "incapable, incompetent, inferior, insane, irrational, lazy, nasty, pathetic, primitive, "
    "repulsive, rotten, savage, second class, selfish, shameful, smelly, stupid, subhuman, "
    "toxic, ugly, uncivilised, uncivilized, unclean, uneducated, unfit, unworthy, useless, vile, "
    "violent, wicked, worthless, wretched"
)
_INSULTS = _terms(
    "animal, beast, bitch, burden, cockroach, coward, criminal, crook, disgrace, enemy, filth, "
    "freak, idiot, imbecile, invader, leech, liar, loser, maggot, menace, monster, moron, "
    "murderer, nuisance, parasite, pest, pig, plague, psycho, rapist, rat, scum, slave, slob, "
    "snake, terrorist, thief, thieves, thug, traitor, trash, vermin, waste of space"
)
_HOSTILITY = _terms(
    "abuse, abused, abusing, attack, attacked, attacking, banish, banished, beat, beaten, "
    "beating, burn, burned, burning, deport, deported, deporting, deserve to die, despise, "
    "despised, despising, destroy, destroyed, destroying, disgust, disgusted, eliminate, "
    "eliminated, eliminating, exterminate, exterminated, exterminating, get rid of, go back to, "
    "hang, hanged, hanging, hate, hated, hating, invade, invaded, invading, kick out, kicked "
    "out, kill, killed, killing, loathe, loathed, loathing, murder, murdered, murdering, poison, "
    "poisoned, poisoning, punch, punched, punching, ruin, ruined, ruining, shoot, shot, "
    "shooting, slap, slapped, slapping, stink, stinking, wipe out, wiped out"
)

TERMS: tuple[str, ...] = (*_CONTEMPT, *_INSULTS, *_HOSTILITY)
"""The lexicon written by hand, lower-case."""
