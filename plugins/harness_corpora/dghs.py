"""``dghs``: Dynamically Generated Hate Speech (Vidgen et al. 2021, v0.2.3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from harness.data.aliases import Aliases
from harness.data.domains import NO_DOMAIN, Domains
from harness.data.pins import Pin, Row
from harness.data.tabular import read_csv, require_text
from harness.data.terms import term_pattern
from harness.errors import DataError, did_you_mean
from harness.families import Corpus, PinnedConfig, pinned_rows
from harness.types import Label, Passage, PassageRequest, Split
from harness_corpora.choosing import Candidate, choose
from harness_corpora.terms import TERMS

LABELS: Mapping[str, Label] = {"hate": "hateful", "nothate": "non-hateful"}
SPLITS = ("train", "dev", "test")

# Codes as the files spell them and, where they differ, as the data set's README does. Women of a
# group count in both domains. Gay men and gay women are attacked for their orientation: they
# count there alone, as do trans people under gender-identity. Jews are placed under religion,
# as CrowS-Pairs and StereoSet do; Arabs under race. Nazis, Hitler and the like are praised
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
    # texts differ (see defects), so the two are told apart and both are known.
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
    """How a text is placed in a domain."""

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


class Dghs(Corpus[DghsConfig]):
    """Hateful and non-hateful texts that people wrote to fool a classifier, rounds 1 to 4.

    ``Passage.group`` says what placed a text: ``code:bla.wom`` or ``term:women``. Domain
    ``none`` holds every non-hateful text, whatever it mentions.
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
            return choose(self.name, (), request, domains=self.domains, train_texts=())
        rows = pinned_rows(DGHS, self.config, request.data)
        return choose(
            self.name,
            self._candidates(rows, request),
            request,
            domains=self.domains,
            train_texts=(text for _, text, _, split, _ in rows if self._split(split) == "train"),
        )

    def _split(self, split: str) -> Split | None:
        if split == "dev":
            return None if self.config.dev == "leave" else self.config.dev
        return "train" if split == "train" else "test"

    def _coded(self, target: str) -> tuple[str, ...] | None:
        """The places that the codes name; None where they say nothing and terms decide."""
        if self.config.select_by == "terms":
            return None
        known = [
            CODES[code] for part in target.split(",") if (code := part.strip().lower()) in CODES
        ]
        if known or self.config.select_by == "codes":
            return tuple(place for places in known for place in places)
        return None  # not given, none, or a code we do not know

    def _candidates(self, rows: Sequence[Row], request: PassageRequest) -> Iterator[Candidate]:
        if request.domain == NO_DOMAIN:  # for methods that learn from neutral text
            for id_, text, label, split, _ in rows:
                if self._split(split) == request.split and LABELS[label] == "non-hateful":
                    yield Candidate(
                        f"dghs/{id_}", text, NO_DOMAIN, None, "non-hateful", request.split
                    )
            return
        mentions = Mentions(request.domain, self.config.groups, request.data.domains)
        for id_, text, label, split, target in rows:
            own_split = self._split(split)
            if own_split != request.split or LABELS[label] != request.label:
                continue
            places = self._coded(target)
            if places is None:
                if (mentioned := mentions.group(text)) is None:
                    continue
                group = f"term:{mentioned}"
            elif mentions.covers(places):
                group = f"code:{target}"
            else:
                continue
            yield Candidate(f"dghs/{id_}", text, request.domain, group, LABELS[label], own_split)


class Mentions:
    """Tells whether a text, or a code, is about a domain or those groups of it that are asked."""

    def __init__(self, domain: str, groups: Sequence[str], domains: Domains) -> None:
        lists = domains.term_groups(domain)
        asked = [group for group in groups if group in lists]
        self.domain = domain
        self.groups = frozenset(asked) or None
        self._group_of = {
            t: g for g, terms in lists.items() for t in terms if not asked or g in asked
        }
        self._pattern = term_pattern(self._group_of)

    def group(self, text: str) -> str | None:
        """The group of the first term in the text, or None."""
        match = self._pattern.search(text)
        return None if match is None else self._group_of[" ".join(match[0].lower().split())]

    def covers(self, places: Sequence[str]) -> bool:
        """Whether a place (``domain`` or ``domain/group``) is among what is asked."""
        for place in places:
            domain, _, group = place.partition("/")
            if domain == self.domain and (self.groups is None or group in self.groups):
                return True
        return False
