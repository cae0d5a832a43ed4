"""Canonical bias domains, and the alias that each data set uses for them.

Terms that name the groups of a domain are in `harness.data.terms`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.data.terms import TERMS_VERSION, attribute_terms, term_groups
from harness.errors import DataError, SpecError, did_you_mean

__all__ = [
    "ALIASES",
    "DOMAINS",
    "NO_DOMAIN",
    "TERMS_VERSION",
    "attribute_terms",
    "check_domain",
    "domain_of",
    "domains_of",
    "groups_of",
    "term_groups",
]

NO_DOMAIN = "none"
"""The domain of texts and measurements that are about no group (plain text, perplexity)."""

OVERALL = "overall"
"""The domain of a measurement over all domains of a suite together."""

DOMAINS: dict[str, str] = {
    "gender": "women, men, and gender identity as the data set draws it",
    "race": "race, colour and ethnicity",
    "religion": "religious groups",
    "orientation": "sexual orientation",
    "gender-identity": "trans and non-binary people, where a data set keeps them apart",
    "disability": "physical and mental disability",
    "age": "old and young people",
    "nationality": "nationality, immigrants and refugees",
    "appearance": "physical appearance",
    "socioeconomic": "class, income, occupation status",
    "profession": "occupations (StereoSet's fourth domain)",
}


def check_domain(name: str, known: Iterable[str] = DOMAINS) -> str:
    """Return the name if it is a known domain.

    Raises:
        SpecError: it is not; says which is near.
    """
    names = list(known)
    if name not in names:
        raise SpecError(f"unknown domain '{name}'{did_you_mean(name, names)}")
    return name


_CROWS_PAIRS = {
    "gender": "gender",
    "race-color": "race",
    "religion": "religion",
    "sexual-orientation": "orientation",
    "disability": "disability",
    "age": "age",
    "nationality": "nationality",
    "physical-appearance": "appearance",
    "socioeconomic": "socioeconomic",
}

_STEREOSET = {name: name for name in ("gender", "race", "religion", "profession")}

_HATECHECK = {
    "women": "gender/women",
    "trans people": "gender-identity/trans people",
    "gay people": "orientation/gay people",
    "black people": "race/black people",
    "disabled people": "disability/disabled people",
    "Muslims": "religion/muslims",
    "immigrants": "nationality/immigrants",
}

_REDDITBIAS = {
    "gender": "gender/women",
    "race": "race/black people",
    "religion1": "religion/jews",
    "religion2": "religion/muslims",
    "orientation": "orientation/gay people",
}

# Codes as the files spell them and, where they differ, as the data set's README does. Women of a
# group stand for both domains. Gay men and gay women are attacked for their orientation: they
# count there alone, as do trans people under gender-identity. Jews are placed under religion,
# as CrowS-Pairs and StereoSet do; Arabs under race. Nazis, Hitler and the like are praised
# there, not attacked: they have no domain.
_DGHS: dict[str, str] = {
    "wom": "gender/women",
    "trans": "gender-identity/trans people",
    "gendermin": "gender-identity/gender minorities",
    "gay": "orientation/gay people",
    "gay.man": "orientation/gay people",
    "gayman": "orientation/gay people",
    "gay.wom": "orientation/gay people",
    "gaywom": "orientation/gay people",
    "bis": "orientation/bisexual people",
    "lgbtq": "orientation gender-identity",
    "bla": "race/black people",
    "bla.wom": "race/black people gender/women",
    "blawom": "race/black people gender/women",
    "bla.man": "race/black people gender/men",
    "blaman": "race/black people gender/men",
    "african": "race/black people",
    "non.white": "race",
    "non-white": "race",
    "mixed.race": "race",
    "mixed": "race",
    "ethnic.minority": "race",
    "ethnic minority": "race",
    "indig": "race/indigenous people",
    "indig.wom": "race/indigenous people gender/women",
    "indigwom": "race/indigenous people gender/women",
    "trav": "race/roma and travellers",
    "arab": "race/arabs",
    "hispanic": "race/hispanic people",
    "asi": "race/asian people",
    "asi.wom": "race/asian people gender/women",
    "asiwom": "race/asian people gender/women",
    "asi.east": "race/asian people",
    "east": "race/asian people",
    "asi.south": "race/asian people",
    "south": "race/asian people",
    "asi.chin": "race/asian people",
    "chinese": "race/asian people",
    "asi.pak": "race/asian people",
    "pak": "race/asian people",
    "mus": "religion/muslims",
    "mus.wom": "religion/muslims gender/women",
    "muswom": "religion/muslims gender/women",
    "jew": "religion/jews",
    "other.religion": "religion",
    "dis": "disability/disabled people",
    "immig": "nationality/immigrants",
    "ref": "nationality/refugees",
    "asylum": "nationality/refugees",
    "for": "nationality/foreigners",
    "eastern.europe": "nationality",
    "eastern european": "nationality",
    "russian": "nationality",
    "pol": "nationality",
    "other.national": "nationality",
    "old.people": "age/old people",
    "old": "age/old people",
    "wc": "socioeconomic",
    "working": "socioeconomic",
    "nazis": "",
    "nazi": "",
    "hitler": "",
    "other.glorification": "",
}


def _split(places: str) -> tuple[str, ...]:
    """Split ``race/black people gender/women`` at each known domain name."""
    found: list[str] = []
    for word in places.split():
        if word.partition("/")[0] in DOMAINS:
            found.append(word)
        else:
            found[-1] += f" {word}"
    return tuple(found)


ALIASES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    dataset: {alias: _split(places) for alias, places in table.items()}
    for dataset, table in {
        "crows-pairs": _CROWS_PAIRS,
        "stereoset": _STEREOSET,
        "hatecheck": _HATECHECK,
        "redditbias": _REDDITBIAS,
        "dghs": _DGHS,
    }.items()
}
"""For each data set: alias to places, each ``domain`` or ``domain/group``."""


def groups_of(dataset: str, alias: str) -> tuple[str, ...]:
    """Return the places (``domain`` or ``domain/group``) behind an alias of a data set.

    An alias may be a comma-separated list (DGHS: ``bla, hispanic``); letter case is the data
    set's own.

    Raises:
        DataError: the data set has no alias table, or an alias is not in it.
    """
    if dataset not in ALIASES:
        hint = did_you_mean(dataset, ALIASES)
        raise DataError(f"no domain aliases for data set '{dataset}'{hint}")
    table = ALIASES[dataset]
    found: dict[str, None] = {}
    for part in alias.split(","):
        name = part.strip()
        if name not in table:
            raise DataError(f"{dataset}: unknown domain alias '{name}'{did_you_mean(name, table)}")
        found.update(dict.fromkeys(table[name]))
    return tuple(found)


def domains_of(dataset: str, alias: str) -> tuple[str, ...]:
    """Return the canonical domains behind an alias; empty where the alias is about no group.

    Raises:
        DataError: see `groups_of`.
    """
    return tuple(dict.fromkeys(place.partition("/")[0] for place in groups_of(dataset, alias)))


def domain_of(dataset: str, alias: str) -> str:
    """Return the one canonical domain behind an alias.

    Raises:
        DataError: see `groups_of`; or the alias has no domain, or several.
    """
    domains = domains_of(dataset, alias)
    if len(domains) != 1:
        found = ", ".join(domains) or "none"
        raise DataError(f"{dataset}: alias '{alias}' has not one domain but: {found}")
    return domains[0]
