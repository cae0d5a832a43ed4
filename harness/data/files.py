"""Reading files safely: regular files only, bounded, and errors that name the path."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from harness.errors import DataError

MAX_BYTES = 4 << 30
"""Largest file that is read, in bytes."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

Stamp = tuple[int, int, int, int]
"""Device, inode, size and time of change: other content almost always means another stamp."""


@contextmanager
def opened(path: Path, most: int | None = None) -> Iterator[BinaryIO]:
    """Open a regular file for reading; a pipe or a device is refused without waiting for it.

    Args:
        path: the file; a link to a file counts as the file.
        most: refuse a larger file, in bytes; default: `MAX_BYTES`.

    Raises:
        DataError: it is missing, not a regular file, too large, or cannot be read.
    """
    try:
        # without O_NONBLOCK, opening a pipe waits for a writer
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise DataError(f"{shown(path)}: cannot be read: {_reason(error)}") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "not a file")
        raise DataError(f"{shown(path)}: cannot be read: it is {kind}; name a file")
    with os.fdopen(descriptor, "rb") as stream:
        limit = MAX_BYTES if most is None else most
        if status.st_size > limit:
            raise DataError(
                f"{shown(path)}: {status.st_size:,} bytes, more than the limit of {limit:,}; "
                "split the file"
            )
        try:
            yield stream
        except OSError as error:
            raise DataError(f"{shown(path)}: cannot be read: {_reason(error)}") from None


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        DataError: see `opened`.
    """
    with opened(path, most) as stream:
        return stream.read()


def is_file(path: Path) -> bool:
    """Return whether a path leads to a regular file; False also for a path that cannot exist."""
    return _mode(path, stat.S_ISREG)


def is_folder(path: Path) -> bool:
    """Return whether a path leads to a folder; False also for a path that cannot exist."""
    return _mode(path, stat.S_ISDIR)


def expanded(name: str | Path) -> Path:
    """Return a path with ``~`` replaced by a home folder; unchanged if there is no such user."""
    path = Path(name)
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def stamp(path: Path) -> Stamp:
    """Return what tells one state of a file from another without reading it.

    Raises:
        DataError: the file is missing or cannot be looked at.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise DataError(f"{shown(path)}: cannot be read: {_reason(error)}") from None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _mode(path: Path, test: Callable[[int], bool]) -> bool:
    try:
        return test(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def shown(path: Path) -> str:
    """Return a path as messages print it: on one line, and cut if it is very long."""
    text = str(path).encode("utf-8", "backslashreplace").decode("utf-8")
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return text if len(text) <= 300 else f"{text[:200]}…{text[-80:]}"
