"""Files on their way to workers that share no folder with the driver.

The driver packs a file or folder into pieces that it puts wherever workers can fetch them from;
a worker lays them out in its own cache, under a name made from their content, once a machine.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data.places import DataStore
from harness.errors import DataError, HarnessError
from harness.families import Plugin
from harness.files import scratch_folder
from harness.storage.locking import file_lock

PIECE = 32 * 1024 * 1024
"""Bytes that travel at a time."""

SHIPPED = "shipped"
"""Folder of a cache under which parcels are laid out by the hash of their content."""


@dataclass(frozen=True)
class Packed:
    """One file of a parcel.

    Attributes:
        path: below the parcel's place, with slashes; empty where the parcel is this file alone.
        pieces: what to fetch its bytes by, in order.
    """

    path: str
    pieces: tuple[Any, ...]


@dataclass(frozen=True)
class Parcel:
    """A file or folder, packed.

    Attributes:
        place: where it is laid out, below a cache, with slashes.
        files: its files.
    """

    place: str
    files: tuple[Packed, ...]


def pack(files: Mapping[str, Path], name: str, put: Callable[[bytes], Any]) -> Parcel:
    """Pack files under a place of their own, ``shipped/<hash of names and bytes>/<name>``.

    Args:
        files: by path below the place; see `files_of`.
        name: last part of the place.
        put: takes bytes, returns what a worker fetches them by.

    Raises:
        DataError: a file cannot be read.
    """
    return pack_at(files, f"{SHIPPED}/{_content_hash(files)}/{name}", put)


def _content_hash(files: Mapping[str, Path]) -> str:
    """Hash of the names and bytes of files, 24 hex digits."""
    digest = hashlib.sha256()
    for path, file in sorted(files.items()):
        content = hashlib.sha256()
        for piece in _pieces(file):
            content.update(piece)
        digest.update(f"{content.hexdigest()} {path}\n".encode())
    return digest.hexdigest()[:24]


def pack_at(files: Mapping[str, Path], place: str, put: Callable[[bytes], Any]) -> Parcel:
    """Pack files under a place that says what they are; see `pack`."""
    packed = (
        Packed(path, tuple(put(piece) for piece in _pieces(file)))
        for path, file in sorted(files.items())
    )
    return Parcel(place, tuple(packed))


def files_of(path: Path) -> dict[str, Path]:
    """The files of a folder by their path below it, links followed, hidden ones left out.

    Of a file: itself, by the empty path.
    """
    if path.is_file():
        return {"": path}
    files = {}
    for file in sorted(path.rglob("*")):
        inner = file.relative_to(path)
        if file.is_file() and not any(part.startswith(".") for part in inner.parts):
            files[inner.as_posix()] = file
    return files


def unpack(parcel: Parcel, cache: Path, fetch: Callable[[Any], bytes]) -> Path:
    """Lay a parcel out below a cache, whole or not at all; nothing is fetched if it is there.

    A copy that was altered, cut off or made unreadable since is written again.

    Args:
        parcel: what `pack` gave.
        cache: folder of this machine.
        fetch: takes what ``put`` returned, gives the bytes.

    Raises:
        DataError: it cannot be written.
    """
    target = cache / parcel.place
    if _is_whole(target, parcel.place):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            _take_turns(stack, target.parent / f".{target.name}.lock")
            if not _is_whole(target, parcel.place):
                _remove(target)
                _lay_out(parcel, target, fetch)
    except OSError as error:
        raise DataError(
            f"{target}: cannot be written: {error.strerror or error}; free some space there, or "
            "set HARNESS_CACHE for the workers to a folder that can be written"
        ) from None
    return target


_checked: set[Path] = set()
"""Copies that this process has found to be what their place says."""


def _is_whole(target: Path, place: str) -> bool:
    """Whether a copy is there and has the content that it is named by; read once a process."""
    if not target.exists():
        return False
    top, _, rest = place.partition("/")
    if top != SHIPPED or target in _checked:  # other places are checked by whoever reads them
        return True
    try:
        whole = _content_hash(files_of(target)) == rest.partition("/")[0]
    except (DataError, OSError):
        return False
    if whole:
        _checked.add(target)
    return whole


def _remove(target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)


def _take_turns(stack: ExitStack, lock: Path) -> None:
    """Let one process of the machine do it; on file systems without locks several may."""
    try:
        stack.enter_context(file_lock(lock, wait=True))
    except OSError:
        return


def _lay_out(parcel: Parcel, target: Path, fetch: Callable[[Any], bytes]) -> None:
    with scratch_folder(target.parent, ".unpacking-") as scratch:
        made = scratch / "content"
        for packed in parcel.files:
            file = made / packed.path if packed.path else made
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("wb") as stream:
                for piece in packed.pieces:
                    stream.write(fetch(piece))
        try:
            os.rename(made, target)
        except OSError:
            if not target.exists():  # else another process was first
                raise


def _pieces(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as stream:
            while piece := stream.read(PIECE):
                yield piece
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from None


# -- what plugins read -----------------------------------------------------------------------


def data_files(plugins: Iterable[Plugin[Any]], data: DataStore) -> dict[str, Path]:
    """Files of the pinned data sets that plugins read, by their path below a data folder.

    A missing one is skipped: the plugin that needs it will say so. So is one whose path is in a
    plugin's config: it travels as what that field names (`Plugin.paths`).
    """
    files: dict[str, Path] = {}
    for plugin in plugins:
        for pin, override in plugin.reads():
            if override is not None:
                continue
            try:
                place = data.locate(pin)
            except HarnessError:
                continue
            if pin.files:
                for part in pin.files:
                    files[f"{pin.filename}/{part.filename}"] = place / part.filename
            else:
                files[pin.filename] = place
    return files


def send_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    """A folder's files in pieces, each with its file's path below the folder; then it is gone."""
    for path, file in files_of(folder).items():
        empty = True
        for piece in _pieces(file):
            empty = False
            yield path, piece
        if empty:
            yield path, b""
    shutil.rmtree(folder, ignore_errors=True)
