"""What a run leaves behind: an index of its cells, and a record for each measuring task.

The index says which task (content key) stands behind which cell of the matrix; the records hold
the measurements. Tables are made from these two and nothing else. Tasks that are the same for
several cells (the base model, `identity`) share one record.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from harness.types import Measurement

SCHEMA_VERSION: Literal[1] = 1


ControlKind = Literal["identity", "masks", "texts", "change"]
"""``identity``: does nothing; ``masks``: other words of the same texts; ``texts``: texts that are
not hateful; ``change``: as large a change of the model that aims at nothing."""


class Stored(BaseModel):
    """Base of everything that is written to the store."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MeasureRef(Stored):
    """One evaluator at one step, and the key of the record that answers it."""

    step: Annotated[int, Field(ge=0, description="0: the base model")]
    evaluator: Annotated[str, Field(description="label of the evaluator in the spec")]
    key: str


class Cell(Stored):
    """One debiased model of the product: what was fitted, from what, and its measurements.

    The base model is a cell whose `debiaser` is None and whose only step is 0. The measures of a
    debiased cell begin with step 0 too: the base records it is compared with, so a reader never
    has to look for them.
    """

    model: str
    debiaser: str | None = None
    corpus: str | None = None
    masker: str | None = None
    source: str | None = None
    label: str | None = None
    seed: int | None = None
    control: Annotated[bool, Field(description="meant to change nothing")] = False
    control_kind: Annotated[
        ControlKind | None,
        Field(description="why methods are compared with it; None: it is a method"),
    ] = None
    fit_key: str | None = None
    measures: tuple[MeasureRef, ...]

    @property
    def is_base(self) -> bool:
        """True for the model as it was loaded."""
        return self.debiaser is None

    @property
    def steps(self) -> list[int]:
        """The steps that are measured, ascending."""
        return sorted({ref.step for ref in self.measures})

    def title(self) -> str:
        """A short name: the parts that exist, from model to seed."""
        parts = [self.model, self.debiaser or "base", self.corpus, self.masker, self.source]
        seed = f"seed {self.seed}" if self.seed is not None else None
        return " / ".join(part for part in [*parts, self.label, seed] if part)


class RunIndex(Stored):
    """The plan of a run as it was carried out: ``index.json``."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str
    created_at: str
    spec: dict[str, JsonValue]
    targets: tuple[str, ...]
    cells: tuple[Cell, ...]


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
    key: str
    inputs: Annotated[dict[str, JsonValue], Field(description="all that the key is a hash of")]
    measurements: tuple[Measurement, ...]
    fit_log: dict[str, JsonValue] = {}
    provenance: Provenance
    created_at: str
    seconds: Annotated[dict[str, float], Field(description="wall time by phase")]
    tokens: Annotated[int | None, Field(description="tokens scored for this record")] = None


class Failure(Stored):
    """Why a task has no record: ``failures/<key>.json``. Tried again by the next run."""

    schema_version: Literal[1] = SCHEMA_VERSION
    key: str
    reason: Annotated[str, Field(description="one line for a person")]
    trace: Annotated[str | None, Field(description="for a bug: the trace")] = None
    created_at: str
