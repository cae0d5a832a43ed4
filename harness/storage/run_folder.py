"""The files of a run folder, which may come from anyone: named by keys, never through a link.

The files below ``records/``, ``items/``, ``failures/`` and ``masks/`` are bytes here;
`harness.storage.store` knows what they mean. A key is hexadecimal, so it can never
name a file outside of the folder; sub-folders and files that are links are refused.
"""

from __future__ import annotations

import errno
import gzip
import re
import shutil
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from harness.errors import StoreError
from harness.files import (
    PARTIAL,
    gunzip,
    is_real_file,
    is_real_folder,
    read_file,
    write_file,
)

Kind = Literal["records", "items", "failures", "masks"]
"""What a file holds; also the name of its folder."""

SUFFIX: dict[Kind, str] = {
    "records": ".json",
    "items": ".json.gz",
    "failures": ".json",
    "masks": ".json.gz",
}
"""How the files of each folder end."""

INDEX = "index.json"

SET_ASIDE = ".damaged"
"""Added to the name of a file that `harness run` could not use."""

MOST_BYTES = 256 * 2**20
"""No file of a run is larger, compressed or not."""

MOST_VALUES = 20_000_000
"""No file of a run holds more JSON values: each costs many times its bytes in memory."""

_KEY = re.compile(r"[0-9a-f]{1,64}", re.ASCII)


class RunFolder:
    """The folder of one run. Reads and writes whole files by kind and key."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[str, Path] = {kind: root / kind for kind in SUFFIX}

    def path(self, kind: Kind, key: str) -> Path:
        """Return the place of a file.

        Raises:
            StoreError: the key is not hexadecimal, so it may name a file elsewhere.
        """
        if not _KEY.fullmatch(key):
            raise StoreError(f"{self.root}: {key[:80]!r} is not a key of hexadecimal digits")
        return self._folders[kind] / f"{key}{SUFFIX[kind]}"

    def folder(self, kind: str) -> Path:
        """Return a sub-folder, which need not exist.

        Raises:
            StoreError: it is a link, or not a folder.
        """
        path = self._folders.get(kind) or self.root / kind
        if path.is_symlink() or (path.exists() and not is_real_folder(path)):
            raise StoreError(
                f"{path}: not a folder of this run but a link or a file; put the folder itself "
                "there (a run's folders are never followed elsewhere)"
            )
        return path

    def has(self, kind: Kind, key: str) -> bool:
        """Whether a file exists."""
        self.folder(kind)
        return is_real_file(self.path(kind, key))

    def keys(self, kind: Kind) -> Iterator[str]:
        """Keys of the files of a kind, in no order; other files are left alone."""
        end = SUFFIX[kind]
        for path in self.folder(kind).glob(f"*{end}"):
            key = path.name.removesuffix(end)
            if _KEY.fullmatch(key):
                yield key

    def read(self, kind: Kind, key: str) -> bytes | None:
        """Read a file; None if there is none.

        Raises:
            StoreError: it cannot be read, is a link, is not a regular file, or is too large.
        """
        self.folder(kind)
        return self._read(self.path(kind, key))

    def read_index(self) -> bytes | None:
        """Read the index; None if there is none.

        Raises:
            StoreError: as for `read`.
        """
        return self._read(self.root / INDEX)

    def _read(self, path: Path) -> bytes | None:
        try:
            return read_file(path, MOST_BYTES, follow=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{path}: cannot read: {error.strerror or error}") from None

    def write(self, kind: Kind, key: str, content: bytes) -> None:
        """Write a whole file, in place of an earlier one.

        Raises:
            StoreError: it cannot be written.
        """
        self.folder(kind)
        self.write_at(self.path(kind, key), content)

    def write_at(self, path: Path, content: bytes | Iterable[bytes]) -> None:
        """Write a whole file at a path of this folder.

        Raises:
            StoreError: it cannot be written.
        """
        try:
            write_file(path, content)
        except OSError as error:
            raise unwritable(path, error) from None

    def remove(self, kind: Kind, key: str) -> None:
        """Remove a file, if it exists.

        Raises:
            StoreError: it cannot be removed.
        """
        self.folder(kind)
        path = self.path(kind, key)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(path, error) from None

    def set_aside(self, path: Path) -> Path | None:
        """Rename a damaged file, so that a new one can take its place; None if there is none.

        Raises:
            StoreError: it cannot be renamed.
        """
        aside = path.with_name(path.name + SET_ASIDE)
        try:
            path.replace(aside)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unwritable(path, error) from None
        return aside

    def remove_partials(self) -> None:
        """Remove what killed runs left half written. Only the holder of the lock may call this."""
        folders = [self.root, *(self.root / kind for kind in (*SUFFIX, "checkpoints"))]
        for folder in folders:
            if folder != self.root and not is_real_folder(folder):
                continue
            for path in [*folder.glob(f".*{PARTIAL}"), *folder.glob(".probe-*")]:
                if is_real_folder(path):
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    with suppress(OSError):  # left-over files are no reason to stop
                        path.unlink()


def compressed(text: bytes) -> bytes:
    """Gzip a text, the same bytes for the same text."""
    return gzip.compress(text, mtime=0)


def unpacked_json(content: bytes) -> bytes:
    """Decompress a gzipped JSON text, within `MOST_BYTES` and `MOST_VALUES`.

    Raises:
        OSError: it is too large.
        zlib.error: it is damaged.
    """
    plain = gunzip(content, MOST_BYTES)
    check_values(plain)
    return plain


def check_values(text: bytes) -> None:
    """Refuse a JSON text of more than `MOST_VALUES` values.

    Raises:
        OSError: it has more.
    """
    if len(text) <= MOST_VALUES:  # a value is at least one byte
        return
    if text.count(b",") + text.count(b"[") + text.count(b"{") > MOST_VALUES:
        raise OSError(f"more than {MOST_VALUES:,} values")


def unwritable(path: Path, error: OSError) -> StoreError:
    """Say that a file cannot be written, and what to do."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
        return StoreError(
            f"{path}: cannot write: its folder was removed or replaced while the run went on; "
            "run the same command again, which measures what is missing"
        )
    remedy = _REMEDIES.get(error.errno or 0, "free some space")
    return StoreError(
        f"{path}: cannot write: {error.strerror or error}; what was finished before is "
        f"kept, {remedy} and run the same command again"
    )


_REMEDIES = {
    errno.EACCES: "allow writing there",
    errno.EPERM: "allow writing there",
    errno.EROFS: "allow writing there",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "close other programs that hold files open",
    errno.EIO: "check the disk",
}
"""What to do about errors of writing that more space does not help."""


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]


BROKEN = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    zlib.error,
)
"""What reading a damaged file can raise."""
