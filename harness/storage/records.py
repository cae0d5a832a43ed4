"""What a run leaves behind: an index of its cells, and a record for each measuring task.

The index says which task (content key) measured which cell of the matrix; the records hold
the measurements. Tables are made from these two and nothing else. Tasks that are the same for
several cells (the base model, `identity`) share one record.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from harness.storage.cells import Cell, Key, Stored
from harness.types import Measurement

SCHEMA_VERSION: Literal[1] = 1


class Registration(Stored):
    """When the hypotheses of a run's spec were fixed, and how much was known by then."""

    sha256: Annotated[str, Field(description="of the section, see Hypotheses.sha256")]
    fixed_at: str
    results_before: Annotated[
        int, Field(ge=0, description="records that the run had by then; 0: fixed in advance")
    ]


class RunIndex(Stored):
    """The plan of a run as it was carried out: ``index.json``."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str
    created_at: str
    spec: dict[str, JsonValue]
    targets: tuple[str, ...]
    cells: tuple[Cell, ...]
    registration: Annotated[
        Registration | None, Field(description="None: the spec has no hypotheses")
    ] = None


class PluginVersion(Stored):
    """A plugin that touched a number."""

    family: str
    name: str
    distribution: str
    version: str


class Provenance(Stored):
    """Software, machine and plugins behind a record."""

    harness_version: str
    commit: str | None = None
    dirty: bool | None = None
    python: str
    platform: str
    device: str
    packages: dict[str, str]
    plugins: tuple[PluginVersion, ...]


class Record(Stored):
    """The answer of one measuring task: ``records/<key>.json``, written whole or not at all."""

    schema_version: Literal[1] = SCHEMA_VERSION
    key: Key
    inputs: Annotated[dict[str, JsonValue], Field(description="all that the key is a hash of")]
    measurements: tuple[Measurement, ...]
    fit_log: dict[str, JsonValue] = Field(default_factory=dict)
    provenance: Provenance
    created_at: str
    seconds: Annotated[dict[str, float], Field(description="wall time by phase")]
    tokens: Annotated[int | None, Field(description="tokens scored for this record")] = None
    items_sha256: Annotated[
        str | None, Field(description="of the items file; None: written before hashes were stored")
    ] = None
    masks: Annotated[
        Key | None, Field(description="hash of the masks that the fit learned from: masks/<hash>")
    ] = None


class Failure(Stored):
    """Why a task has no record: ``failures/<key>.json``. Tried again by the next run."""

    schema_version: Literal[1] = SCHEMA_VERSION
    key: Key
    reason: Annotated[str, Field(description="one line for a person")]
    trace: Annotated[str | None, Field(description="for a bug: the trace")] = None
    created_at: str
