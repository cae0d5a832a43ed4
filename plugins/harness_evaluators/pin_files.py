"""Pins of data sets that are many files: their addresses and checksums are in ``checksums/``."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from harness.data.pins import PinnedFile


def checksums_of(name: str) -> tuple[str, tuple[PinnedFile, ...]]:
    """Read the files of a pin.

    Args:
        name: name of a JSON file in ``checksums/``: its ``base`` is the address that all files
            are below, its ``files`` maps each file's path to its SHA-256.

    Returns:
        The base address, and the files.
    """
    source = files("harness_evaluators") / "checksums" / f"{name}.json"
    table: dict[str, Any] = json.loads(source.read_text("utf-8"))
    base = str(table["base"])
    return base, tuple(
        PinnedFile(path, base + path, sha256) for path, sha256 in table["files"].items()
    )
