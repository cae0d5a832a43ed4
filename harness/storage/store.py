"""The results folder of one run: whole files, written atomically, one a task.

``index.json`` (cells and keys), ``records/<key>.json`` (metrics and provenance),
``items/<key>.json.gz`` (the items behind them), ``failures/<key>.json``, and
``masks/<hash>.json.gz`` (the masks that fits learned from). Each file is written next to its place,
synced and renamed, items first: a task is done when its record exists, so a killed process leaves
either a whole result or none. One run writes at a time. `Store.pack` puts records and items of a
finished run into a few files, which are read in the same way. `harness.storage.checkpoints` keeps
debiased models.

A run folder may come from anyone, so it is read with care (see `harness.storage.run_folder`).
Index, records and items carry hashes, so damage is noticed when they are read.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json

from harness import __version__
from harness.errors import StoreError, did_you_mean, first_problem
from harness.garbage import uncollected
from harness.metrics import Item
from harness.storage.checkpoints import Checkpoints
from harness.storage.item_table import ItemTable
from harness.storage.locking import LockedElsewhereError, file_lock
from harness.storage.masks import StoredMasks
from harness.storage.records import SCHEMA_VERSION, Failure, Record, RunIndex
from harness.storage.run_files import RunFiles
from harness.storage.run_folder import (
    BROKEN,
    INDEX,
    Kind,
    RunFolder,
    check_values,
    compressed,
    first_line,
    unpacked_json,
)
from harness.storage.seals import sealed, unsealed

M = TypeVar("M", bound=BaseModel)

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems without locks answer."""

_ITEMS = TypeAdapter(tuple[tuple[Item, ...], ...])
"""Items of each measurement of a record, in its order."""


class NewerFormatError(StoreError):
    """A file is sound, and of a newer version of the harness: nothing to set aside or replace."""


