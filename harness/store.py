"""The results folder of one run: whole files, written atomically, one a task.

``index.json`` (cells and keys), ``records/<key>.json``, ``failures/<key>.json``. A record is
written to a temporary file in the same folder, synced and renamed, so a killed process leaves
either a whole record or none.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import StoreError
from harness.records import Failure, Record, RunIndex

M = TypeVar("M", bound=BaseModel)


class Store:
    """Reads and writes one run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

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
            for name in ("records", "failures"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".probe-"):
                pass
        except OSError as error:
            raise StoreError(
                f"{self.folder}: cannot write results here: {error.strerror or error}; "
                "choose another folder with --results"
            ) from None

    # -- writing -----------------------------------------------------------------------------

    def write_index(self, index: RunIndex) -> None:
        """Write the index."""
        self._write(self.folder / "index.json", index)

    def write_record(self, record: Record) -> None:
        """Write a record, and drop an earlier failure of the same task."""
        self._write(self._record_path(record.key), record)
        self._failure_path(record.key).unlink(missing_ok=True)

    def write_failure(self, failure: Failure) -> None:
        """Write why a task failed."""
        self._write(self._failure_path(failure.key), failure)

    # -- reading -----------------------------------------------------------------------------

    def index(self) -> RunIndex:
        """Read the index."""
        return self._read(self.folder / "index.json", RunIndex)

    def has_record(self, key: str) -> bool:
        """Whether a task is done."""
        return self._record_path(key).is_file()

    def record(self, key: str) -> Record | None:
        """Read a record; None if the task is not done."""
        path = self._record_path(key)
        return self._read(path, Record) if path.is_file() else None

    def failure(self, key: str) -> Failure | None:
        """Read why a task failed; None if it did not."""
        path = self._failure_path(key)
        return self._read(path, Failure) if path.is_file() else None

    def keys(self) -> Iterator[str]:
        """Keys of all records, sorted."""
        return iter(sorted(path.stem for path in (self.folder / "records").glob("*.json")))

    def _record_path(self, key: str) -> Path:
        return self.folder / "records" / f"{key}.json"

    def _failure_path(self, key: str) -> Path:
        return self.folder / "failures" / f"{key}.json"

    def _write(self, path: Path, value: BaseModel) -> None:
        text = value.model_dump_json(exclude_defaults=False)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            with partial.open("w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise StoreError(
                f"{path}: cannot write: {error.strerror or error}; what was finished before is "
                "kept, free some space and run the same command again"
            ) from None

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
