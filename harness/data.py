"""Where data comes from: pins, the places looked in, checksums.

A data set is looked for in the path that the spec gives, then in ``--data-dir`` /
``HARNESS_DATA``, then in the user cache, and fetched last. Nothing runs remote code.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
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

    def locate(self, pin: Pin, override: str | Path | None = None) -> Path:
        """Return the path of a pinned file, fetching it if need be; its bytes are not trusted yet.

        Raises:
            DataError: it is nowhere and cannot be fetched.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Pin:
    """A data set that is not in the repository: where it is, and how to know it is that one.

    Attributes:
        name: short name, such as ``crows-pairs``.
        filename: path below a data folder, such as ``crows_pairs/crows_pairs_anonymized.csv``.
        url: canonical public address of the file at a fixed revision.
        sha256: checksum of the canonical bytes, where known.
        items_sha256: `items_hash` of the parsed items, the same for every faithful copy.
        parse: reads a file into canonical rows (id, text, label, domain, …), in order.
        licence: SPDX id or words; `citation`: short reference; `defects`: known defects.
    """

    name: str
    filename: str
    url: str
    sha256: str | None
    items_sha256: str | None
    parse: Callable[[Path], Iterable[tuple[str, ...]]]
    licence: str
    citation: str
    defects: str = ""
