"""Pins: where a data set comes from, and how to check that a copy is the right one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from harness.data.files import Stamp, opened, read_bytes, stamp
from harness.errors import DataError

Row = tuple[str, ...]
"""A parsed item: id, text, label, domain, … as the pin's ``parse`` defines it."""


State = Literal["bytes ok", "items ok", "altered", "unpinned"]
"""``bytes ok``: the canonical bytes; ``items ok``: other bytes, the same items in the same order;
``altered``: neither; ``unpinned``: no checksum is known, so it cannot be checked."""


class PinnedFile(NamedTuple):
    """One file of a data set that has several: path below the set's folder, address, checksum."""

    filename: str
    url: str
    sha256: str


@dataclass(frozen=True)
class Pin:
    """A data set that is not in the repository: its address, checksums and parser.

    Attributes:
        name: short name, such as ``crows-pairs``.
        filename: path below a data folder, such as ``crows_pairs/crows_pairs_anonymized.csv``; a
            folder where the set has several ``files``.
        url: canonical public address of the file at a fixed revision.
        sha256: checksum of the canonical bytes, where known.
        items_sha256: `items_hash` of the parsed items, the same for every faithful copy.
        parse: reads the file (or folder) into canonical rows (id, text, label, domain, …), in
            order. It raises DataError for what it cannot read.
        licence: SPDX id or words; `citation`: short reference; `defects`: known defects.
        homepage: page for people, where it is not the address.
        git_blob: git's id of the canonical bytes, for a file whose sha256 nobody published.
        n_items: number of items behind ``items_sha256``, so that a truncated file is named so.
        archive_member: the address is a zip; this is the file in it.
        files: the files of a set that has several; then ``filename`` is their folder.
    """

    name: str
    filename: str
    url: str
    sha256: str | None
    items_sha256: str | None
    parse: Callable[[Path], Iterable[Row]]
    licence: str
    citation: str
    defects: str = ""
    homepage: str = ""
    git_blob: str | None = None
    n_items: int | None = None
    archive_member: str | None = None
    files: tuple[PinnedFile, ...] = ()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hex digits.

    Raises:
        DataError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with opened(path) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def file_git_blob(path: Path) -> str:
    """Return the id that git gives a file: SHA-1 over ``blob <size>\\0`` and its bytes.

    Raises:
        DataError: the file cannot be read.
    """
    content = read_bytes(path)
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def items_hash(rows: Iterable[Row]) -> str:
    """Return the SHA-256 over parsed items in order: each row a JSON array on its own line.

    JSON quotes its strings, so no two different lists of rows serialise alike.
    """
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, separators=(",", ":")).encode("ascii"))
        digest.update(b"\n")
    return digest.hexdigest()


class Checked(NamedTuple):
    """What `check` returns: the state, the parsed items, and the hash over them."""

    state: State
    rows: tuple[Row, ...]
    items_sha256: str


def bytes_match(pin: Pin, path: Path) -> bool:
    """Return whether a file, or every file of a set, has the canonical bytes."""
    if pin.files:
        return all(file_sha256(path / part.filename) == part.sha256 for part in pin.files)
    if pin.sha256 is not None:
        return file_sha256(path) == pin.sha256
    return pin.git_blob is not None and file_git_blob(path) == pin.git_blob


def check(pin: Pin, path: Path) -> Checked:
    """Parse a data set and say whether it is the pinned one.

    The same files are parsed once in a process; a file that changed is parsed again.

    Raises:
        DataError: it cannot be read or parsed.
    """
    files = [path / part.filename for part in pin.files] or [path]
    return _checked(pin, path, tuple(stamp(file) for file in files))


@lru_cache(maxsize=16)
def _checked(pin: Pin, path: Path, stamps: tuple[Stamp, ...]) -> Checked:
    """``stamps`` tells one state of the files from another."""
    try:
        same_bytes = bytes_match(pin, path)
        rows = tuple(pin.parse(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    items_sha256 = items_hash(rows)
    state: State
    if same_bytes:
        state = "bytes ok"
    elif pin.items_sha256 is not None:
        state = "items ok" if items_sha256 == pin.items_sha256 else "altered"
    else:
        has_checksum = pin.files or pin.sha256 is not None or pin.git_blob is not None
        state = "altered" if has_checksum else "unpinned"
    return Checked(state, rows, items_sha256)


def verified(pin: Pin, path: Path, *, verify: bool = True) -> tuple[Row, ...]:
    """Return the parsed items of a data set after checking that they are the pinned ones.

    A copy with other bytes but the same items in the same order is accepted.

    Args:
        pin: the data set it should be.
        path: what `DataStore.locate` gave.
        verify: False accepts any items that can be parsed (a plugin's ``verify: false``).

    Raises:
        DataError: it cannot be read or parsed, holds nothing, or an item is altered, missing or
            added.
    """
    checked = check(pin, path)
    if verify and checked.state == "altered":
        raise DataError(altered(pin, path, len(checked.rows)))
    if not checked.rows:
        raise DataError(
            f"{path}: holds no item of data set '{pin.name}'; name a file that has some with "
            f"'path', or restore this one (`harness data fetch {pin.name}`)"
        )
    return checked.rows


def altered(pin: Pin, path: Path, n_items: int) -> str:
    """Return the message that a data set is not the pinned one, and what to do."""
    if pin.n_items is not None and n_items != pin.n_items:
        what = f"it has {n_items} items instead of {pin.n_items}"
    else:
        what = "an item is altered or out of order"
    return (
        f"{path}: this is not the pinned data set '{pin.name}': {what}; restore it (delete it and "
        f"run `harness data fetch {pin.name}`), or set 'verify: false' if you mean your own version"
    )


def inside(folder: Path, name: str) -> Path:
    """Return ``folder / name`` if that stays in the folder, links followed.

    Raises:
        DataError: it does not.
    """
    path = folder / name
    try:
        stays = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # a link to itself, a name that cannot be
        stays = False
    if not stays:
        raise DataError(f"{path} leads out of {folder}; put a copy of the file there")
    return path
