"""Explicit, versioned mask rules: what the paper's appendix A asks for in place of GPT-4."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue, model_validator

from harness.data import DataStore, Pin, verified
from harness.errors import DataError
from harness.families import Masker, PluginConfig
from harness.tabular import read_utf8
from harness.terms import TERMS_VERSION, attribute_terms
from harness.types import MaskedPassage, MaskRequest, Span
from harness_maskers import harm_lexicon
from harness_maskers.words import Rule, find_terms


def parse_terms(path: Path) -> Iterator[tuple[str, ...]]:
    """Rows (term,) of a list with one term a line; blank lines and # comments are skipped."""
    for line in read_utf8(path).splitlines():
        term = line.strip()
        if term and not term.startswith("#"):
            yield (term.lower(),)


LDNOOBW = Pin(
    name="ldnoobw-en",
    filename="wordlists/ldnoobw_en.txt",
    url="https://raw.githubusercontent.com/LDNOOBW/"
    "List-of-Dirty-Naughty-Obscene-and-Otherwise-Bad-Words/master/en",
    sha256=None,
    items_sha256="c4f49d7f8e9d6e5d2cb778a6880c5225bd2e67901e409d37453c10c93d0e23be",
    parse=parse_terms,
    licence="CC-BY-4.0",
    citation="Shutterstock, List of Dirty, Naughty, Obscene and Otherwise Bad Words",
)


class WordlistConfig(PluginConfig):
    """Which rules, and how words are matched."""

    rules: tuple[Literal["attribute", "harm", "file"], ...] = Field(
        ("attribute",),
        min_length=1,
        description="attribute: terms that name a group of the domain; harm: a lexicon of "
        "derogatory words; file: a list of your own",
    )
    harm_list: Literal["builtin", "ldnoobw"] = Field(
        "builtin", description="which harm lexicon: this project's, or LDNOOBW (CC-BY-4.0)"
    )
    path: Path | None = Field(None, description="your own list: UTF-8, one term a line")
    ignore_case: bool = Field(True, description="match whatever the letter case")
    inflect: bool = Field(True, description="also match regular plurals")

    @model_validator(mode="after")
    def _file_named(self) -> WordlistConfig:
        if ("file" in self.rules) != (self.path is not None):
            raise ValueError("rule 'file' and 'path' go together")
        return self


class Wordlist(Masker[WordlistConfig]):
    """Masks the words of lists."""

    name = "wordlist"
    summary = "Masks words of explicit lists: group terms, a harm lexicon, or your own."
    reference = "Lu et al. 2024, appendix A (mask rules); the lists are this project's"
    Config = WordlistConfig
    pins = (LDNOOBW,)

    def fingerprint(self, data: DataStore) -> Mapping[str, JsonValue]:
        """Versions of the built-in lists and the hash of a file."""
        found: dict[str, JsonValue] = {}
        for rule in self.config.rules:
            if rule == "attribute":
                found[rule] = TERMS_VERSION
            else:
                listed = self._rule(rule, "", data)
                digest = hashlib.sha256("\n".join(listed.terms).encode()).hexdigest()
                found[rule] = f"{listed.name}:{digest}"
        return found

    def mask(self, request: MaskRequest) -> Sequence[MaskedPassage]:
        """See `Masker.mask`."""
        rules = [self._rule(kind, request.domain, request.data) for kind in self.config.rules]
        found = []
        for done, passage in enumerate(request.passages, start=1):
            matches = find_terms(
                passage.text,
                rules,
                ignore_case=self.config.ignore_case,
                inflect=self.config.inflect,
            )
            spans = tuple(
                Span(start=m.start, end=m.end, kind=m.rule.kind, reason=f"{m.rule.name}: {m.term}")
                for m in matches
            )
            found.append(MaskedPassage(passage=passage, spans=spans))
            request.progress(done, len(request.passages), "masking")
        return found

    def _rule(self, kind: str, domain: str, data: DataStore) -> Rule:
        if kind == "attribute":
            return Rule(kind, f"{TERMS_VERSION}/{domain}", attribute_terms(domain))
        if kind == "file":
            return self._file_rule()
        if self.config.harm_list == "builtin":
            return Rule(kind, harm_lexicon.VERSION, harm_lexicon.TERMS)
        rows = verified(LDNOOBW, data.locate(LDNOOBW))
        return Rule(kind, LDNOOBW.name, tuple(dict.fromkeys(row[0] for row in rows)))

    def _file_rule(self) -> Rule:
        path = self.config.path
        assert path is not None  # the config's validator
        if not path.is_file():
            raise DataError(f"{path}: no such word list")
        terms = tuple(dict.fromkeys(row[0] for row in parse_terms(path)))
        if not terms:
            raise DataError(f"{path}: the word list has no term; give one a line")
        return Rule("file", path.name, terms)
