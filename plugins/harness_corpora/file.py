"""``file``: a user's own passages in a CSV, JSON-lines or Parquet file with named columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from harness.data.domains import NO_DOMAIN, Domains
from harness.data.pins import inside, items_hash
from harness.data.places import DataStore
from harness.data.tabular import Line, read_csv, read_jsonl, require_text
from harness.errors import DataError, did_you_mean
from harness.families import NOT_IN_KEY, Corpus, PluginConfig
from harness.types import Label, Passage, PassageRequest, Split
from harness_corpora.choosing import Candidate, choose, normalised, share
from harness_corpora.tables import dataset_of, read_parquet, rows_of

COLUMNS = ("id", "text", "domain", "group", "label", "split")
FORMATS: Mapping[str, Literal["csv", "jsonl", "parquet"]] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}


class FileConfig(PluginConfig):
    """Which column says what. Values are compared as text; ``true`` and ``1`` are written so."""

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
    id: Annotated[
        str | None, Field(description="column of a unique id; default: the row's number")
    ] = None

    @field_validator("path")
    @classmethod
    def _known_format(cls, path: str) -> str:
        suffix = Path(path).suffix.lower()
        if suffix not in FORMATS:
            raise ValueError(f"'{path}' must end in one of {', '.join(FORMATS)}")
        return path

    @model_validator(mode="after")
    def _one_domain(self) -> FileConfig:
        if (self.domain is None) == (self.domain_value is None):
            raise ValueError("give either domain (a column) or domain_value (one for all)")
        return self

    def columns(self) -> list[str]:
        """The columns that must be there."""
        named = [self.text, self.label, self.domain, self.split, self.group, self.id]
        return [name for name in named if name is not None]


class File(Corpus[FileConfig]):
    """Passages from one file; nothing is fetched and nothing in it is run."""

    name = "file"
    summary = "A CSV, JSON-lines or Parquet file of your own, with named columns"
    reference = "the user's own data"
    domains: ClassVar[frozenset[str]] = frozenset()

    def fingerprint(self, data: DataStore) -> Mapping[str, JsonValue]:
        """Hash of the passages as they are read."""
        return {"items": items_hash(tuple(map(str, row)) for row in self._rows(data))}

    def passages(self, request: PassageRequest) -> Sequence[Passage]:
        """Return the passages of a domain, split and label, in the order of the file.

        Raises:
            DataError: the file is missing or malformed (says the line), or holds no such passage.
        """
        table = dataset_of(COLUMNS, self._rows(request.data))
        candidates = [
            Candidate(f"file/{id_}", text, domain, group or None, label, split)
            for id_, text, domain, group, label, split in rows_of(table, COLUMNS)
        ]
        return choose(
            self.name,
            candidates,
            request,
            domains=(c.domain for c in candidates),
            train_texts=(c.text for c in candidates if c.split == "train"),
        )

    def _rows(self, data: DataStore) -> list[tuple[str, ...]]:
        path = _find(self.config.path, data)
        named = self.config.domain_value
        if named is not None and named != NO_DOMAIN and named not in data.domains:
            raise DataError(
                f"corpus 'file': unknown domain '{named}'{did_you_mean(named, data.domains)}; "
                "a spec can add a domain in its section 'domains'"
            )
        rows: list[tuple[str, ...]] = []
        first: dict[str, int] = {}
        for index, line in enumerate(_lines(path, self.config.columns())):
            row = self._row(path, index, line, data.domains)
            if row is None:
                continue
            if row[0] in first:
                raise DataError(
                    f"{path}: line {line.number}: id '{row[0]}' is that of line {first[row[0]]}"
                )
            first[row[0]] = line.number
            rows.append(row)
        return rows

    def _row(self, path: Path, index: int, line: Line, known: Domains) -> tuple[str, ...] | None:
        config, values = self.config, line.values
        text = values[config.text]
        if not isinstance(text, str):
            raise DataError(f"{path}: line {line.number}: {config.text!r} is no text: {text!r}")
        require_text(path, line.number, text)
        split = self._split(values, text)
        if split is None:
            return None
        domain = config.domain_value
        if config.domain is not None:
            found = _word(values[config.domain])
            domain = config.domains.get(found, found)
            if domain not in known and domain != NO_DOMAIN:
                raise DataError(
                    f"{path}: line {line.number}: unknown domain '{found}'"
                    f"{did_you_mean(found, [*known, *config.domains])}; map it with the corpus's "
                    "'domains', or add it in the spec's section 'domains'"
                )
        label: str = config.label_value
        if config.label is not None:
            found = _word(values[config.label])
            if found not in config.labels:
                raise DataError(
                    f"{path}: line {line.number}: unknown label '{found}' (known: "
                    f"{', '.join(config.labels)}); map it with 'labels'"
                )
            label = config.labels[found]
        id_ = str(index) if config.id is None else _word(values[config.id])
        group = "" if config.group is None else _word(values[config.group])
        return id_, text, domain or NO_DOMAIN, group, label, split

    def _split(self, values: Mapping[str, Any], text: str) -> Split | None:
        if self.config.split is not None:
            return self.config.splits.get(_word(values[self.config.split]))
        # the text decides, not the id: equal texts always fall on the same side
        return "test" if share(f"file {normalised(text)}") < self.config.test_share else "train"


def _find(name: str, data: DataStore) -> Path:
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if not path.is_absolute() and data.data_dir is not None:
        below = inside(data.data_dir, name)
        if below.is_file():
            return below
    raise DataError(f"corpus 'file': {path} does not exist; mend 'path'")


def _lines(path: Path, required: Sequence[str]) -> Iterator[Line]:
    kind = FORMATS[path.suffix.lower()]
    reader = {"csv": read_csv, "jsonl": read_jsonl, "parquet": read_parquet}[kind]
    return reader(path, required)


def _word(value: object) -> str:
    """A value as text: JSON and Parquet know numbers and truth values, CSV does not."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
