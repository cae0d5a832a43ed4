"""Where data comes from: pins, the places looked in, checksums.

A data set is looked for in the path that the spec gives, then in ``--data-dir`` /
``HARNESS_DATA``, then in the user cache, and fetched last. Nothing runs remote code.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path


def user_cache() -> Path:
    """``HARNESS_CACHE``, else ``XDG_CACHE_HOME/bias-transfer-harness``, else under ``~/.cache``."""
    if own := os.environ.get("HARNESS_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "bias-transfer-harness"


@dataclass(frozen=True)
class DataStore:
    """The places where data is looked for, in order, and the cache that fetched data goes to."""

    data_dir: Path | None = None
    cache_dir: Path = field(default_factory=user_cache)
    offline: bool = False
