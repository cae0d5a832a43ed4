"""Overrides: the --set options of the commands, applied to a spec before it is checked."""

from __future__ import annotations

from typing import Any

from harness.errors import SpecError, did_you_mean
from harness.planning.spec import PLUGIN_KEYS
from harness.planning.yaml_lines import parse_yaml


def apply_override(data: dict[str, Any], override: str, *, option: str = "--set") -> None:
    """Set ``key=value`` in raw spec data; the value is YAML, the key may be dotted.

    A dotted part is a key, a position, or the name or label of a plugin in a list:
    ``debiaser.mlm-unlearning.learning_rate=1e-4``. A plugin named by a bare word becomes a
    mapping when a field of it is set.

    Raises:
        SpecError: not of that form, or the path leads nowhere.
    """
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise SpecError(f"{option} {override}: must be key=value")
    value, _ = parse_yaml(text, f"{option} {key}")
    *parents, last = key.strip().split(".")
    here: Any = data
    for depth, part in enumerate(parents):
        child = _child(here, part, f"{option} {override}")
        if isinstance(child, str) and parents[0] in PLUGIN_KEYS:
            child = {"use": child}
            _put(here, part, child, f"{option} {override}")
        elif child is None and (depth == 0 or parents[0] in PLUGIN_KEYS):
            child = {}
            _put(here, part, child, f"{option} {override}")
        here = child
    _put(here, last, value, f"{option} {override}")


def _child(here: Any, part: str, where: str) -> Any:
    if isinstance(here, dict):
        return here.get(part)
    if isinstance(here, list):
        return here[_position(here, part, where)]
    raise SpecError(f"{where}: nothing can be set below '{part}'")


def _position(entries: list[Any], part: str, where: str) -> int:
    if part.isdecimal() and int(part) < len(entries):
        return int(part)
    names = [_names_of(entry) for entry in entries]
    for i, own in enumerate(names):
        if part in own:
            return i
    known = [name for own in names for name in own]
    raise SpecError(f"{where}: no entry '{part}'{did_you_mean(part, known)}")


def _names_of(entry: Any) -> list[str]:
    if isinstance(entry, dict):
        return [str(entry[k]) for k in ("as", "use") if k in entry]
    return [str(entry)]


def _put(here: Any, part: str, value: Any, where: str) -> None:
    if isinstance(here, dict):
        here[part] = value
    elif isinstance(here, list):
        here[_position(here, part, where)] = value
    else:
        raise SpecError(f"{where}: nothing can be set below '{part}'")
