"""A lock on a file that a process holds and that ends with the process."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

try:
    import fcntl
except ImportError:  # no such locks on Windows: nothing is locked there
    fcntl = None  # type: ignore[assignment]

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)


class LockedElsewhereError(Exception):
    """Another process holds the lock; the message is what that process wrote into the file."""


@contextmanager
def file_lock(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock for a block. The kernel releases it when the process ends, even by SIGKILL.

    The file names the holder and is removed at the end. A file that a killed process left behind
    does not lock anything.

    Args:
        path: the file; its folder exists.
        wait: wait until the lock is free instead of raising.

    Raises:
        LockedElsewhereError: another process holds it, and ``wait`` is False.
        OSError: the file cannot be made, is a link, or its file system has no locks.
    """
    descriptor = _acquire(path, wait)
    try:
        with suppress(OSError):  # a full disk: the lock holds, only its note is missing
            now = datetime.now(timezone.utc).isoformat(timespec="seconds")
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}, {now}".encode())
        yield
    finally:
        with suppress(OSError):  # the folder is gone or read-only: closing it frees the lock
            path.unlink()
        os.close(descriptor)


def _acquire(path: Path, wait: bool) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _NO_FOLLOW, 0o644)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
                raise OSError(errno.EINVAL, "the lock is not a file of its own", str(path))
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            # its last holder may have removed the file between our opening and locking it
            if _is(path, descriptor):
                os.ftruncate(descriptor, 0)
                return descriptor
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace")
            os.close(descriptor)
            raise LockedElsewhereError(holder or "another process") from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is(path: Path, descriptor: int) -> bool:
    """Whether the path still names the open file."""
    try:
        named = path.lstat()
    except FileNotFoundError:
        return False
    opened = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)
