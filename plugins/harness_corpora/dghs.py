"""``dghs``: Dynamically Generated Hate Speech (Vidgen et al. 2021, v0.2.3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from harness.data.aliases import Aliases
from harness.data.domains import NO_DOMAIN, Domains
from harness.data.near_duplicates import near_duplicates
from harness.data.pins import Pin, Row
from harness.data.places import DataStore
from harness.data.tabular import read_csv, require_text
from harness.data.terms import term_pattern
from harness.errors import DataError, did_you_mean
from harness.families import Corpus, PinnedConfig, pinned_rows
from harness.types import Label, Passage, PassageRequest, Placing, Split
from harness_corpora.choosing import choose
from harness_corpora.terms import TERMS

LABELS: Mapping[str, Label] = {"hate": "hateful", "nothate": "non-hateful"}
SPLITS = ("train", "dev", "test")
NEAR_HATEFUL = 0.4
"""Jaccard similarity of word trigrams from which a non-hateful text repeats a hateful one."""

# Codes as the files spell them and, where they differ, as the data set's README does. Women of a
# group count in both domains. Gay men and gay women are attacked for their orientation: they
# count there alone, as do trans people under gender-identity. Jews count under religion,
# as in CrowS-Pairs and StereoSet; Arabs under race. Nazis, Hitler and the like are praised
# there, not attacked: they have no domain.
CODES = Aliases(
    "dghs",
    {
        "wom": "gender/women",
        "trans": "gender-identity/trans people",
        "gendermin": "gender-identity/gender minorities",
        "gay": "orientation/gay people",
        "gay.man": "orientation/gay people",
        "gayman": "orientation/gay people",
        "gay.wom": "orientation/gay people",
        "gaywom": "orientation/gay people",
        "bis": "orientation/bisexual people",
        "lgbtq": "orientation + gender-identity",
        "bla": "race/black people",
        "bla.wom": "race/black people + gender/women",
        "blawom": "race/black people + gender/women",
        "bla.man": "race/black people + gender/men",
        "blaman": "race/black people + gender/men",
        "african": "race/black people",
        "non.white": "race",
        "non-white": "race",
        "mixed.race": "race",
        "mixed": "race",
        "ethnic.minority": "race",
        "ethnic minority": "race",
        "indig": "race/indigenous people",
        "indig.wom": "race/indigenous people + gender/women",
        "indigwom": "race/indigenous people + gender/women",
        "trav": "race/roma and travellers",
        "arab": "race/arabs",
        "hispanic": "race/hispanic people",
        "asi": "race/asian people",
        "asi.wom": "race/asian people + gender/women",
        "asiwom": "race/asian people + gender/women",
        "asi.east": "race/asian people",
        "east": "race/asian people",
        "asi.south": "race/asian people",
        "south": "race/asian people",
        "asi.chin": "race/asian people",
        "chinese": "race/asian people",
        "asi.pak": "race/asian people",
        "pak": "race/asian people",
        "mus": "religion/muslims",
        "mus.wom": "religion/muslims + gender/women",
        "muswom": "religion/muslims + gender/women",
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
    },
)
"""The places of each target code."""

GROUPS = frozenset(group for domain in CODES.all_domains() for group in TERMS[domain])


def parse(path: Path) -> Iterator[Row]:
    """Yield ``(id, text, label, split, target)`` of the canonical or the reduced CSV.

    The id is ``acl.id`` where it is filled, else the number of the row from 0.

    Raises:
        DataError: wrong columns, an unknown label or split, an empty text.
    """
    for index, (line, values) in enumerate(read_csv(path, ("text", "label", "split", "target"))):
        if values["label"] not in LABELS or values["split"] not in SPLITS:
            raise DataError(
                f"{path}: line {line}: label {values['label']!r}, split {values['split']!r}; "
                f"known: {', '.join(LABELS)}; {', '.join(SPLITS)}"
            )
        yield (
            values.get("acl.id") or f"row{index}",
            require_text(path, line, values["text"]),
            values["label"],
            values["split"],
            values["target"],
        )


DGHS = Pin(
    name="dghs",
    filename="dghs/dghs.csv",
    url=(
        "https://raw.githubusercontent.com/bvidgen/Dynamically-Generated-Hate-Speech-Dataset/"
        "dcc7603e13172221a964eaf3f93d9d5460dc4e08/"
        "Dynamically%20Generated%20Hate%20Dataset%20v0.2.3.csv"
    ),
    # The canonical bytes are known by git's id; the items are those of the reduced copy, whose
    # texts differ (see defects), so the two are distinguished and both are known.
    sha256=None,
    git_blob="0e7730bfddf201bd5784c2f9ae9b0de7a9fcae54",
    items_sha256="5cfa5e7ecd0715fdeb3705c55e005a769a01d6fcd8947e5c136b5aebf14e43f1",
    n_items=41130,
    parse=parse,
    licence="CC-BY-4.0 (as cited by others)",
    citation="Vidgen et al. 2021, Learning from the Worst, ACL",
    homepage="https://github.com/bvidgen/Dynamically-Generated-Hate-Speech-Dataset",
    defects=(
        "361 texts hold a bare carriage return; the first round has no target codes; a reduced "
        "copy lacks 14 rows, has codes for dev and test only, and mentions and URLs replaced"
    ),
)


class DghsConfig(PinnedConfig):
    """How a text is placed in a domain, and which texts are left out."""

    select_by: Annotated[
        Literal["auto", "codes", "terms"],
        Field(
            description="codes: the annotators' target codes; terms: any mention of an attribute "
            "term of the domain; auto: codes where a row has them, terms elsewhere (non-hateful "
            "rows never have codes)"
        ),
    ] = "auto"
    groups: Annotated[
        tuple[str, ...],
        Field(
            description="only passages about these groups, such as women; a domain that has none "
            "of them is left whole; empty: all groups"
        ),
    ] = ()
    pure: Annotated[
        bool,
        Field(
            description="only passages that mention no other domain and that more than an "
            "in-group (men) places in this one; domain 'none': only passages that mention no group"
        ),
    ] = False
    near_hateful: Annotated[
        Literal["keep", "leave out", "only"],
        Field(
            description="non-hateful passages that nearly repeat a hateful training passage of "
            "the domain (44 % do: writers changed a few words): keep all; leave them out, for a "
            "control that is far from the unlearned texts; only: these alone, for a control that "
            "is matched with them"
        ),
    ] = "keep"
    dev: Annotated[
        Literal["leave", "train", "test"], Field(description="the split that dev rows join")
    ] = "leave"

    @field_validator("groups")
    @classmethod
    def _known_groups(cls, groups: tuple[str, ...]) -> tuple[str, ...]:
        for group in groups:
            if group not in GROUPS:
                raise ValueError(f"unknown group '{group}'{did_you_mean(group, GROUPS)}")
        return groups

    def split(self, split: str) -> Split | None:
        """Return the split that a row of the file belongs to; None: it is left out."""
        if split == "dev":
            return None if self.dev == "leave" else self.dev
        return "train" if split == "train" else "test"

    def coded(self, target: str) -> tuple[str, ...] | None:
        """Return the places that the codes name; None: they say nothing, and terms decide."""
        if self.select_by == "terms":
            return None
        places = places_of(target)
        return places if places is not None or self.select_by == "auto" else ()


class Dghs(Corpus[DghsConfig]):
    """Hateful and non-hateful texts that people wrote to fool a classifier, rounds 1 to 4.

    ``Passage.group`` says what placed a text: ``code:bla.wom`` or ``term:women``. Domain ``none``
    holds the non-hateful texts, with ``pure`` only those that mention no group.
    """

    name = "dghs"
    summary = "Dynamically Generated Hate Speech: hateful and non-hateful texts, by target"
    reference = "Vidgen et al. 2021, https://aclanthology.org/2021.acl-long.132"
    domains: ClassVar[frozenset[str]] = CODES.all_domains() | {NO_DOMAIN}
    pins = (DGHS,)

    def passages(self, request: PassageRequest) -> Sequence[Passage]:
        """Return the passages of a domain, split and label, in the order of the file.

        Raises:
            DataError: the data is missing, altered or malformed, or holds no such passage.
        """
        if request.domain not in self.domains:
            return choose(self.name, (), request, domains=self.domains, train_texts=list)
        rows, config = pinned_rows(DGHS, self.config, request.data), self.config
        domains = request.data.domains

        def placed(label: Label, split: Split) -> tuple[Passage, ...]:
            return _placed(rows, config, request.domain, label, split, domains)

        passages = placed(request.label, request.split)
        if config.near_hateful != "keep" and request.label == "non-hateful":
            hateful = (
                _labelled(rows, config, "hateful")
                if request.domain == NO_DOMAIN
                else [passage.text for passage in placed("hateful", "train")]
            )
            near = near_duplicates([p.text for p in passages], hateful, NEAR_HATEFUL)
            wanted = config.near_hateful == "only"
            passages = tuple(p for p, close in zip(passages, near, strict=True) if close is wanted)
        return choose(
            self.name,
            passages,
            request,
            domains=self.domains,
            train_texts=lambda: _labelled(rows, config, request.label),
        )

    def placings(self, domain: str, data: DataStore) -> Sequence[Placing]:
        """Return what the terms alone say of each hateful row with codes; see `Corpus.placings`."""
        by_terms = self.config.model_copy(update={"select_by": "terms"})
        place = _placer(by_terms, domain, data.domains)
        return [
            Placing(frozenset(p.partition("/")[0] for p in places), place(text, "") is not None)
            for _, text, label, _, target in pinned_rows(DGHS, self.config, data)
            if LABELS[label] == "hateful" and (places := places_of(target)) is not None
        ]


def places_of(target: str) -> tuple[str, ...] | None:
    """Return the places that a row's target codes name; None where no code is known.

    A row without codes, with ``none`` or with unknown codes says nothing about its target.
    """
    codes = [code for part in target.split(",") if (code := part.strip().lower()) in CODES]
    return tuple(place for code in codes for place in CODES[code]) if codes else None


@lru_cache(maxsize=8)
def _labelled(rows: tuple[Row, ...], config: DghsConfig, label: Label) -> list[str]:
    """The training texts of a label, of all domains."""
    return [
        text
        for _, text, text_label, split, _ in rows
        if LABELS[text_label] == label and config.split(split) == "train"
    ]


@lru_cache(maxsize=64)
def _placed(
    rows: tuple[Row, ...],
    config: DghsConfig,
    domain: str,
    label: Label,
    split: Split,
    domains: Domains,
) -> tuple[Passage, ...]:
    """The passages of a domain, label and split, in the order of the file."""
    place = _neutral(config, domains) if domain == NO_DOMAIN else _placer(config, domain, domains)
    if domain == NO_DOMAIN and label == "hateful":
        return ()
    return tuple(
        Passage(
            id=f"dghs/{id_}",
            text=text,
            domain=domain,
            group=why or None,
            label=label,
            split=split,
        )
        for id_, text, own_label, own_split, target in rows
        if LABELS[own_label] == label
        and config.split(own_split) == split
        and (why := place(text, target)) is not None
    )


Placer = Callable[[str, str], str | None]
"""From a text and its target codes to what places it; None: it is not of the domain."""


def _neutral(config: DghsConfig, domains: Domains) -> Placer:
    if not config.pure:
        return lambda text, target: ""
    groups = term_pattern(
        term for of_domain in domains.values() for term in of_domain.attribute_terms()
    )
    return lambda text, target: None if groups.search(text) else ""


def _placer(config: DghsConfig, domain: str, domains: Domains) -> Placer:
    mentions = Mentions(domains, domain, config.groups, without_in_groups=config.pure)
    others = other_terms(domains, domain)

    def place(text: str, target: str) -> str | None:
        places = config.coded(target)
        if places is None:
            group = mentions.group(text)
            why = None if group is None else f"term:{group}"
        else:
            why = f"code:{target}" if mentions.covers(places) else None
        if config.pure and why is not None:
            coded = {place.partition("/")[0] for place in places or ()}
            if coded - {domain} or others.search(text):
                return None
        return why

    return place


def other_terms(domains: Domains, domain: str) -> re.Pattern[str]:
    """Return a pattern of the terms that show that a text is about another domain too."""
    others = domains.told_apart_from(domain)
    return term_pattern(
        term for of_domain in others.values() for term in of_domain.attribute_terms()
    )


class Mentions:
    """Tells whether a text or a code is about a domain, or about those groups of it that count."""

    def __init__(
        self,
        domains: Domains,
        domain: str,
        groups: Sequence[str] = (),
        *,
        without_in_groups: bool = False,
    ) -> None:
        lists = domains.term_groups(domain)
        left_out = domains[domain].in_groups if without_in_groups else ()
        asked = [group for group in groups if group in lists]
        self.domain = domain
        self._asked = frozenset(asked)
        self._left_out = frozenset(left_out)
        self._group_of = {
            term: group for group, terms in lists.items() if self._counts(group) for term in terms
        }
        self._pattern = term_pattern(self._group_of)

    def group(self, text: str) -> str | None:
        """Return the group of the first term in the text, or None."""
        match = self._pattern.search(text)
        return None if match is None else self._group_of[" ".join(match[0].lower().split())]

    def covers(self, places: Sequence[str]) -> bool:
        """Return whether a place (``domain`` or ``domain/group``) is among what counts."""
        for place in places:
            domain, _, group = place.partition("/")
            if domain == self.domain and self._counts(group):
                return True
        return False

    def _counts(self, group: str) -> bool:
        """Return whether a group counts; without ``groups``, all but the left-out ones do."""
        return group not in self._left_out and (not self._asked or group in self._asked)
