"""``pairs`` and ``triples``: a user's own items, in any domain, from a file with named columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

from pydantic import Field, JsonValue, field_validator, model_validator

from harness.data.files import Stamp, stamp
from harness.data.own_files import as_word, check_format, find_own_file, own_records
from harness.data.pins import items_hash
from harness.data.places import DataStore
from harness.data.sampling import nested_sample
from harness.errors import DataError
from harness.families import NOT_IN_KEY, PluginConfig
from harness.types import ItemsRequest
from harness_evaluators.pairs import ANTISTEREO, STEREO, Pair, PairConfig, PairEvaluator
from harness_evaluators.triples import BLANK, Triple, TripleConfig, TripleEvaluator

T = TypeVar("T", Pair, Triple)


class OwnItemsConfig(PluginConfig):
    """Where the items are, and which column says what."""

    path: Annotated[
        str,
        Field(
            examples=["items.csv"],
            description="the file (.csv, .jsonl, .parquet); also looked for below data-dir",
            json_schema_extra=NOT_IN_KEY,
        ),
    ]
    domain: str | None = Field(
        None, description="column of the domain; default: all are domain_value"
    )
    domain_value: str | None = Field(
        None,
        examples=["gender"],
        description="the domain of all items where there is no domain column",
    )
    domain_names: dict[str, str] = Field(
        {}, description="domains of values of the domain column that are called otherwise"
    )
    cluster: str | None = Field(
        None,
        description="column of what items share, such as a term or template; intervals and tests "
        "resample it as a whole",
    )
    id: str | None = Field(None, description="column of a unique id; default: the row's number")

    @field_validator("path")
    @classmethod
    def _known_format(cls, path: str) -> str:
        return check_format(path)

    @model_validator(mode="after")
    def _one_domain(self) -> OwnItemsConfig:
        if (self.domain is None) == (self.domain_value is None):
            raise ValueError("give either domain (a column) or domain_value (one for all)")
        return self


class PairsConfig(PairConfig, OwnItemsConfig):
    """Which scorers, where the pairs are, and which column says what."""

    more: str = Field("more", description="column of the more stereotyping sentence")
    less: str = Field("less", description="column of the less stereotyping sentence")
    half: str | None = Field(
        None,
        description="column that says whether the more stereotyping sentence is about the "
        "disadvantaged group (stereo) or the other one (antistereo); default: not known, so "
        "there are no halves and no association",
    )
    halves: dict[str, str] = Field(
        {STEREO: STEREO, ANTISTEREO: ANTISTEREO},
        description="which values of the half column mean stereo, and which antistereo",
    )

    @field_validator("halves")
    @classmethod
    def _known_halves(cls, halves: dict[str, str]) -> dict[str, str]:
        for value, half in halves.items():
            if half not in (STEREO, ANTISTEREO):
                raise ValueError(f"'{value}' means '{half}', not {STEREO} or {ANTISTEREO}")
        return halves


class TriplesConfig(TripleConfig, OwnItemsConfig):
    """Which scorers, where the triples are, and which column says what."""

    stereotype: str = Field("stereotype", description="column of the stereotyping sentence")
    antistereotype: str = Field(
        "antistereotype", description="column of the sentence that says the opposite"
    )
    unrelated: str = Field("unrelated", description="column of the sentence that makes no sense")
    context: str | None = Field(
        None,
        description=f"column of the sentence with {BLANK} in place of the word; masked models need "
        "it",
    )
    target: str | None = Field(
        None,
        description="column of the word for the group, as the sentences have it: the cluster, and "
        "what the metric association replaces",
    )


class Row(NamedTuple):
    """A row of the file: its line, its id, its domain, and the values of the other columns."""

    line: int
    id: str
    domain: str
    cluster: str | None
    values: Mapping[str, str]


class OwnPairs(PairEvaluator[PairsConfig]):
    """Minimal pairs from one file of the user's."""

    name = "pairs"
    summary = "Your own minimal pairs: a CSV, JSON-lines or Parquet file, in any domain."
    reference = "the user's own data; measured as in Nangia et al. 2020"

    def fingerprint(self, data: DataStore) -> Mapping[str, JsonValue]:
        """Return a hash of the pairs; see `Plugin.fingerprint`."""
        every = self._pairs(data).items()
        return {
            "items": items_hash((d, *(v or "" for v in p)) for d, pairs in every for p in pairs)
        }

    def pairs(self, request: ItemsRequest) -> Mapping[str, Sequence[Pair]]:
        """Return the pairs of the domains asked for; see `PairEvaluator.pairs`."""
        return _asked(self.name, self._pairs(request.data), request)

    def _pairs(self, data: DataStore) -> Mapping[str, Sequence[Pair]]:
        path = find_own_file(self.config.path, data, f"evaluator '{self.name}'")
        return _read_pairs(path, stamp(path), self.config.model_dump_json())