class Store:
    """Reads and writes one run folder.

    Attributes:
        folder: of the run.
        checkpoints: debiased models that the run keeps.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = RunFiles(folder)
        self._single = self._files.single
        self.checkpoints = Checkpoints(self._single)
        self._locked = False

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Open an existing run folder for reading.

        Raises:
            StoreError: there is no run in it.
        """
        if not os.path.lexists(folder / INDEX):
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
            for kind in ("records", "items", "failures"):
                self._single.folder(kind).mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".probe-"):
                pass
        except OSError as error:
            raise StoreError(
                f"{self.folder}: cannot write results here: {error.strerror or error}; "
                "choose another folder with --results"
            ) from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only process that writes here, for a block, and remove what killed runs left.

        The lock ends with its process. On a file system without locks, writes are still whole, but
        two runs would do the same work twice.

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
            self._single.remove_partials()
            yield
        finally:
            self._single.remove_partials()
            self._locked = False
            lock.__exit__(None, None, None)

    # -- writing -----------------------------------------------------------------------------

    def write_index(self, index: RunIndex) -> None:
        """Write the index."""
        self._single.write_at(self.folder / INDEX, sealed(_json(index)))

    def write_record(self, record: Record) -> None:
        """Write a record, and drop an earlier failure of the same task."""
        items = compressed(_ITEMS.dump_json(tuple(m.items for m in record.measurements)))
        bare = [m.model_copy(update={"items": ()}) for m in record.measurements]
        stored = record.model_copy(
            update={"measurements": tuple(bare), "items_sha256": hashlib.sha256(items).hexdigest()}
        )
        self._single.write("items", record.key, items)
        self._single.write("records", record.key, sealed(_json(stored)))
        self._single.remove("failures", record.key)

    def write_failure(self, failure: Failure) -> None:
        """Write why a task failed."""
        self._single.write("failures", failure.key, sealed(_json(failure)))

    def write_masks(self, masks: StoredMasks) -> None:
        """Write the masks that a fit learns from, once for all fits that share them.

        Masks that an earlier version stored without their words are written again, with them.
        """
        content = self._files.read("masks", masks.sha256)
        with suppress(*BROKEN):
            if content is not None and unpacked_json(content) == masks.text:
                return
        with suppress(FileExistsError):
            self._single.folder("masks").mkdir()
        self._single.write("masks", masks.sha256, compressed(masks.text))

    # -- reading -----------------------------------------------------------------------------

    def index(self) -> RunIndex:
        """Read the index.

        Raises:
            StoreError: it is missing, cannot be read, or was changed after it was written.
        """
        path = self.folder / INDEX
        text = self._single.read_index()
        if text is None:
            raise StoreError(f"{path}: cannot read: No such file or directory")
        return _parsed(path, text, RunIndex)

    def has_index(self) -> bool:
        """Whether the folder has an index, readable or not."""
        return os.path.lexists(self.folder / INDEX)

    def has_record(self, key: str) -> bool:
        """Whether a task is done: a record without its items is not."""
        return self._files.has("records", key) and self._files.has("items", key)

    def record(self, key: str, *, items: bool = True) -> Record | None:
        """Read a record; None if the task is not done.

        Args:
            key: of the task.
            items: also read the items, which are most of the bytes.

        Raises:
            StoreError: it cannot be read, or was changed after it was written.
        """
        text = self._files.read("records", key)
        if text is None:
            return None
        record = _parsed(self.path("records", key), text, Record)
        if not items:
            return record
        try:
            items_of_each = _ITEMS.validate_json(self._items(key, record.items_sha256))
            full = [
                measurement.model_copy(update={"items": item_list})
                for measurement, item_list in zip(record.measurements, items_of_each, strict=True)
            ]
        except BROKEN as error:
            raise self._unreadable_items(key, error) from None
        return record.model_copy(update={"measurements": tuple(full)})

    def item_tables(self, key: str, sha256: str | None = None) -> tuple[ItemTable, ...]:
        """Items of each measurement of a record as columns: quick, and checked only for shape.

        Args:
            key: of the record.
            sha256: the `items_sha256` of the record; None: their hash is not checked.

        Raises:
            StoreError: they cannot be read, or were changed after they were written.
        """
        try:
            with uncollected():
                content = from_json(self._items(key, sha256))
                return tuple(ItemTable.of_json(items) for items in content)
        except BROKEN as error:
            raise self._unreadable_items(key, error) from None

    def failure(self, key: str) -> Failure | None:
        """Read why a task failed; None if it did not.

        The reason of a damaged failure is that it cannot be read: no result is lost with it.
        """
        try:
            return self._failure(key)
        except StoreError as error:
            return Failure(key=key, reason=str(error), created_at="")

    def failure_damage(self, key: str) -> str | None:
        """Say what is wrong with a stored failure; None if it can be read."""
        try:
            self._failure(key)
        except StoreError as error:
            return str(error)
        return None

    def _failure(self, key: str) -> Failure | None:
        text = self._files.read("failures", key)
        return None if text is None else _parsed(self.path("failures", key), text, Failure)

    def masks(self, sha256: str) -> StoredMasks | None:
        """Read the masks of a fit by their hash; None if the run does not have them.

        Raises:
            StoreError: they cannot be read, or were changed after they were written.
        """
        content = self._files.read("masks", sha256)
        if content is None:
            return None
        try:
            return StoredMasks.of_text(unpacked_json(content), sha256)
        except BROKEN as error:
            raise StoreError(
                f"{self.path('masks', sha256)}: cannot read the masks: {first_line(error)}"
            ) from None

    def record_keys(self) -> Iterator[str]:
        """Keys of all records, sorted."""
        return iter(sorted(self._files.keys("records")))

    def failure_keys(self) -> Iterator[str]:
        """Keys of all failures, sorted."""
        return iter(sorted(self._files.keys("failures")))

    def mask_keys(self) -> Iterator[str]:
        """Hashes of all stored masks, sorted."""
        return iter(sorted(self._files.keys("masks")))

    def path(self, kind: Kind, key: str) -> Path:
        """The file that holds a record, its items, a failure or masks."""
        return self._files.path(kind, key)

    # -- damage ------------------------------------------------------------------------------

    def damage(self, key: str) -> str | None:
        """Say what is wrong with the files of a record; None if they can be used.

        The hash of the items is compared; items of a record without one are decompressed.

        Raises:
            NewerFormatError: a newer version of the harness wrote it.
        """
        try:
            record = self.record(key, items=False)
            if record is None:
                return None
            if record.key != key:
                return f"{self.path('records', key)}: holds the record {record.key}"
            self._items(key, record.items_sha256)
        except BROKEN as error:
            return str(self._unreadable_items(key, error))
        except NewerFormatError:
            raise
        except StoreError as error:
            return str(error)
        return None

    def set_aside(self, key: str) -> list[Path]:
        """Rename the files of a record, so that the task is no longer done.

        Returns:
            The new names. Packed files cannot be renamed; a new record counts before them.

        Raises:
            StoreError: they cannot be renamed.
        """
        kinds: tuple[Kind, ...] = ("records", "items")
        renamed = [self._single.set_aside(self._single.path(kind, key)) for kind in kinds]
        return [path for path in renamed if path is not None]

    def set_damaged_aside(self) -> list[str]:
        """Rename an index and packed files that cannot be read, so that new ones can be written.

        Returns:
            A line for each of them.

        Raises:
            StoreError: they cannot be renamed, or a newer version of the harness wrote the index.
        """
        notes = []
        try:
            if self.has_index():
                self.index()
        except NewerFormatError:
            raise
        except StoreError as error:
            aside = self._single.set_aside(self.folder / INDEX)
            notes.append(f"{error}; the damaged file is kept as {aside}")
        try:
            self._files.packed()
        except StoreError as error:
            listed = ", ".join(path.name for path in self._files.set_packed_aside())
            notes.append(f"measuring again: {error}; the damaged files are kept as {listed}")
        return notes

    # -- packing -----------------------------------------------------------------------------

    def pack(self) -> list[Path]:
        """Combine records, items, failures and masks into a few files, and remove the single ones.

        The run stays whole if the process is killed at any point.

        Returns:
            The packed files.

        Raises:
            StoreError: something is damaged or cannot be written, or a run is writing here.
        """
        with self.locked():
            self._refuse_damage("packed")
            return self._files.pack(lambda key, text: text)

    def packed_copy(self, folder: Path) -> list[Path]:
        """Write the run in its packed form into another folder; this one is only read.

        Kept checkpoints and the traces of failures, which name files of this machine, are left
        out.

        Returns:
            The written files, the index first.

        Raises:
            StoreError: something is damaged or cannot be written.
        """
        index = self.index()
        self._refuse_damage("shared")
        written = self._files.write_packed(RunFolder(folder), self._without_trace)
        Store(folder).write_index(index)
        return [folder / INDEX, *written]

    def _refuse_damage(self, use: str) -> None:
        for key in self.record_keys():
            if (wrong := self.damage(key)) is not None:
                raise StoreError(f"{wrong}; a damaged run is not {use}")

    def _without_trace(self, key: str, text: bytes) -> bytes:
        """Return the text of a failure without its trace, which names files of this machine."""
        failure = self.failure(key)
        if failure is None:
            return text
        return sealed(_json(failure.model_copy(update={"trace": None})))

    def unpack(self) -> None:
        """Write the files of a packed run as single files again.

        Raises:
            StoreError: a packed file cannot be read or written, or a run is writing here.
        """
        with self.locked():
            self._files.unpack()

    # -- files -------------------------------------------------------------------------------

    def _items(self, key: str, sha256: str | None) -> bytes:
        """The JSON of a record's items.

        Raises:
            OSError, ValueError, zlib.error: it cannot be read, or is not what was written.
        """
        content = self._files.read("items", key)
        if content is None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError("they were changed after they were written (another hash)")
        return unpacked_json(content)

    def _unreadable_items(self, key: str, error: Exception) -> StoreError:
        reason = getattr(error, "strerror", None) or first_line(error)
        return StoreError(
            f"{self.path('items', key)}: cannot read the items of record {key}: {reason}; run the "
            "spec again to measure it again"
        )


