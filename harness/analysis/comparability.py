"""Whether runs can be ranked together: they must measure the same things in the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis.matrix import Matrix
from harness.planning.spec import stored_limits
from harness.storage.records import RunIndex

NEUTRAL_KEYS = frozenset({"path", "verify", "label"})
"""Settings that say where data are, not what they are."""


def settings_of(index: RunIndex, matrix: Matrix) -> dict[str, str]:
    """What must be equal in two runs whose methods are ranked together, each with its value.

    Limits, steps and the evaluators' settings come from the spec; the number of items of each
    bias score comes from what was measured.
    """
    spec = index.spec
    settings = _flat("limits", stored_limits(spec.get("limits")))
    settings["steps"] = str(spec.get("steps"))
    for use in spec.get("evaluators") or []:  # type: ignore[union-attr]  # a list, or absent
        if isinstance(use, Mapping):
            name = str(use.get("label") or use.get("use"))
            settings |= _flat(f"evaluator {name}", use.get("config") or {})
    for (_, column), metric in matrix.base.items():
        if metric.role == "bias":
            where = f"{column.metric} ({column.evaluator}, {column.protocol}) on {column.domain}"
            settings[f"items of {where}"] = str(metric.n)
    return settings


def differences(runs: Sequence[tuple[str, Mapping[str, str]]]) -> list[tuple[str, list[str]]]:
    """How runs differ from the first one.

    Args:
        runs: name and settings of each run.

    Returns:
        For each further run its name and what differs, one phrase each; nothing if nothing does.
    """
    first_name, first = runs[0]
    phrases_by_run = []
    for name, settings in runs[1:]:
        phrases = []
        for key in dict.fromkeys([*first, *settings]):
            mine, theirs = first.get(key, "not there"), settings.get(key, "not there")
            if mine != theirs:
                phrases.append(f"{key} is {mine} in {first_name} and {theirs} in {name}")
        phrases_by_run.append((name, phrases))
    return phrases_by_run


def _flat(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {name: "all" if value is None else str(value)}
    settings: dict[str, str] = {}
    for key, part in value.items():
        if key not in NEUTRAL_KEYS:
            settings |= _flat(f"{name}.{key}", part)
    return settings