class OwnTriples(TripleEvaluator[TriplesConfig]):
    """Triples from one file of the user's."""

    name = "triples"
    summary = "Your own triples: a CSV, JSON-lines or Parquet file, in any domain."
    reference = "the user's own data; measured as in Nadeem et al. 2021"

    @property
    def overall(self) -> bool:
        """Whether all triples are also measured together."""
        return False

    def fingerprint(self, data: DataStore) -> Mapping[str, JsonValue]:
        """Return a hash of the triples; see `Plugin.fingerprint`."""
        every = self._triples(data).values()
        return {"items": items_hash(triple.row() for triples in every for triple in triples)}

    def triples(self, request: ItemsRequest) -> Mapping[str, Sequence[Triple]]:
        """Return the triples of the domains asked for; see `TripleEvaluator.triples`."""
        return _asked(self.name, self._triples(request.data), request)

    def _triples(self, data: DataStore) -> Mapping[str, Sequence[Triple]]:
        path = find_own_file(self.config.path, data, f"evaluator '{self.name}'")
        return _read_triples(path, stamp(path), self.config.model_dump_json())


@lru_cache(maxsize=4)
def _read_pairs(path: Path, state: Stamp, config: str) -> Mapping[str, Sequence[Pair]]:
    """Read a file of pairs; ``state`` tells one content from another."""
    columns = PairsConfig.model_validate_json(config)
    by_domain: dict[str, list[Pair]] = {}
    optional = () if columns.half is None else (columns.half,)
    for row in _rows(path, columns, (columns.more, columns.less), optional):
        half = None
        if columns.half is not None:
            value = row.values[columns.half]
            if value not in columns.halves:
                raise _error(
                    path, row.line, f"{columns.half!r} is {value!r:.60}; map it with 'halves'"
                )
            half = columns.halves[value]
        by_domain.setdefault(row.domain, []).append(
            Pair(
                f"pairs/{row.id}",
                row.values[columns.more],
                row.values[columns.less],
                half,
                row.cluster,
            )
        )
    if not by_domain:
        raise DataError(f"{path}: the file has no row; check 'path'")
    return by_domain


@lru_cache(maxsize=4)
def _read_triples(path: Path, state: Stamp, config: str) -> Mapping[str, Sequence[Triple]]:
    """Read a file of triples; ``state`` tells one content from another."""
    columns = TriplesConfig.model_validate_json(config)
    by_domain: dict[str, list[Triple]] = {}
    sentences = (columns.stereotype, columns.antistereotype, columns.unrelated)
    optional = tuple(name for name in (columns.context, columns.target) if name is not None)
    for row in _rows(path, columns, sentences, optional):
        context = row.values[columns.context] if columns.context else ""
        if columns.context and BLANK not in context:
            raise _error(path, row.line, f"{columns.context!r} has no {BLANK}")
        term = row.values[columns.target] if columns.target else ""
        texts = (row.values[name] for name in sentences)
        triple = Triple(f"triples/{row.id}", row.domain, term, context, *texts)
        by_domain.setdefault(row.domain, []).append(
            triple if row.cluster is None else triple._replace(cluster=row.cluster)
        )
    if not by_domain:
        raise DataError(f"{path}: the file has no row; check 'path'")
    return by_domain


def _rows(
    path: Path, config: OwnItemsConfig, texts: Sequence[str], optional: Sequence[str]
) -> Iterator[Row]:
    """The rows of a file; the texts are there and not empty, the other columns may be empty."""
    named = [*texts, *optional, config.domain, config.cluster, config.id]
    columns = list(dict.fromkeys(name for name in named if name is not None))
    lines: dict[str, int] = {}
    for index, (number, record) in enumerate(own_records(path, columns)):
        values = dict(zip(columns, record, strict=True))
        for name in texts:
            if not isinstance(values[name], str) or not values[name].strip():
                raise _error(path, number, f"{name!r} is not a text: {values[name]!r:.60}")
        words = {name: value if name in texts else as_word(value) for name, value in values.items()}
        identifier = str(index) if config.id is None else words[config.id]
        if not identifier or lines.setdefault(identifier, number) != number:
            other = f"that of line {lines[identifier]}" if identifier else "empty"
            raise _error(path, number, f"the id {identifier!r:.60} is {other}")
        domain = config.domain_value or ""
        if config.domain is not None:
            domain = config.domain_names.get(words[config.domain], words[config.domain])
        cluster = None if config.cluster is None else words[config.cluster] or None
        yield Row(number, identifier, domain, cluster, words)


def _asked(
    name: str, by_domain: Mapping[str, Sequence[T]], request: ItemsRequest
) -> dict[str, Sequence[T]]:
    """A sample of the items of each domain asked for that the file has."""
    sampled: dict[str, Sequence[T]] = {
        domain: nested_sample(
            list(by_domain[domain]), request.limit, request.seed, lambda item: item.id
        )
        for domain in request.domains
        if domain in by_domain
    }
    if not sampled:
        raise DataError(
            f"evaluator '{name}': the file has no item of {', '.join(request.domains)} (it has: "
            f"{', '.join(sorted(by_domain)) or 'none'}); map its names with 'domain_names'"
        )
    return sampled


def _error(path: Path, number: int, what: str) -> DataError:
    return DataError(f"{path}: line {number}: {what}")
