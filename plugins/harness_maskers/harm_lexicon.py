"""Words that belittle or threaten. Content note: derogatory and violent words, no slurs.

Written for this project: insults, words of contempt, and verbs of hostility in their forms
(plurals and -s come from inflection). Slurs for a group are left out; lists of others hold some
(see ``harm_list: ldnoobw``). Words that insult only in some contexts (``control``, ``thick``) are
left out too: most of what is hateful in DGHS is said without any of these words.
"""

from __future__ import annotations

VERSION = "2"
"""Raised by each change of the list: it enters the content key of whatever used it."""


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
"""The whole lexicon, lower-case."""
