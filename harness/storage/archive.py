"""One file that holds a run, to be given to other people.

The file is a zip archive of the packed form of the run (see `harness.storage.packed`): the index,
the records, the items and the masks, not compressed again. It has no texts, no checkpoints and no
traces. An archive may come from anyone. It is read only if it has these members and no others, so
none can name a file elsewhere, be a link, or be larger than the archive itself.
"""

from __future__ import annotations

import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from harness.data.files import is_folder
from harness.errors import StoreError
from harness.files import new_folder, open_file, write_output
from harness.storage import packed
from harness.storage.run_folder import INDEX, MOST_BYTES, first_line
from harness.storage.store import Store

MEMBERS = (INDEX, packed.RECORDS, *packed.MEMBERS.values())
"""The only names in an archive; the last ones are there only if the run has such files."""

_LIMITS = {INDEX: MOST_BYTES, packed.RECORDS: packed.MOST_PACKED}
_EPOCH = (1980, 1, 1, 0, 0, 0)
_ENCRYPTED = 0x1
_CHUNK = 2**20
_NAME = re.compile(r"[^\W_][\w.+ -]{0,99}")
_BROKEN = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
    OverflowError,
    struct.error,
    zlib.error,
)
"""What `zipfile` raises for files that are not whole archives."""


def share(store: Store, path: Path) -> int:
    """Write a run into one file, in place of an earlier one; the same run gives the same bytes.

    Args:
        store: the run.
        path: the file to write.

    Returns:
        The size of the file in bytes.

    Raises:
        StoreError: the run is damaged, or the file cannot be written.
    """
    if is_folder(path):
        raise StoreError(f"{path}: a folder; name the file to write, such as {path / 'run.zip'}")
    try:
        with tempfile.TemporaryDirectory(prefix="harness-share-") as scratch:
            parts = Path(scratch) / "run"
            parts.mkdir()
            whole = Path(scratch) / "run.zip"
            with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
                for part in store.packed_copy(parts):
                    _add(archive, part)
            write_output(path, _chunks(whole))
            return whole.stat().st_size
    except OSError as error:
        raise StoreError(f"{path}: cannot write: {error.strerror or error}") from None


def _add(archive: zipfile.ZipFile, part: Path) -> None:
    member = zipfile.ZipInfo(part.name, _EPOCH)
    member.external_attr = (stat.S_IFREG | 0o644) << 16
    member.create_system = 3  # the modes are those of Unix, on every system
    member.file_size = part.stat().st_size
    with part.open("rb") as source, archive.open(member, "w") as target:
        shutil.copyfileobj(source, target, _CHUNK)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def open_archive(path: Path, results: Path, name: str | None = None) -> Store:
    """Make a run folder from an archive. It appears whole or not at all.

    Args:
        path: the archive.
        results: the folder that holds run folders.
        name: of the run folder; default: the name of the run.

    Returns:
        The run, whose index, records and items are as they were written.

    Raises:
        StoreError: the file is not an archive of a run or is damaged, the folder exists, or it
            cannot be written.
    """
    try:
        with open_file(path) as stream:
            return _opened(path, stream, results, name)
    except _BROKEN as error:
        raise StoreError(f"{path}: not a whole archive of a run: {first_line(error)}") from None
    except OSError as error:
        where = error.filename or path
        raise StoreError(f"{where}: {error.strerror or first_line(error)}") from None


def _opened(path: Path, stream: BinaryIO, results: Path, name: str | None) -> Store:
    with zipfile.ZipFile(stream) as archive:
        members = archive.infolist()
        for member in members:
            _check(path, member)
        names = [member.filename for member in members]
        missing = [required for required in (INDEX, packed.RECORDS) if required not in names]
        if missing:
            raise StoreError(f"{path}: not an archive that `harness share` wrote: no {missing[0]}")
        if len(set(names)) < len(names):
            raise StoreError(f"{path}: not an archive that `harness share` wrote: a name twice")
        with tempfile.TemporaryDirectory(prefix="harness-open-") as scratch:
            first = Path(scratch)
            _extract(archive, INDEX, first)
            with _damage_named(path, first):
                given = Store(first).index().name
            target = results / _folder_name(path, given, name)
            if target.exists() or target.is_symlink():
                raise StoreError(f"{target} exists; give another name with --name")
        with new_folder(target) as folder:
            for member_name in names:
                _extract(archive, member_name, folder)
            with _damage_named(path, folder):
                _check_run(Store(folder))
    return Store(target)


def _check(path: Path, member: zipfile.ZipInfo) -> None:
    """Refuse a member that `share` does not write.

    Raises:
        StoreError: it is such a member.
    """
    refused = f"{path}: not an archive that `harness share` wrote: {member.filename[:80]!r}"
    if member.filename not in MEMBERS:
        raise StoreError(f"{refused} is not a file of a packed run")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise StoreError(f"{refused} is a link or a device")
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        raise StoreError(f"{refused} is compressed")
    if member.flag_bits & _ENCRYPTED:
        raise StoreError(f"{refused} is encrypted")
    if member.file_size > _LIMITS.get(member.filename, member.file_size):
        raise StoreError(f"{refused} is too large")


def _folder_name(path: Path, given: str, chosen: str | None) -> str:
    """Return a name that is one folder below the results folder, on every system.

    Args:
        path: the archive.
        given: the name of its run in the archive.
        chosen: the name that the user wants instead.

    Raises:
        StoreError: it cannot be the name of a folder.
    """
    name = given if chosen is None else chosen
    if _NAME.fullmatch(name) and name == name.rstrip(" ."):
        return name
    if chosen is None:
        raise StoreError(
            f"{path}: the name of its run, {given[:80]!r}, cannot name a folder; give one with "
            "--name"
        )
    raise StoreError(
        f"{chosen[:80]!r} cannot name a run folder; use letters, digits, spaces, '.', '_', '+' "
        "and '-', and begin with a letter or a digit"
    )


def _extract(archive: zipfile.ZipFile, name: str, folder: Path) -> None:
    with archive.open(name) as source, (folder / name).open("xb") as target:
        shutil.copyfileobj(source, target, _CHUNK)


@contextmanager
def _damage_named(path: Path, folder: Path) -> Iterator[None]:
    """Say of damage in an opened folder that it is in the archive."""
    try:
        yield
    except StoreError as error:
        inside = str(error).replace(f"{folder}/", "").partition("; run the spec again")[0]
        raise StoreError(f"{path}: damaged: {inside}; ask for the file again") from None


def _check_run(store: Store) -> None:
    """Check that the files of a run are as they were written.

    Raises:
        StoreError: one of them is damaged.
    """
    store.index()
    for key in store.record_keys():
        if (wrong := store.damage(key)) is not None:
            raise StoreError(wrong)
