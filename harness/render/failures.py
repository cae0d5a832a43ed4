"""Failures of a run by their cause."""

from __future__ import annotations

from collections.abc import Iterable


def by_cause(failures: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Group titles by reason; causes and titles keep the order of their first appearance."""
    causes: dict[str, dict[str, None]] = {}
    for title, reason in failures:
        causes.setdefault(reason, {})[title] = None
    return {reason: list(titles) for reason, titles in causes.items()}
