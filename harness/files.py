"""Files that may come from anyone, and files that must never be half written.

Everything that the harness writes appears whole under its name or not at all: it is written
next to its place, synced and renamed, so a link of that name is replaced, never followed. What is
read is a regular file of bounded size, so a device, a pipe or a gzip bomb can neither hang a
command nor fill the memory.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # there are no such locks on Windows: nothing is locked there
    fcntl = None  # type: ignore[assignment]

PARTIAL = ".partial"
"""How the names of files and folders end that are being written."""

PIECE = 2**16
"""Bytes that are read at once: to ask for as many as a file may have makes room for as many."""

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)


def read_file(path: Path, limit: int, *, follow: bool = True) -> bytes:
    """Read a whole regular file of at most ``limit`` bytes.

    Args:
        path: the file.
        limit: most bytes that are read.
        follow: read what a link at ``path`` names; False: refuse a link.

    Raises:
        OSError: it is missing, unreadable, a link (where refused), not a regular file (a folder, a
            device, a pipe) or longer than ``limit``; ``strerror`` says which.
    """
    content = bytearray()
    with open_file(path, follow=follow) as stream:
        while piece := stream.read(PIECE):
            content += piece
            if len(content) > limit:
                raise OSError(errno.EFBIG, f"longer than {limit // 2**20} MiB", str(path))
    return bytes(content)


@contextmanager
def open_file(path: Path, *, follow: bool = True) -> Iterator[BinaryIO]:
    """Open a regular file for reading; never waits, as opening a pipe would.

    Raises:
        OSError: as for `read_file`.
    """
    _check_regular(os.stat(path) if follow else os.lstat(path), path)
    flags = os.O_RDONLY | _NO_WAIT | (0 if follow else _NO_FOLLOW)
    with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as stream:
        _check_regular(os.fstat(stream.fileno()), path)
        yield stream


def _check_regular(status: os.stat_result, path: Path) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise OSError(errno.ELOOP, "a link, which is not followed", str(path))
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "a folder, not a file", str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))


def gunzip(content: bytes, limit: int) -> bytes:
    """Decompress one gzip member into at most ``limit`` bytes.

    Raises:
        OSError: there is more than ``limit``.
        zlib.error: the content is not one whole gzip member.
    """
    decompressor = zlib.decompressobj(wbits=31)
    plain = decompressor.decompress(content, limit + 1)
    if len(plain) > limit:
        raise OSError(errno.EFBIG, f"longer than {limit // 2**20} MiB when decompressed")
    if not decompressor.eof:
        raise zlib.error("the compressed data is cut off")
    if decompressor.unused_data:
        raise zlib.error("the compressed data is followed by other data")
    return plain


def is_real_folder(path: Path) -> bool:
    """Whether a path is a folder itself, and not a link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def is_real_file(path: Path) -> bool:
    """Whether a path is a regular file itself, and not a link to one."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def write_file(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a whole file in place of what is there; a failed write leaves the old file.

    Args:
        path: the file.
        content: its bytes, or parts of them in order.

    Raises:
        OSError: it cannot be written, or a device, pipe or folder has that name, which is not ours
            to replace.
    """
    with suppress(FileNotFoundError):
        mode = os.lstat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise OSError(errno.EINVAL, f"{kind}, which is not replaced", str(path))
    partial = path.with_name(f".{path.name[:60]}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        with partial.open("xb") as stream:
            stream.writelines([content] if isinstance(content, bytes) else content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
        sync(path.parent)  # a power cut does not undo the new name either
    except BaseException:
        with suppress(OSError):  # the first error is the one to report
            partial.unlink()
        raise


def write_output(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a file that a user named: as `write_file`, and devices and pipes directly.

    What ``/dev/stdout`` and other links to a device name is written to; no link or device is
    replaced.

    Raises:
        OSError: it cannot be written.
    """
    mode = None
    with suppress(OSError):
        mode = path.stat().st_mode
    if mode is None or stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        write_file(path, content)
    else:
        with path.open("wb") as stream:
            stream.writelines([content] if isinstance(content, bytes) else content)


@contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Make a folder for temporary files, which is removed at the end of the block.

    Folders that killed processes left behind under the same prefix are removed first; those of
    living processes are not.

    Args:
        parent: made if it does not exist.
        prefix: how the name begins; it has at most 60 characters.

    Raises:
        OSError: it cannot be made.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for stale in parent.glob(f"{_literal(prefix)}*"):
        _remove_unless_held(stale)
    folder, lock = _held_folder(parent, prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a folder that appears whole or not at all.

    Yields an empty folder to be filled. At the end of the block it becomes ``path``, in place of
    an empty folder; after an error it is removed.

    Raises:
        OSError: it cannot be made, or ``path`` is taken.
    """
    with scratch_folder(path.parent, f".{path.name[:40]}{PARTIAL}-") as scratch:
        folder = scratch / "whole"
        folder.mkdir()
        yield folder
        use_usual_modes(folder)
        sync_tree(folder)
        with suppress(FileNotFoundError):
            path.rmdir()  # nothing but an empty folder gives way
        folder.rename(path)
        sync(path.parent)


def _literal(name: str) -> str:
    """Escape a name for `Path.glob`, so that it matches itself only."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _held_folder(parent: Path, prefix: str) -> tuple[Path, int]:
    """A new folder, and the descriptor whose lock says that a living process uses it."""
    while True:
        folder = parent / f"{prefix}{secrets.token_hex(4)}"
        folder.mkdir()
        try:
            lock = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # another process took it for left behind
            continue
        if fcntl is not None:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        os.close(lock)


def _remove_unless_held(folder: Path) -> None:
    """Remove a folder whose process is gone."""
    if fcntl is None or not is_real_folder(folder):
        return
    with suppress(OSError):
        lock = os.open(folder, os.O_RDONLY | _NO_FOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def use_usual_modes(folder: Path) -> None:
    """Give every file below a folder the mode that a new file gets; some libraries write 0600."""
    usual = stat.S_IMODE(folder.stat().st_mode) & 0o666
    for path in folder.rglob("*"):
        if is_real_file(path):
            path.chmod(usual)


def sync_tree(folder: Path) -> None:
    """Have every file and folder below a folder, and itself, on the disk.

    Raises:
        OSError: one cannot be opened or synced.
    """
    for path in (*folder.rglob("*"), folder):
        if is_real_file(path) or is_real_folder(path):
            sync(path)


def sync(path: Path) -> None:
    """Have a file or folder on the disk.

    Raises:
        OSError: it cannot be opened or synced.
    """
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def links_below(folder: Path) -> list[Path]:
    """Everything below a folder that is neither a regular file nor a folder: links, devices."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if not (is_real_file(path) or is_real_folder(path))
    ]
