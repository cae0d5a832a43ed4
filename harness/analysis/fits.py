"""The fits that curves and items are of: a method from a source, over its seeds."""

from __future__ import annotations

from typing import NamedTuple

from harness.storage.cells import Cell, MethodNames, is_control
from harness.storage.reader import RunReader


class Fit(NamedTuple):
    """What a curve is of: a method from a source, over its seeds."""

    model: str
    method: str
    source: str | None
    control: bool

    @property
    def label(self) -> str:
        """Method and source in words."""
        return f"{self.method} from {self.source}" if self.source else self.method


def fit_of(cell: Cell, names: MethodNames) -> Fit:
    """Return the fit that a cell belongs to; its seeds are one fit."""
    return Fit(cell.model, names.name(cell), cell.source, is_control(cell))


def fits(reader: RunReader) -> dict[Fit, list[Cell]]:
    """Return the debiased cells by fit, in the order of the index."""
    by_fit: dict[Fit, list[Cell]] = {}
    for cell in reader.index.cells:
        if not cell.is_base:
            by_fit.setdefault(fit_of(cell, reader.names), []).append(cell)
    return by_fit
