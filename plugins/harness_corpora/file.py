"""``file``: a user's own passages in a CSV, JSON-lines or Parquet file with named columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple, TypeVar

from pydantic import Field, field_validator, model_validator

from harness.data.domains import NO_DOMAIN
from harness.data.files import Stamp, stamp
from harness.data.own_files import as_word, check_format, find_own_file, own_records
from harness.data.tabular import require_text
from harness.errors import DataError, did_you_mean
from harness.families import NOT_IN_KEY, Corpus, PluginConfig
from harness.types import Label, Passage, PassageRequest, Split
from harness_corpora.choosing import chosen, none_left, normalised, share
from harness_corpora.dghs import other_terms

T = TypeVar("T")


class FileConfig(PluginConfig):
    """Which column says what.

    Values are compared as text. ``True`` and ``1.0``, as pandas writes them, count as ``true`` and
    ``1``.
    """

    path: Annotated[
        str,
        Field(
            examples=["passages.csv"],
            description="the file (.csv, .jsonl, .parquet); also looked for below data-dir",
            json_schema_extra=NOT_IN_KEY,
        ),
    ]
    text: Annotated[str, Field(description="column of the passage")] = "text"
    label: Annotated[
        str | None, Field(description="column of the label; default: all are label_value")
    ] = None
    label_value: Annotated[
        Label, Field(description="the label of all passages where there is no label column")
    ] = "hateful"
    labels: Annotated[
        dict[str, Label],
        Field(description="what the values of the label column mean"),
    ] = {  # noqa: RUF012  (pydantic copies it)
        "hateful": "hateful",
        "hate": "hateful",
        "1": "hateful",
        "true": "hateful",
        "non-hateful": "non-hateful",
        "nothate": "non-hateful",
        "0": "non-hateful",
        "false": "non-hateful",
    }
    domain: Annotated[
        str | None, Field(description="column of the domain; default: all are domain_value")
    ] = None
    domain_value: Annotated[
        str | None,
        Field(
            examples=["gender"],
            description="the domain of all passages where there is no domain column",
        ),
    ] = None
    domains: Annotated[
        dict[str, str],
        Field(description="canonical domains of values of the domain column that are not ones"),
    ] = {}  # noqa: RUF012
    split: Annotated[
        str | None,
        Field(description="column of the split; default: a hash of the text decides"),
    ] = None
    splits: Annotated[
        dict[str, Split],
        Field(description="what the values of the split column mean; other rows are left out"),
    ] = {"train": "train", "test": "test"}  # noqa: RUF012
    test_share: Annotated[
        float,
        Field(gt=0, lt=1, description="share that is test where there is no split column"),
    ] = 0.2
    group: Annotated[str | None, Field(description="column of the target group")] = None
    pure: Annotated[
        bool,
        Field(
            description="only passages that mention no other known domain, for a source that "
            "concerns one domain alone"
        ),
    ] = False
    id: Annotated[
        str | None, Field(description="column of a unique id; default: the row's number")
    ] = None

    @field_validator("path")
    @classmethod
    def _known_format(cls, path: str) -> str:
        return check_format(path)

    @model_validator(mode="after")
    def _one_domain(self) -> FileConfig:
        if (self.domain is None) == (self.domain_value is None):
            raise ValueError("give either domain (a column) or domain_value (one for all)")
        return self


class Row(NamedTuple):
    """A row of the file that is used; as many as there are, so it is not yet a `Passage`."""

    id: str
    text: str
    domain: str
    group: str | None
    label: Label
    split: Split


class File(Corpus[FileConfig]):
    """Passages from one file; nothing is fetched and nothing in it is run.

    The file is read once in a process, whatever is asked of it.
    """

    name = "file"
    summary = "A CSV, JSON-lines or Parquet file of your own, with named columns"
    reference = "the user's own data"
    domains: ClassVar[frozenset[str]] = frozenset()

    # No fingerprint: the passages that are read are in the key, whatever else the file holds.

    def passages(self, request: PassageRequest) -> Sequence[Passage]:
        """Return the passages of a domain, split and label, in the order of the file.

        Raises:
            DataError: the file is missing or malformed (says the line), or holds no such passage.
        """
        config, domains = self.config, request.data.domains
        named = config.domain_value
        if named is not None and named != NO_DOMAIN and named not in domains:
            raise DataError(
                f"corpus 'file': unknown domain '{named}'{did_you_mean(named, domains)}; "
                "a spec can add a domain in its section 'domains'"
            )
        path = find_own_file(config.path, request.data, "corpus 'file'")
        rows = _rows(path, stamp(path), config.model_dump_json(), tuple(domains))
        asked = rows.get((request.domain, request.label, request.split), ())
        if config.pure:
            others = other_terms(domains, request.domain)
            asked = [row for row in asked if not others.search(row.text)]

        def train_texts() -> Iterator[str]:
            for (_, label, split), placed in rows.items():
                if (label, split) == (request.label, "train"):
                    yield from (row.text for row in placed)

        kept = chosen(asked, request, lambda row: row.id, lambda row: row.text, train_texts)
        if not kept:
            raise none_left(self.name, request, {d for d, _, _ in rows}, len(asked))
        return [Passage(**row._asdict()) for row in kept]


Placed = Mapping[tuple[str, Label, Split], Sequence[Row]]
"""The rows of a file by domain, label and split."""


@lru_cache(maxsize=4)
def _rows(path: Path, state: Stamp, config: str, known: tuple[str, ...]) -> Placed:
    """Read a file; ``state`` tells one content from another."""
    return _Reader(path, FileConfig.model_validate_json(config), frozenset(known)).read()


class _Reader:
    """Reads one file with one config."""

    def __init__(self, path: Path, config: FileConfig, known: frozenset[str]) -> None:
        self._path = path
        self._config = config
        self._known = known
        self._domains: dict[str, str] = {}
        self._labels: dict[str, Label] = {}

    def read(self) -> Placed:
        """Return the rows of the file.

        Raises:
            DataError: a mistake in the file, with its line.
        """
        config = self._config
        named = [config.text, config.label, config.domain, config.split, config.group, config.id]
        columns = list(dict.fromkeys(name for name in named if name is not None))
        at = {name: i for i, name in enumerate(columns)}

        def column(name: str | None) -> int | None:
            return None if name is None else at[name]

        text_at, label_at, domain_at = at[config.text], column(config.label), column(config.domain)
        split_at, group_at, id_at = column(config.split), column(config.group), column(config.id)
        lines: dict[str, int] = {}
        placed: dict[tuple[str, Label, Split], list[Row]] = {}
        records = own_records(self._path, columns)
        for index, (number, values) in enumerate(records):
            text = values[text_at]
            if not isinstance(text, str):
                raise self._error(number, f"{config.text!r} is not a text: {text!r:.60}")
            require_text(self._path, number, text)
            split: Split | None
            if split_at is None:
                # the text decides, not the id: equal texts are always in the same split
                in_test = share(f"file {normalised(text)}") < config.test_share
                split = "test" if in_test else "train"
            else:
                split = _looked_up(config.splits, values[split_at])
                if split is None:
                    continue
            domain, label = config.domain_value or NO_DOMAIN, config.label_value
            if domain_at is not None:
                domain = self._domain(number, values[domain_at])
            if label_at is not None:
                label = self._label(number, values[label_at])
            id_ = str(index) if id_at is None else as_word(values[id_at])
            if lines.setdefault(id_, number) != number:
                raise self._error(number, f"id '{id_:.60}' is that of line {lines[id_]}")
            group = None if group_at is None else as_word(values[group_at]) or None
            row = Row(f"file/{id_}", text, domain, group, label, split)
            placed.setdefault((domain, label, split), []).append(row)
        return placed

    def _domain(self, number: int, value: object) -> str:
        word = as_word(value)
        if word not in self._domains:
            domain = self._config.domains.get(word, word)
            if domain not in self._known and domain != NO_DOMAIN:
                known = [*self._known, *self._config.domains]
                raise self._error(
                    number,
                    f"unknown domain '{word:.60}'{did_you_mean(word, known)}; map it with the "
                    "corpus's 'domains', or add it in the spec's section 'domains'",
                )
            self._domains[word] = domain
        return self._domains[word]

    def _label(self, number: int, value: object) -> Label:
        word = as_word(value)
        if word not in self._labels:
            label = _looked_up(self._config.labels, word)
            if label is None:
                raise self._error(
                    number,
                    f"unknown label '{word:.60}' (known: "
                    f"{', '.join(self._config.labels)}); map it with 'labels'",
                )
            self._labels[word] = label
        return self._labels[word]

    def _error(self, number: int, what: str) -> DataError:
        return DataError(f"{self._path}: line {number}: {what}")


def _looked_up(meanings: Mapping[str, T], value: object) -> T | None:
    """What a value means: as it is written, else in lower case, else as a whole number."""
    word = as_word(value)
    for form in (word, word.lower(), word.removesuffix(".0")):
        if form in meanings:
            return meanings[form]
    return None
