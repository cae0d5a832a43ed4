"""CrowS-Pairs (Nangia et al. 2020), and its versions in other languages."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from harness.data.aliases import Aliases
from harness.data.files import read_bytes
from harness.data.pins import Pin
from harness.data.places import DataStore
from harness.data.tabular import read_csv, require_columns
from harness.errors import DataError
from harness.families import PinnedConfig, pinned_rows
from harness.types import ItemsRequest
from harness_evaluators.categories import sampled
from harness_evaluators.pairs import ANTISTEREO, STEREO, Pair, PairConfig, PairEvaluator

TYPES = Aliases(
    "crows-pairs",
    {
        "gender": "gender",
        "race-color": "race",
        "religion": "religion",
        "sexual-orientation": "orientation",
        "disability": "disability",
        "age": "age",
        "nationality": "nationality",
        "physical-appearance": "appearance",
        "socioeconomic": "socioeconomic",
    },
)
"""The domain of each bias type."""

COLUMNS = ("sent_more", "sent_less", "stereo_antistereo", "bias_type")


def parse(path: Path) -> Iterator[tuple[str, ...]]:
    """Rows (id, sent_more, sent_less, stereo_antistereo, bias_type) of the published CSV.

    What a row says is checked when its type is asked for, so a slip in one type does not keep the
    others from being measured.
    """
    for number, values in read_csv(path, COLUMNS):
        yield (_id(values, number), *(values[name] for name in COLUMNS))


def parse_mac_roman(path: Path) -> Iterator[tuple[str, ...]]:
    """Parse the Dutch file, which is Mac Roman with two words in UTF-8."""
    text = read_bytes(path).decode("utf-8", errors=_MAC_ROMAN)
    reader = csv.reader(io.StringIO(text, newline="\n"), strict=True)
    header = next(reader, [])
    require_columns(path, header, COLUMNS)
    try:
        for fields in reader:
            if len(fields) != len(header):
                raise DataError(
                    f"{path}: line {reader.line_num}: {len(fields)} fields instead of "
                    f"{len(header)}; the file is truncated"
                )
            values = dict(zip(header, fields, strict=True))
            yield (_id(values, reader.line_num), *(values[name] for name in COLUMNS))
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: {error}; the file is truncated") from None


def _id(values: Mapping[str, str], number: int) -> str:
    """The id of a row: of the unnamed column, or of ``id``, else its line."""
    return values.get("") or values.get("id") or str(number)


_MAC_ROMAN = "harness-mac-roman"


def _from_mac_roman(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("mac_roman"), error.end


codecs.register_error(_MAC_ROMAN, _from_mac_roman)

PIN = Pin(
    name="crows-pairs",
    filename="crows_pairs/crows_pairs_anonymized.csv",
    url="https://raw.githubusercontent.com/nyu-mll/crows-pairs/"
    "8aaac11c485473159ec9328a65253a5be9a479dc/data/crows_pairs_anonymized.csv",
    sha256="dfb36986ce0502abbaf7055b9176da3d08d48e07df1251991b5dfbcbceab9d0c",
    items_sha256="555dc7595952c94d1b86acb107c49931f1b0e9715061758bfb9e8d53279135ab",
    parse=parse,
    licence="CC-BY-SA-4.0",
    citation="Nangia et al. 2020, CrowS-Pairs, EMNLP",
    defects="its authors advise against it as a measure by itself: many pairs are unclear "
    "(Blodgett et al. 2021), and stereo/antistereo are unbalanced",
    n_items=1508,
)

_ALIGNED = (
    "https://raw.githubusercontent.com/jerryspan/Dutch-CrowS-Pairs/"
    "7cf51965b4818a717d22068477fba951bca1eb90/datasets/"
)

PIN_REVISED = Pin(
    name="crows-pairs-en-revised",
    filename="crows_multilingual/crows_eng.csv",
    url=f"{_ALIGNED}crows_eng.csv",
    sha256="84dd3f4a7c5c52c48b89e3d7b59e1fba64165afa650b0fd52dac3826f74bfb3b",
    items_sha256="b076fc75a783aed03160da1ff6e91d01e41064ce703ddecf8bec3159e088cc3e",
    parse=parse,
    licence="CC0-1.0",
    citation="Névéol et al. 2022, French CrowS-Pairs, ACL (revised English)",
    n_items=1463,
)

PIN_FRENCH = Pin(
    name="crows-pairs-fr",
    filename="crows_multilingual/crows_french.csv",
    url=f"{_ALIGNED}crows_french.csv",
    sha256="7fc34d474623cec3f88544d88156212780ee65f408666463c8d7a833ad5efe83",
    items_sha256="2e02e8fc7a83cc374598f30fac3e99ba1300086601def5531909ac25b728acc7",
    parse=parse,
    licence="CC-BY-SA-4.0",
    citation="Névéol et al. 2022, French CrowS-Pairs, ACL",
    defects="pair 129 (socioeconomic) has an empty sentence and is left out",
    n_items=1463,
)

PIN_DUTCH = Pin(
    name="crows-pairs-nl",
    filename="crows_multilingual/crows_dutch.csv",
    url=f"{_ALIGNED}crows_dutch.csv",
    sha256="07b9b562e947e782a0409ebac85b28b417838cf2d33c2f7f2a13766b431ddf35",
    items_sha256="22c9fb091df2c76b5bf65eeadf52aeabdec033a6597a4f90d65878bfe20bd104",
    parse=parse_mac_roman,
    licence="CC0-1.0",
    citation="Dutch CrowS-Pairs 2025, https://github.com/jerryspan/Dutch-CrowS-Pairs",
    defects="the file is Mac Roman, not UTF-8; it is read as such",
    n_items=1463,
)

Language = Literal["en", "en-revised", "fr", "nl"]

PINS: Mapping[Language, Pin] = {
    "en": PIN,
    "en-revised": PIN_REVISED,
    "fr": PIN_FRENCH,
    "nl": PIN_DUTCH,
}
"""The data set of each language. All but ``en`` are aligned: a pair has one id in all of them."""


class CrowsPairsConfig(PairConfig, PinnedConfig):
    """Which scorers, which language, and where the data is."""

    language: Language = Field(
        "en",
        description="en: the original; en-revised, fr, nl: revised English, French and Dutch, in "
        "which a pair has the same id, so that limits draw the same pairs",
    )


class CrowsPairs(PairEvaluator[CrowsPairsConfig]):
    """How often a model prefers the more stereotyping sentence of a pair."""

    name = "crows-pairs"
    summary = "CrowS-Pairs: preference for the stereotyping sentence of a pair; nine domains."
    reference = "Nangia et al. 2020, https://aclanthology.org/2020.emnlp-main.154"
    pins = tuple(PINS.values())
    domains = TYPES.all_domains()

    def reads(self) -> Sequence[tuple[Pin, str | None]]:
        """Return the data set of the language; see `Plugin.reads`."""
        return [(PINS[self.config.language], self.config.path)]

    def pairs(self, request: ItemsRequest) -> Mapping[str, Sequence[Pair]]:
        """Return the pairs of each domain; see `PairEvaluator.pairs`.

        A row of a type that is not asked for is skipped, even if it is malformed. So is a row with
        an empty sentence, which cannot be scored.

        Raises:
            DataError: a row of a domain asked for has another direction than stereo or antistereo.
        """
        by_domain: dict[str, list[Pair]] = {domain: [] for domain in request.domains}
        pin = PINS[self.config.language]
        prefix = "crows-pairs" if pin is PIN else "crows-pairs-aligned"
        for number, more, less, direction, alias in pinned_rows(pin, self.config, request.data):
            places = TYPES.get(alias, ())
            if len(places) != 1 or places[0] not in by_domain:
                continue
            if direction not in (STEREO, ANTISTEREO):
                raise self._slip(pin, request.data, number, f"stereo_antistereo is {direction!r}")
            if more.strip() and less.strip():
                by_domain[places[0]].append(Pair(f"{prefix}/{number}", more, less, direction))
        return sampled(self, by_domain, request, lambda pair: pair.id)

    def notes(self, request: ItemsRequest) -> Mapping[str, str]:
        """Count the rows of a domain that have an empty sentence; see `PairEvaluator.notes`."""
        pin = PINS[self.config.language]
        empty: dict[str, int] = {}
        for _, more, less, _, alias in pinned_rows(pin, self.config, request.data):
            if not (more.strip() and less.strip()):
                for domain in TYPES.get(alias, ()):
                    empty[domain] = empty.get(domain, 0) + 1
        return {
            domain: f"{count} pair{'s' if count > 1 else ''} left out: a sentence is empty"
            for domain, count in empty.items()
        }

    def _slip(self, pin: Pin, data: DataStore, identifier: str, what: str) -> DataError:
        """An error that names the file and the line of a row."""
        path = data.locate(pin, self.config.path)
        lines = (
            number for number, row in enumerate(pin.parse(path), start=2) if row[0] == identifier
        )
        if pin.parse is parse:
            lines = (
                number
                for number, values in read_csv(path, COLUMNS)
                if _id(values, number) == identifier
            )
        return DataError(
            f"{path}: line {next(lines)}: {what}, not {STEREO} or {ANTISTEREO}; correct the file"
        )
