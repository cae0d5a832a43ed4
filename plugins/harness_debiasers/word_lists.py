"""Counterparts: words that say the same of different groups, a row of them over the groups.

Race and religion are the rows of Meade et al. 2022 (after Manzini et al. 2019). The gender rows
were put together for this project from the usual pairs; where a word is in several rows, the
first is its counterpart in the clean variant and the last in the published behaviour, so that
``girl`` gives ``boy`` in the one and ``guy`` in the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from harness.data.domains import Domains
from harness.data.files import expanded
from harness.data.tabular import parse_json, read_utf8
from harness.data.terms import no_term, read_counterparts
from harness.errors import DataError, DebiasError
from harness.families import NOT_IN_KEY

LISTS_VERSION = "1"
"""Raised by each change of a list: part of the fingerprint of what uses one."""

MOST_BYTES = 16 << 20
"""Largest file of words that is read."""

NO_DOMAINS = Domains()

ANY_DOMAIN = "*"
"""Key of the rows of a file that names no domain."""

WordListFile = Annotated[
    Path | None,
    Field(
        description="your own rows of counterparts: CSV for one domain, or JSON by domain",
        json_schema_extra=NOT_IN_KEY,  # its words are in the fingerprint
    ),
]
"""Type of the setting that names your own list of words."""


class WordRows(NamedTuple):
    """Names of the roles, and rows with one word a role."""

    roles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def _rows(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(word.strip() for word in row.split("/")) for row in text.split(","))


WORD_ROWS: Mapping[str, WordRows] = {
    "gender": WordRows(
        ("men", "women"),
        _rows(
            "he/she, him/her, himself/herself, man/woman, men/women, boy/girl, boys/girls, "
            "male/female, males/females, father/mother, fathers/mothers, dad/mom, dads/moms, "
            "daddy/mommy, son/daughter, sons/daughters, brother/sister, brothers/sisters, "
            "husband/wife, husbands/wives, uncle/aunt, uncles/aunts, nephew/niece, "
            "nephews/nieces, grandfather/grandmother, grandfathers/grandmothers, "
            "grandpa/grandma, grandson/granddaughter, grandsons/granddaughters, "
            "boyfriend/girlfriend, boyfriends/girlfriends, stepfather/stepmother, "
            "stepson/stepdaughter, groom/bride, widower/widow, king/queen, kings/queens, "
            "prince/princess, princes/princesses, duke/duchess, actor/actress, actors/actresses, "
            "waiter/waitress, waiters/waitresses, host/hostess, steward/stewardess, "
            "landlord/landlady, businessman/businesswoman, businessmen/businesswomen, "
            "policeman/policewoman, policemen/policewomen, spokesman/spokeswoman, "
            "spokesmen/spokeswomen, salesman/saleswoman, salesmen/saleswomen, "
            "congressman/congresswoman, congressmen/congresswomen, schoolboy/schoolgirl, "
            "schoolboys/schoolgirls, gentleman/lady, gentlemen/ladies, monk/nun, monks/nuns, "
            "wizard/witch, wizards/witches, heir/heiress, hero/heroine, heroes/heroines, "
            "fatherhood/motherhood, manhood/womanhood, mr./mrs., sir/madam, "
            "lord/lady, guy/girl, guys/girls, mr./ms., sir/miss, his/hers, his/her"
        ),
    ),
    "race": WordRows(
        ("black people", "white people", "asian people"),
        _rows(
            "black/caucasian/asian, african/caucasian/asian, black/white/asian, "
            "africa/america/asia, africa/america/china, africa/europe/asia"
        ),
    ),
    "religion": WordRows(
        ("jewish people", "christians", "muslims"),
        _rows(
            "jewish/christian/muslim, jews/christians/muslims, torah/bible/quran, "
            "synagogue/church/mosque, rabbi/priest/imam, judaism/christianity/islam"
        ),
    ),
    "orientation": WordRows(
        ("gay people", "straight people"),
        _rows("gay/straight, gays/straights, homosexual/heterosexual, homosexuals/heterosexuals"),
    ),
    "age": WordRows(
        ("old people", "young people"),
        _rows("old/young, older/younger, oldest/youngest, elderly/youthful, elders/youngsters"),
    ),
}


def word_rows(domain: str, path: Path | None = None, domains: Domains = NO_DOMAINS) -> WordRows:
    """Return the counterparts of a domain: from a file, from the domain itself, or built in.

    A ``.json`` file maps domains to lists of rows, as bias-bench's ``bias_attribute_words.json``
    does. Any other is CSV, for one domain: a row a line, its words between commas, the names of
    the roles first; empty lines and lines that start with ``#`` are passed over.

    Args:
        domain: whose rows.
        path: the file, if one is given; nothing else is then looked at.
        domains: descriptions of domains, which may hold rows.

    Raises:
        DebiasError: there is no list for the domain, or the file cannot be read.
    """
    if path is not None:
        lists = _read(path)
        if ANY_DOMAIN in lists:
            return lists[ANY_DOMAIN]
        if domain not in lists:
            raise DebiasError(f"{path} has no rows for domain '{domain}' ({_names(lists)})")
        return lists[domain]
    of_domain = domains.get(domain)
    if of_domain is not None and of_domain.counterparts is not None:
        return WordRows(of_domain.counterparts.roles, of_domain.counterparts.rows)
    if domain not in WORD_ROWS:
        raise DebiasError(
            f"no word list for domain '{domain}' ({_names(WORD_ROWS)}); give one with "
            "word_lists: FILE, or give the domain counterparts in the spec's section 'domains'"
        )
    return WORD_ROWS[domain]


def rows_fingerprint(path: Path | None, domains: Domains = NO_DOMAINS) -> dict[str, JsonValue]:
    """Return the version of the built-in lists and the words of your own, for a content key.

    Raises:
        DebiasError: the file cannot be read.
    """
    rows: JsonValue = None
    if path is not None:
        lists = _read(path)
        rows = {
            domain: [list(row) for row in word_list.rows] for domain, word_list in lists.items()
        }
    elif any(domain.counterparts is not None for domain in domains.values()):
        rows = {
            domain.name: domain.counterparts.model_dump(mode="json")
            for domain in domains.values()
            if domain.counterparts is not None
        }
    return {"word_lists": LISTS_VERSION, "rows": rows}


def _names(lists: Mapping[str, WordRows]) -> str:
    return f"lists: {', '.join(sorted(lists))}"


def _read(path: Path) -> dict[str, WordRows]:
    path = expanded(path)
    try:
        if path.suffix.lower() == ".json":
            return _json_rows(path, parse_json(read_utf8(path, MOST_BYTES), str(path)))
        counterparts = read_counterparts(path, MOST_BYTES)
    except DataError as error:
        raise DebiasError(f"word_lists: {error}") from None
    rows = tuple(tuple(word.lower() for word in row) for row in counterparts.rows)
    return {ANY_DOMAIN: WordRows(counterparts.roles, rows)}


def _json_rows(path: Path, content: object) -> dict[str, WordRows]:
    try:
        lists = TypeAdapter(dict[str, list[tuple[str, ...]]]).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise DebiasError(
            f"{path}: {where}: {first['msg']}; rows of words by domain are needed: "
            '{"gender": [["he", "she"], ...]}'
        ) from None
    by_domain = {}
    for domain, rows in lists.items():
        plain = [tuple(word.strip().lower() for word in row) for row in rows]
        for number, row in enumerate(plain):
            if len(row) < 2 or not all(row) or len(row) != len(plain[0]):
                raise DebiasError(
                    f"{path}: {domain}.{number}: a row needs two words or more, as many as the "
                    "first row of its domain"
                )
            if (reason := next(filter(None, map(no_term, row)), None)) is not None:
                raise DebiasError(f"{path}: {domain}.{number}: {reason}")
        if not plain:
            raise DebiasError(f"{path}: {domain} has no rows")
        roles = tuple(f"group {k}" for k in range(1, len(plain[0]) + 1))
        by_domain[domain] = WordRows(roles, tuple(plain))
    return by_domain
