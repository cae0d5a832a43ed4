"""Explicit, versioned mask rules, which the paper's appendix A asks for in place of GPT-4."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from harness.data.files import expanded, is_file, shown
from harness.data.pins import Pin, verified
from harness.data.places import DataStore
from harness.data.terms import read_terms
from harness.errors import DataError
from harness.families import NOT_IN_KEY, Masker, PluginConfig
from harness.types import MaskedPassage, MaskRequest, Span
from harness_maskers import harm_lexicon
from harness_maskers.words import MATCHING_VERSION, Matcher, Rule


def parse_terms(path: Path) -> Iterator[tuple[str, ...]]:
    """Yield a row (term,) for each line of a word list, without blank lines and # comments."""
    yield from ((term,) for term in read_terms(path))


LDNOOBW = Pin(
    name="ldnoobw-en",
    filename="wordlists/ldnoobw_en.txt",
    url="https://raw.githubusercontent.com/LDNOOBW/"
    "List-of-Dirty-Naughty-Obscene-and-Otherwise-Bad-Words/"
    "5faf2ba42d7b1c0977169ec3611df25a3c08eb13/en",
    sha256="af851ecef1d5f212caba17339b12ac39cc2fef7d78c74876f67237644fcee8bd",
    items_sha256="c4f49d7f8e9d6e5d2cb778a6880c5225bd2e67901e409d37453c10c93d0e23be",
    parse=parse_terms,
    licence="CC-BY-4.0",
    homepage="https://github.com/LDNOOBW",
    n_items=403,
    defects="profanity of every sort: most terms insult no group, and it holds no plain insults",
    citation="Shutterstock, List of Dirty, Naughty, Obscene and Otherwise Bad Words",
)


BOTH = ("attribute", "harm")
"""The rules that the name ``both`` means."""


class WordlistConfig(PluginConfig):
    """The rules, and how words are matched."""

    rules: tuple[Literal["attribute", "harm", "file"], ...] = Field(
        ("attribute",),
        min_length=1,
        description="attribute: terms that name a group of the domain; harm: a lexicon of "
        "derogatory words; both: these two; file: a list of your own. One name, or a list. Where "
        "matches overlap, the longest wins, then the earliest, then the rule named first here",
    )
    harm_list: Literal["dghs", "builtin", "ldnoobw"] = Field(
        "dghs",
        description="which harm lexicon: words that separate hateful from other passages of DGHS "
        "(CC-BY-4.0); this project's own insults, which do not; or LDNOOBW (CC-BY-4.0)",
    )
    path: Path | None = Field(
        None,
        description="your own list: UTF-8, one term a line, # comments",
        json_schema_extra=NOT_IN_KEY,
    )
    ignore_case: bool = Field(True, description="match whatever the letter case")
    inflect: bool = Field(
        True, description="also match plurals of a term's last word, and terms before 's"
    )

    @field_validator("rules", mode="before")
    @classmethod
    def _named(cls, rules: object) -> object:
        """Accept one name in place of a list, and ``both`` for the rules that it means."""
        listed = [rules] if isinstance(rules, str) else rules
        if not isinstance(listed, (list, tuple)):
            return rules
        return [name for rule in listed for name in (BOTH if rule == "both" else (rule,))]

    @model_validator(mode="after")
    def _consistent(self) -> WordlistConfig:
        if ("file" in self.rules) != (self.path is not None):
            raise ValueError("rule 'file' and 'path' go together: give both or neither")
        if len(set(self.rules)) != len(self.rules):
            raise ValueError("a rule is named twice")
        return self


class Wordlist(Masker[WordlistConfig]):
    """Masks the words of lists."""

    name = "wordlist"
    seeded = False
    summary = "Masks words of explicit lists: group terms, a harm lexicon, or your own."
    reference = "Lu et al. 2024, appendix A (mask rules); the lists are this project's"
    pins = (LDNOOBW,)

    def reads(self) -> Sequence[tuple[Pin, str | None]]:
        """LDNOOBW if the harm rule uses it; ``path`` names a word list, not a data set."""
        used = "harm" in self.config.rules and self.config.harm_list == "ldnoobw"
        return [(LDNOOBW, None)] if used else []

    def fingerprint(self, data: DataStore) -> Mapping[str, JsonValue]:
        """Return versions of the lists, hashes of list files, and the version of the matching."""
        versions: dict[str, JsonValue] = {"matching": MATCHING_VERSION}
        for rule in self.config.rules:
            if rule == "attribute":
                versions[rule] = data.domains.terms_digest()
            else:
                listed = self._rule(rule, "", data)
                name = rule if rule == "file" else listed.name  # a file is known by its words
                versions[rule] = f"{name}:{_digest(listed.terms)}"
        return versions

    def mask(self, request: MaskRequest) -> Sequence[MaskedPassage]:
        """Mask the terms of all rules; see `Matcher` for what counts as a match."""
        rules = [self._rule(kind, request.domain, request.data) for kind in self.config.rules]
        matcher = Matcher(rules, ignore_case=self.config.ignore_case, inflect=self.config.inflect)
        answers = []
        for done, passage in enumerate(request.passages, start=1):
            spans = tuple(
                Span(start=m.start, end=m.end, kind=m.rule.kind, reason=f"{m.rule.name}: {m.term}")
                for m in matcher.find(passage.text)
            )
            answers.append(MaskedPassage(passage=passage, spans=spans))
            request.progress(done, len(request.passages), "masking")
        return answers

    def _rule(self, kind: str, domain: str, data: DataStore) -> Rule:
        if kind == "attribute":
            return Rule(kind, f"{domain} terms", data.domains.attribute_terms(domain))
        if kind == "file":
            assert self.config.path is not None  # the config's validator
            return _file_rule(self.config.path)
        if self.config.harm_list == "dghs":
            terms = tuple(harm_lexicon.derived_terms())
            return Rule(kind, f"DGHS harm lexicon (sha256 {_digest(terms)[:12]})", terms)
        if self.config.harm_list == "builtin":
            return Rule(kind, f"harm lexicon {harm_lexicon.VERSION}", harm_lexicon.TERMS)
        return _list_rule(kind, LDNOOBW.name, verified(LDNOOBW, data.locate(LDNOOBW)))


def _file_rule(path: Path) -> Rule:
    path = expanded(path)
    if not is_file(path):
        raise DataError(f"{shown(path)}: no such word list; check 'path' of the masker 'wordlist'")
    rows = tuple(parse_terms(path))
    return _list_rule("file", path.name, rows)


def _list_rule(kind: str, name: str, rows: Sequence[tuple[str, ...]]) -> Rule:
    """Return a rule whose name contains a hash of its terms, as files have no version."""
    terms = tuple(dict.fromkeys(row[0] for row in rows))
    return Rule(kind, f"{name} (sha256 {_digest(terms)[:12]})", terms)


def _digest(terms: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(terms).encode()).hexdigest()
