"""Overrides: the --set options of the commands, applied to a spec before it is checked."""

from __future__ import annotations

from typing import Any

from harness.errors import SpecError, did_you_mean
from harness.planning.spec import PLUGIN_KEYS, Spec
from harness.planning.yaml_lines import Lines, Path, parse_yaml

MOST_SHOWN = 80
"""Characters of an override that a message shows."""


def apply_override(
    data: dict[str, Any], override: str, *, option: str = "--set", lines: Lines | None = None
) -> None:
    """Set ``key=value`` in raw spec data; the value is YAML, the key may be dotted.

    A dotted part is a key, a position, or the name or label of a plugin in a list:
    ``debiaser.mlm-unlearning.learning_rate=1e-4``. A plugin named by a bare word becomes a
    mapping when a field of it is set.

    Args:
        data: the keys of a spec; changed in place.
        override: the assignment.
        option: what messages call the option.
        lines: notes that the value comes from the option.

    Raises:
        SpecError: not of that form, or the path does not exist.
    """
    shown = f"{option} {_short(override)}"
    key, equals, text = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts):
        raise SpecError(f"{shown}: must be KEY=VALUE, with dots between the parts of a key")
    value, _ = parse_yaml(text, f"{option} {_short(key.strip())}")
    if parts[0] not in data and parts[0] not in Spec.model_fields:
        fields = list(Spec.model_fields)
        raise SpecError(
            f"{shown}: unknown key '{_short(parts[0])}'{did_you_mean(parts[0], fields)}"
        )
    path = _Setter(parts, shown).set(data, value)
    if lines is not None:
        lines.note_option(path, f"{option} {key.strip()}")


class _Setter:
    """Walks from the top of a spec to the place of one key."""

    def __init__(self, parts: list[str], shown: str) -> None:
        self._parts = parts
        self._shown = shown

    def set(self, data: dict[str, Any], value: Any) -> Path:
        """Put a value in its place; return where that is."""
        place: Any = data
        path: list[str | int] = []
        for depth, part in enumerate(self._parts[:-1]):
            step = self._step(place, part, depth)
            child = place.get(step) if isinstance(place, dict) else place[step]
            if isinstance(child, str) and self._parts[0] in PLUGIN_KEYS:
                child = place[step] = {"use": child}
            elif child is None and (depth == 0 or self._parts[0] in PLUGIN_KEYS):
                child = place[step] = {}
            path.append(step)
            place = child
        last = self._step(place, self._parts[-1], len(self._parts) - 1)
        place[last] = value
        return (*path, last)

    def _step(self, place: Any, part: str, depth: int) -> str | int:
        """The key or position that a part of the path means."""
        if isinstance(place, dict):
            return part
        above = ".".join(self._parts[:depth])
        if not isinstance(place, list):
            raise SpecError(f"{self._shown}: '{above}' has no keys, so '{part}' cannot be set")
        if part.isascii() and part.isdecimal() and int(part) < len(place):
            return int(part)
        names = [_names_of(entry) for entry in place]
        for position, labels in enumerate(names):
            if part in labels:
                return position
        every = [name for labels in names for name in labels]
        raise SpecError(
            f"{self._shown}: '{above}' has no entry '{part}'{did_you_mean(part, every)}"
        )


def _short(text: str) -> str:
    """The beginning of a text, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= MOST_SHOWN else f"{line[: MOST_SHOWN - 1]}…"


def _names_of(entry: Any) -> list[str]:
    if isinstance(entry, dict):
        return [str(entry[key]) for key in ("as", "use") if key in entry]
    return [str(entry)]
