"""Cells: what identifies a debiased model of a run, its names, its selection and its order.

This is the only module that lists the axes of a run. To add an axis, add a field to `Identity`
and to `Cell`, decide in `Identity.title` and `MethodNames` how it is shown, and fill it in the
planner. Tables, figures, exports, comparisons and replays use what is defined here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from harness.errors import StoreError
from harness.types import ControlKind

USUAL_LABEL = "hateful"
"""The passage label that names leave out."""


class Identity(NamedTuple):
    """The axes in which the cells of a run differ, in the order of exported columns.

    The base model has a `model` and nothing else. Axes that a method does not depend on (the
    masker of a method that reads no masks) are None.
    """

    model: str
    debiaser: str | None = None
    masker: str | None = None
    corpus: str | None = None
    source: str | None = None
    label: str | None = None
    seed: int | None = None

    def without(self, *axes: str) -> Identity:
        """Return the identity with these axes set to None, to group cells that differ in them."""
        return self._replace(**dict.fromkeys(axes))  # type: ignore[arg-type]

    def parts(self) -> list[str]:
        """Return the words of the title: the axes that have a value, from model to seed."""
        seed = f"seed {self.seed}" if self.seed is not None else None
        words = (self.model, self.debiaser, self.corpus, self.masker, self.source, self.label, seed)
        return [word for word in words if word]

    def title(self) -> str:
        """Return a short name: ``model / debiaser / corpus / masker / source / label / seed 0``."""
        return " / ".join(self.parts() if self.debiaser else [self.model, "base"])


AXES = Identity._fields
"""Names of the axes, in their order."""

PLURALS = {
    "model": "models",
    "corpus": "corpora",
    "source": "sources",
    "label": "labels",
    "masker": "maskers",
    "debiaser": "debiasers",
    "seed": "seeds",
}
"""What several values of an axis are called, in the order of a spec."""

AXIS_TITLES: Mapping[str, str] = {
    "model": "base model",
    "debiaser": "method",
    "masker": "words that were masked by",
    "corpus": "corpus",
    "source": "source domain",
    "label": "label of the passages",
    "seed": "seed",
}
"""What each axis is, for people who read about a single cell, in the order to show them."""

METHOD_AXES = ("debiaser", "masker", "corpus", "label")
"""The axes that make a method; the others say on what model, from which source and seed."""


class Stored(BaseModel):
    """Base of everything that is written to the store."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Key = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{1,64}$")]
"""A content key. It names files, so it is hexadecimal and never a path."""


class MeasureRef(Stored):
    """One evaluator at one step, and the key of the record that answers it."""

    step: Annotated[int, Field(ge=0, description="0: the base model")]
    evaluator: Annotated[str, Field(description="label of the evaluator in the spec")]
    key: Key


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
    fit_key: Key | None = None
    measures: tuple[MeasureRef, ...]

    @model_validator(mode="before")
    @classmethod
    def _read_old_control(cls, data: Any) -> Any:
        """Older indexes also store ``control``, True for a method that does nothing."""
        if isinstance(data, Mapping) and "control" in data:
            data = dict(data)
            if data.pop("control") is True and data.get("control_kind") is None:
                data["control_kind"] = "identity"
        return data

    @property
    def identity(self) -> Identity:
        """The axes of the cell."""
        return Identity(*(getattr(self, axis) for axis in AXES))

    @property
    def is_base(self) -> bool:
        """True for the model as it was loaded."""
        return self.debiaser is None

    @property
    def steps(self) -> list[int]:
        """The measured steps, ascending."""
        return sorted({ref.step for ref in self.measures})

    def measured_step(self, step: int | None) -> int:
        """Return ``step`` if it is measured, else the last measured step."""
        steps = self.steps
        return step if step is not None and step in steps else max(steps, default=0)

    def debiased_step(self, step: int | None) -> int:
        """Return ``step``, or the last step for None.

        Raises:
            StoreError: the cell has no such step; says which it has.
        """
        steps = [measured for measured in self.steps if measured > 0]
        chosen = step if step is not None else max(steps, default=0)
        if chosen not in steps:
            listed = ", ".join(map(str, steps)) or "none"
            raise StoreError(f"{self.title()} has no step {chosen} (known: {listed})")
        return chosen

    def title(self) -> str:
        """Return a short name: the axes that have a value, from model to seed."""
        return self.identity.title()


def is_control(cell: Cell) -> bool:
    """Whether methods are compared with a cell instead of ranked against it."""
    return cell.control_kind is not None


def has_usual_label(cell: Cell) -> bool:
    """Whether a cell learned from hateful passages, or from none."""
    return cell.label in (None, USUAL_LABEL)


def method_labels(cell: Cell) -> set[str]:
    """Return the labels of the spec by which a method can be asked for, such as a control."""
    return {cell.debiaser, cell.masker, cell.label} - {None}  # type: ignore[return-value]


def shared_axes(one: Cell, other: Cell) -> frozenset[str]:
    """Return the axes on which two cells agree, also where both have no value."""
    pairs = zip(AXES, one.identity, other.identity, strict=True)
    return frozenset(axis for axis, first, second in pairs if first == second)


def in_common(cells: Sequence[Cell]) -> Cell:
    """Return the first of several cells without the axes in which they differ.

    A fit that reads no passage or mask (`dropout`) is the same for every label and masker.
    """
    shared = set(AXES).intersection(*(shared_axes(cells[0], cell) for cell in cells))
    return cells[0].model_copy(update={axis: None for axis in AXES if axis not in shared})


def method_of(cell: Cell) -> Identity:
    """Return the identity of a cell's model and method, without its source and seed."""
    others = [axis for axis in AXES if axis != "model" and axis not in METHOD_AXES]
    return cell.identity.without(*others)


class MethodNames:
    """Names methods, the same way in every table and figure.

    A name is ``debiaser + masker + corpus (label)``. The corpus is left out where all cells have
    the same one, the label where it is the usual one.

    Args:
        cells: all cells that are shown together, of one run or several.
    """

    def __init__(self, cells: Iterable[Cell]) -> None:
        self._corpus = len({cell.corpus for cell in cells if cell.corpus is not None}) > 1

    def name(self, cell: Cell) -> str:
        """Return the name of a cell's method."""
        parts = (cell.debiaser, cell.masker, cell.corpus if self._corpus else None)
        words = " + ".join(part for part in parts if part)
        return words if has_usual_label(cell) else f"{words} ({cell.label})"


def select_cell(cells: tuple[Cell, ...], name: str) -> Cell:
    """Return the one debiased cell whose title has every part of ``name``.

    Args:
        cells: of an index.
        name: parts between slashes, each a part of the cell's title: ``wordlist/gender``.

    Raises:
        StoreError: no cell has all parts, or several cells have; lists them.
    """
    wanted = {part.strip().lower() for part in name.split("/") if part.strip()}
    debiased = [cell for cell in cells if not cell.is_base]
    chosen = [
        cell for cell in debiased if wanted <= {part.lower() for part in cell.identity.parts()}
    ]
    if len(chosen) == 1:
        return chosen[0]
    problem = "several cells are" if chosen else "no cell is"
    shown = chosen or debiased
    titles = "; ".join(cell.title().lower() for cell in shown[:12])
    more = f"; and {len(shown) - 12} more" if len(shown) > 12 else ""
    raise StoreError(f"{problem} '{name}': name parts of one, between slashes: {titles}{more}")