def _parsed(path: Path, text: bytes, kind: type[M]) -> M:
    plain, whole = b"", False
    try:
        check_values(text)
        plain, whole = unsealed(text)
        return kind.model_validate_json(plain)
    except (ValidationError, *BROKEN) as error:
        if isinstance(error, ValidationError) and _is_newer(plain, whole, error):
            raise NewerFormatError(
                f"{path}: written by a newer version of the harness than this one ({__version__}); "
                "use that version, or another folder with --results"
            ) from None
        raise StoreError(
            f"{path}: not a {kind.__name__} this version can read: {_reason(error)}; run the spec "
            "again to write a new one"
        ) from None


def _is_newer(plain: bytes, whole: bool, error: ValidationError) -> bool:
    """Whether a text is of a later schema, or sound (``whole``) and only has more keys."""
    try:
        version = from_json(plain)["schema_version"]
    except (ValueError, KeyError, TypeError):
        return False
    if isinstance(version, int) and version > SCHEMA_VERSION:
        return True
    return whole and all(problem["type"] == "extra_forbidden" for problem in error.errors())


def _reason(error: Exception) -> str:
    return first_problem(error) if isinstance(error, ValidationError) else first_line(error)


def _json(value: BaseModel) -> bytes:
    return value.model_dump_json().encode()


def find_run(name: str, results: Path) -> Store:
    """Open a run by its folder, or by its name below the results folder.

    Raises:
        StoreError: there is no such run; says which there are.
    """
    for folder in (Path(name), results / name):
        if os.path.lexists(folder / INDEX):  # whatever it is, reading it says what is wrong
            return Store(folder)
    names = [p.parent.name for p in results.glob("*/index.json")] if results.is_dir() else []
    raise StoreError(f"no run '{name}' here or in {results}{did_you_mean(name, names)}")
