"""Cells: what identifies one debiased model of a run, its display name, selection and order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.errors import StoreError
from harness.types import ControlKind


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
    control_kind: Annotated[
        ControlKind | None,
        Field(description="why methods are compared with it; None: it is a method"),
    ] = None
    fit_key: str | None = None
    measures: tuple[MeasureRef, ...]

    @model_validator(mode="before")
    @classmethod
    def _from_old_index(cls, values: Any) -> Any:
        """Read the boolean ``control`` of indexes written before `control_kind` alone was kept."""
        if not isinstance(values, dict) or "control" not in values:
            return values
        kind = values.get("control_kind") or ("identity" if values["control"] else None)
        rest = {key: value for key, value in values.items() if key != "control"}
        return {**rest, "control_kind": kind}

    @property
    def is_base(self) -> bool:
        """True for the model as it was loaded."""
        return self.debiaser is None

    @property
    def steps(self) -> list[int]:
        """The steps that are measured, ascending."""
        return sorted({ref.step for ref in self.measures})

    def measured_step(self, step: int | None) -> int:
        """Return ``step`` if it is measured, else the last step that is."""
        steps = self.steps
        return step if step is not None and step in steps else max(steps, default=0)

    def title(self) -> str:
        """A short name: the parts that exist, from model to seed."""
        parts = [self.model, self.debiaser or "base", self.corpus, self.masker, self.source]
        seed = f"seed {self.seed}" if self.seed is not None else None
        return " / ".join(part for part in [*parts, self.label, seed] if part)


def select_cell(cells: tuple[Cell, ...], name: str) -> Cell:
    """Return the one debiased cell whose title has every part of ``name``.

    Args:
        cells: of an index.
        name: parts between slashes, each a part of the cell's title: ``wordlist/gender``.

    Raises:
        StoreError: none has, or several have; says which there are.
    """
    parts = [part.strip().lower() for part in name.split("/") if part.strip()]
    debiased = [cell for cell in cells if not cell.is_base]
    found = [cell for cell in debiased if set(parts) <= set(_parts(cell))]
    if len(found) == 1:
        return found[0]
    what = "several cells are" if found else "no cell is"
    shown = found or debiased
    titles = "; ".join(" / ".join(_parts(cell)) for cell in shown[:12])
    more = f"; and {len(shown) - 12} more" if len(shown) > 12 else ""
    raise StoreError(f"{what} '{name}': name parts of one, between slashes: {titles}{more}")


def _parts(cell: Cell) -> list[str]:
    seed = f"seed {cell.seed}" if cell.seed is not None else None
    parts = (cell.model, cell.debiaser, cell.corpus, cell.masker, cell.source, cell.label, seed)
    return [part.lower() for part in parts if part]


def method_name(cell: Cell, *, corpus: bool = True) -> str:
    """Name a method: debiaser, masker, corpus, and the label if it is not the usual one.

    Args:
        cell: of the method.
        corpus: name the corpus; no use where there is but one.
    """
    label = None if cell.label == "hateful" else cell.label
    parts = (cell.debiaser, cell.masker, cell.corpus if corpus else None, label)
    return " + ".join(p for p in parts if p)


def several_corpora(cells: Iterable[Cell]) -> bool:
    """Whether a method must be named with its corpus to be told from another."""
    return len({cell.corpus for cell in cells if cell.corpus is not None}) > 1


def is_control(cell: Cell) -> bool:
    """Whether methods are compared with a cell instead of ranked against it."""
    return cell.control_kind is not None
