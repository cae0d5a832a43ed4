"""Narrower axes of one debiaser: with which entries of the axes it is combined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, RootModel, field_validator

from harness.errors import SpecError
from harness.planning.yaml_lines import Lines, Path
from harness.storage.cells import PLURALS

AXES: Mapping[str, str] = {plural: axis for axis, plural in PLURALS.items() if axis != "debiaser"}
"""Reserved keys of an entry of `debiaser`, and the axis that each of them narrows."""


class Narrowing(RootModel[dict[str, tuple[str | int, ...] | None]]):
    """Entries of the axes, by their labels, that a debiaser is combined with; None: all of them.

    It says which cells exist, not what is in them, so no content key holds it.
    """

    model_config = ConfigDict(frozen=True)

    @field_validator("root")
    @classmethod
    def _known_axes(cls, root: dict[str, Any]) -> dict[str, Any]:
        for axis in root:
            if axis not in AXES:
                raise ValueError(f"'{axis}' is not an axis ({', '.join(AXES)})")
        return root

    def allows(self, axis: str, value: object) -> bool:
        """Whether an entry (its label, or the value itself) of an axis of `AXES` takes part."""
        kept = self.root.get(axis)
        return kept is None or value in kept


def take_narrowing(entry: dict[str, Any]) -> dict[str, list[Any]]:
    """Take the reserved keys out of a debiaser's entry; a single value becomes a list."""
    narrowed = {key: entry.pop(key) for key in AXES if key in entry}
    return {key: value if isinstance(value, list) else [value] for key, value in narrowed.items()}


def check_narrowing(
    narrowed: Mapping[str, list[Any]], axes: Mapping[str, list[Any]], path: Path, lines: Lines
) -> Narrowing:
    """Hold narrowed axes against the whole ones, which are given by the names of `AXES`.

    Raises:
        SpecError: an empty list, or a value that the axis does not have; with its line.
    """
    for key, values in narrowed.items():
        where = f"{lines.where((*path, key))}: {key}"
        allowed = axes[key]
        if not values:
            raise SpecError(f"{where}: give one or more of the spec's {AXES[key]} entries")
        for i, value in enumerate(values):
            if value in values[:i]:
                raise SpecError(f"{where}: {value!r} is given twice")
            if value not in allowed or isinstance(value, bool):
                raise SpecError(
                    f"{where}: '{value}' is not among the spec's {AXES[key]} entries "
                    f"({', '.join(map(str, allowed)) or 'none'})"
                )
    return Narrowing.model_validate({key: tuple(values) for key, values in narrowed.items()})
