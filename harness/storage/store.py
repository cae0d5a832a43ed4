"""The results folder of one run: whole files, written atomically, one a task.

``index.json`` (cells and keys), ``records/<key>.json`` (metrics and provenance),
``items/<key>.json.gz`` (the items behind them), ``failures/<key>.json``. Each is written to a
temporary file in the same folder, synced and renamed, items first: a task is done when its
record is there, so a killed process leaves either a whole result or none. One run writes at a
time; ``checkpoints/<fit key>/step-<n>/`` holds debiased models that were asked to be kept.
"""

from __future__ import annotations

import errno
import gzip
import json
import os
import secrets
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json

from harness.errors import StoreError, did_you_mean
from harness.metrics import Item
from harness.storage.item_table import ItemTable, uncollected
from harness.storage.locking import LockedElsewhereError, file_lock
from harness.storage.records import Failure, Record, RunIndex

M = TypeVar("M", bound=BaseModel)

FOLDERS = ("records", "items", "failures")
"""Folders that every run has."""

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems without locks answer."""

_ITEMS = TypeAdapter(tuple[tuple[Item, ...], ...])
"""Items of each measurement of a record, in its order."""


class Store:
    """Reads and writes one run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._locked = False

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Open an existing run folder for reading.

        Raises:
            StoreError: there is no run in it.
        """
        if not (folder / "index.json").is_file():
            raise StoreError(
                f"{folder}: no run here (index.json is missing); give the folder that "
                "`harness run` named"
            )
        return cls(folder)

    def prepare(self) -> None:
        """Create the folders and prove that they can be written.

        Raises:
            StoreError: they cannot.
        """
        try:
            for name in FOLDERS:
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".probe-"):
                pass
        except OSError as error:
            raise StoreError(
                f"{self.folder}: cannot write results here: {error.strerror or error}; "
                "choose another folder with --results"
            ) from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only run that writes here, for a block; what killed runs left half is removed.

        The lock dies with its process. On a file system without locks there is none; writes are
        whole there too, but two runs would do the same work twice.

        Raises:
            StoreError: another run is writing here.
        """
        if self._locked:  # by this very object, further out
            yield
            return
        lock = file_lock(self.folder / ".lock")
        try:
            lock.__enter__()
        except LockedElsewhereError as holder:
            raise StoreError(
                f"{self.folder}: another run is writing here ({holder}); wait for it, or choose "
                "another folder with --results"
            ) from None
        except OSError as error:
            if error.errno in NO_LOCKS:
                yield
                return
            raise StoreError(f"{self.folder}: cannot lock: {error.strerror or error}") from None
        self._locked = True
        try:
            self._remove_partials()
            yield
        finally:
            self._remove_partials()
            self._locked = False
            lock.__exit__(None, None, None)

    def _remove_partials(self) -> None:
        """Remove what no living run is writing: only the holder of the lock may call this."""
        for folder in (self.folder, *(self.folder / name for name in (*FOLDERS, "checkpoints"))):
            for path in [*folder.glob(".*.partial"), *folder.glob(".probe-*")]:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    with suppress(OSError):  # litter is no reason to stop
                        path.unlink()

    # -- writing -----------------------------------------------------------------------------

    def write_index(self, index: RunIndex) -> None:
        """Write the index."""
        self._write(self.folder / "index.json", _json(index))

    def write_record(self, record: Record) -> None:
        """Write a record, and drop an earlier failure of the same task."""
        items = _ITEMS.dump_json(tuple(m.items for m in record.measurements))
        bare = [m.model_copy(update={"items": ()}) for m in record.measurements]
        self._write(self._items_path(record.key), gzip.compress(items, mtime=0))
        self._write(
            self._record_path(record.key),
            _json(record.model_copy(update={"measurements": tuple(bare)})),
        )
        self._failure_path(record.key).unlink(missing_ok=True)

    def write_failure(self, failure: Failure) -> None:
        """Write why a task failed."""
        self._write(self._failure_path(failure.key), _json(failure))

    def scratch(self) -> Path:
        """Make a folder for checkpoints that are being written; gone when the lock is.

        Raises:
            StoreError: it cannot be made.
        """
        path = self.folder / "checkpoints" / f".{secrets.token_hex(4)}.partial"
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise _unwritable(path, error) from None
        return path

    def keep_checkpoint(self, fit_key: str, step: int, folder: Path) -> None:
        """Take a saved checkpoint from the scratch folder, in place of an earlier one."""
        place = self.checkpoint_path(fit_key, step)
        try:
            for file in folder.rglob("*"):
                _sync(file)
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists():
                place.rename(folder.with_name(f"{folder.name}-before"))
            folder.rename(place)
            _sync(place.parent)
        except OSError as error:
            raise _unwritable(place, error) from None

    # -- reading -----------------------------------------------------------------------------

    def checkpoint_path(self, fit_key: str, step: int) -> Path:
        """Where a kept checkpoint lies, if it was kept."""
        return self.folder / "checkpoints" / fit_key / f"step-{step}"

    def index(self) -> RunIndex:
        """Read the index."""
        return self._read(self.folder / "index.json", RunIndex)

    def has_record(self, key: str) -> bool:
        """Whether a task is done: a record without its items is not."""
        return self._record_path(key).is_file() and self._items_path(key).is_file()

    def record(self, key: str, *, items: bool = True) -> Record | None:
        """Read a record; None if the task is not done.

        Args:
            key: of the task.
            items: also read the items, which are most of the bytes.
        """
        path = self._record_path(key)
        if not path.is_file():
            return None
        record = self._read(path, Record)
        if not items:
            return record
        full = [
            measurement.model_copy(update={"items": own})
            for measurement, own in zip(record.measurements, self._items(key), strict=True)
        ]
        return record.model_copy(update={"measurements": tuple(full)})

    def item_tables(self, key: str) -> tuple[ItemTable, ...]:
        """Items of each measurement of a record as columns: quick, and checked only for shape.

        Raises:
            StoreError: they cannot be read.
        """
        path = self._items_path(key)
        try:
            with uncollected():
                found = from_json(gzip.decompress(path.read_bytes()))
                return tuple(ItemTable.of_json(items) for items in found)
        except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error) as error:
            raise _unreadable_items(path, error) from None

    def failure(self, key: str) -> Failure | None:
        """Read why a task failed; None if it did not."""
        path = self._failure_path(key)
        return self._read(path, Failure) if path.is_file() else None

    def record_keys(self) -> Iterator[str]:
        """Keys of all records, sorted."""
        return iter(sorted(path.stem for path in (self.folder / "records").glob("*.json")))

    def _record_path(self, key: str) -> Path:
        return self.folder / "records" / f"{key}.json"

    def _failure_path(self, key: str) -> Path:
        return self.folder / "failures" / f"{key}.json"

    def _items_path(self, key: str) -> Path:
        return self.folder / "items" / f"{key}.json.gz"

    def _items(self, key: str) -> tuple[tuple[Item, ...], ...]:
        path = self._items_path(key)
        try:
            return _ITEMS.validate_json(gzip.decompress(path.read_bytes()))
        except (OSError, EOFError, ValidationError, zlib.error) as error:
            raise _unreadable_items(path, error) from None

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        try:
            with partial.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(path)
            _sync(path.parent)  # the new name, too, outlives a power cut
        except OSError as error:
            with suppress(OSError):  # the first error is the one to tell
                partial.unlink()
            raise _unwritable(path, error) from None

    @staticmethod
    def _read(path: Path, kind: type[M]) -> M:
        try:
            return kind.model_validate_json(path.read_bytes())
        except OSError as error:
            raise StoreError(f"{path}: cannot read: {error.strerror or error}") from None
        except (ValidationError, json.JSONDecodeError, UnicodeDecodeError) as error:
            first = str(error).splitlines()[0]
            raise StoreError(
                f"{path}: not a {kind.__name__} this version can read: {first}; "
                "delete the file and run the spec again to make it anew"
            ) from None


def _sync(path: Path) -> None:
    """Have a file or folder on the disk itself."""
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{path}: cannot write: {error.strerror or error}; what was finished before is "
        "kept, free some space and run the same command again"
    )


def _unreadable_items(path: Path, error: Exception) -> StoreError:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return StoreError(
        f"{path}: cannot read the items of this record: {first}; "
        "delete the record of the same name and run the spec again"
    )


def _json(value: BaseModel) -> bytes:
    return value.model_dump_json().encode()


def find_run(name: str, results: Path) -> Store:
    """Open a run by its folder, or by its name below the results folder.

    Raises:
        StoreError: there is no such run; says which there are.
    """
    for folder in (Path(name), results / name):
        if (folder / "index.json").is_file():
            return Store(folder)
    known = [p.parent.name for p in results.glob("*/index.json")] if results.is_dir() else []
    raise StoreError(f"no run '{name}' here or in {results}{did_you_mean(name, known)}")
