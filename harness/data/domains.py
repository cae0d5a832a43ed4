"""Bias domains: what a domain is, and the collection of those that a run knows.

No list of domains is kept here. Plugins provide domains through the hook ``harness_domains``, and
a spec adds more in its section ``domains``. A request's ``data.domains`` holds all of them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from harness.errors import DataError, SpecError, did_you_mean

NO_DOMAIN = "none"
"""The domain of texts and measurements that concern no group (plain text, perplexity)."""

OVERALL = "overall"
"""The domain of a measurement over all domains of a suite together."""

_NAME = re.compile(r"[^\W_][\w.-]*")


class Counterparts(BaseModel):
    """Words that say the same of different groups: one row a meaning, one word a group."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    roles: Annotated[tuple[str, ...], Field(min_length=2, description="the groups, in order")]
    rows: Annotated[
        tuple[tuple[str, ...], ...], Field(min_length=1, description="a word for each role")
    ]

    @field_validator("rows")
    @classmethod
    def _plain_rows(
        cls, rows: tuple[tuple[str, ...], ...], info: ValidationInfo
    ) -> tuple[tuple[str, ...], ...]:
        roles = info.data.get("roles", ())
        plain = tuple(tuple(_plain(word) for word in row) for row in rows)
        for number, row in enumerate(plain, start=1):
            if len(row) != len(roles) or not all(row):
                raise ValueError(f"row {number} needs one word for each of {len(roles)} roles")
        return plain


class Domain(BaseModel):
    """A social dimension along which a model can be biased, such as gender or caste.

    Attributes:
        name: how specs and tables name it: letters, digits, ``-``, ``.`` and ``_``.
        description: a few words for people, and for maskers that ask a language model.
        terms: for each group, the words that name it: lower case, singular and plural both. The
            group ``any`` holds words that name no single group. Empty: the domain has no lists.
        counterparts: words that methods such as CDA exchange; None: there are none.
        in_groups: groups of ``terms`` that bias is rarely directed against, such as men. Their
            terms alone do not make a passage of a pure source.
        everyday: True if many terms are everyday words (old, poor, child), so that a text with
            one of them need not be about the domain.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str = ""
    terms: Mapping[str, tuple[str, ...]] = {}
    counterparts: Counterparts | None = None
    in_groups: tuple[str, ...] = ()
    everyday: bool = False

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if name in (NO_DOMAIN, OVERALL):
            raise ValueError(f"'{name}' has a meaning of its own; choose another name")
        if not _NAME.fullmatch(name):
            raise ValueError(f"'{name}' is not a name: letters, digits, '-', '.' and '_' only")
        return name

    @field_validator("terms")
    @classmethod
    def _plain_terms(cls, terms: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        plain = {}
        for group, words in terms.items():
            if not group.strip():
                raise ValueError("a group of terms has no name")
            plain[group] = tuple(dict.fromkeys(_plain(word) for word in words))
            if not plain[group] or not all(plain[group]):
                raise ValueError(f"group '{group}' has no term, or an empty one")
        return plain

    @field_validator("in_groups")
    @classmethod
    def _known_groups(cls, groups: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        known = info.data.get("terms", {})
        for group in groups:
            if group not in known:
                raise ValueError(f"in_groups: there is no group '{group}'")
        return groups

    def attribute_terms(self) -> tuple[str, ...]:
        """Return the terms of all groups, each once, in a fixed order."""
        return tuple(dict.fromkeys(term for words in self.terms.values() for term in words))

    def terms_digest(self) -> str:
        """Return a SHA-256 of the groups and their terms, for content keys and messages."""
        return _digest([[group, *words] for group, words in self.terms.items()])


class Domains(Mapping[str, Domain]):
    """The domains that a run knows, by name and in a fixed order. Immutable."""

    def __init__(self, domains: Iterable[Domain] = ()) -> None:
        self._domains = {domain.name: domain for domain in domains}

    def __getitem__(self, name: str) -> Domain:
        return self._domains[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._domains)

    def __len__(self) -> int:
        return len(self._domains)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash(_digest([domain.model_dump(mode="json") for domain in self.values()]))

    def __or__(self, other: Iterable[Domain] | Domains) -> Domains:
        """Return the domains of both; where both have a name, the right one counts."""
        more = other.values() if isinstance(other, Domains) else other
        return Domains([*self.values(), *more])

    def only(self, *names: str) -> Domains:
        """Return the domains of these names that are known."""
        return Domains(self[name] for name in names if name in self)

    def describe(self, name: str) -> str:
        """Return the description of a domain; its name where it has none."""
        known = self.get(name)
        return name if known is None else known.description or name

    def term_groups(self, name: str) -> Mapping[str, tuple[str, ...]]:
        """Return a domain's term lists by group (``any``: words that name no single group).

        Raises:
            DataError: the domain has no list; says which have.
        """
        asked = self.get(name)
        if asked is None or not asked.terms:
            have = ", ".join(domain.name for domain in self.values() if domain.terms) or "none"
            raise DataError(
                f"domain '{name}' has no attribute terms (domains with lists: {have}); give it "
                "terms in the spec's section 'domains'"
            )
        return asked.terms

    def attribute_terms(self, name: str) -> tuple[str, ...]:
        """Return all terms that name a group of a domain, in a fixed order.

        Raises:
            DataError: the domain has no list; says which have.
        """
        self.term_groups(name)
        return self[name].attribute_terms()

    def told_apart_from(self, name: str) -> Domains:
        """Return the domains whose terms show that a text is about something else than ``name``.

        These are the domains with term lists that share no term with ``name`` and whose terms are
        not everyday words: race and nationality, for instance, share terms.
        """
        terms = set(self[name].attribute_terms()) if name in self else set()
        return Domains(
            domain
            for domain in self.values()
            if domain.name != name
            and domain.terms
            and not domain.everyday
            and terms.isdisjoint(domain.attribute_terms())
        )

    def terms_digest(self) -> str:
        """Return a SHA-256 of all term lists, for content keys.

        Plugins that read term lists put it into their fingerprint. The planner shows them the
        source domain alone, so that another domain's list cannot change the key.
        """
        return _digest(sorted([domain.name, domain.terms_digest()] for domain in self.values()))


def check_domain(name: str, known: Iterable[str]) -> str:
    """Return the name if it is a known domain.

    Raises:
        SpecError: it is not known; says which names are near, and how to add a domain.
    """
    names = list(known)
    if name not in names:
        raise SpecError(
            f"unknown domain '{name}'{did_you_mean(name, names)}; "
            "a spec can add a domain in its section 'domains'"
        )
    return name


def _plain(term: str) -> str:
    return " ".join(term.lower().split())


def _digest(value: object) -> str:
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
