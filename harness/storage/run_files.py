"""The files of a run as bytes, by kind and key, whether they are single files or packed.

A single file counts before the packed one of the same key. `RunFiles` also packs and unpacks;
`harness.storage.store` knows what the files mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from harness.storage.packed import MEMBERS, RECORDS, Pack, compressed, packed_lines
from harness.storage.run_folder import SUFFIX, Kind, RunFolder

PACKED_FILES = (RECORDS, *MEMBERS.values())
"""Names of the packed files of a run."""


class RunFiles:
    """Reads the single and packed files of a run folder.

    Attributes:
        single: the files that are not packed; new files are written there.
    """

    def __init__(self, root: Path) -> None:
        self.single = RunFolder(root)
        self._root = root
        self._packed: Pack | None = None
        self._packed_is_read = False

    def packed(self) -> Pack | None:
        """Return the packed files; None if the run is not packed.

        Raises:
            StoreError: they cannot be read.
        """
        if not self._packed_is_read:
            path = self._root / RECORDS
            self._packed = Pack(self._root) if path.exists() or path.is_symlink() else None
            self._packed_is_read = True
        return self._packed

    def has(self, kind: Kind, key: str) -> bool:
        """Whether a file exists."""
        return self.single.has(kind, key) or self._is_packed(kind, key)

    def keys(self, kind: Kind) -> set[str]:
        """Return the keys of all files of a kind."""
        packed = self.packed()
        return {*self.single.keys(kind), *(packed.keys(kind) if packed else ())}

    def read(self, kind: Kind, key: str) -> bytes | None:
        """Read a file; None if there is none.

        Raises:
            StoreError: it cannot be read.
        """
        content = self.single.read(kind, key)
        if content is None and (packed := self.packed()) is not None:
            return packed.read(kind, key)
        return content

    def path(self, kind: Kind, key: str) -> Path:
        """Return the file that contains a file of this kind and key."""
        packed = self.packed()
        if packed is not None and packed.has(kind, key) and not self.single.has(kind, key):
            return packed.path(kind)
        return self.single.path(kind, key)

    def _is_packed(self, kind: Kind, key: str) -> bool:
        packed = self.packed()
        return packed is not None and packed.has(kind, key)

    def pack(self, failure_text: Callable[[str, bytes], bytes]) -> list[Path]:
        """Replace the single files by packed ones; see `write_packed`."""
        self.unpack()
        written = self.write_packed(self.single, failure_text)
        for kind in SUFFIX:
            for key in list(self.single.keys(kind)):
                self.single.remove(kind, key)
            with suppress(OSError):  # the folder contains other files, which stay there
                self.single.folder(kind).rmdir()
        self._packed_is_read = False
        return written

    def write_packed(
        self, folder: RunFolder, failure_text: Callable[[str, bytes], bytes]
    ) -> list[Path]:
        """Write the packed files into a folder: the one of the records last.

        Args:
            folder: where to write.
            failure_text: returns what is stored of a failure, from its key and its text.

        Returns:
            The written files: the one of the records first.
        """
        written: list[Path] = []
        places: list[tuple[Kind, str, int, int]] = []
        for kind, name in MEMBERS.items():
            if keys := sorted(self.keys(kind)):
                path = folder.root / name
                folder.write_at(path, self._placed(kind, keys, places))
                written.append(path)
        path = folder.root / RECORDS
        folder.write_at(path, compressed(packed_lines(self._texts(failure_text), places)))
        return [path, *written]

    def _placed(
        self, kind: Kind, keys: Iterable[str], places: list[tuple[Kind, str, int, int]]
    ) -> Iterator[bytes]:
        """Yield files one after the other, and add to ``places`` where each of them is."""
        offset = 0
        for key in keys:
            content = self.read(kind, key) or b""
            places.append((kind, key, offset, len(content)))
            offset += len(content)
            yield content

    def _texts(
        self, failure_text: Callable[[str, bytes], bytes]
    ) -> Iterator[tuple[Kind, str, bytes]]:
        """Yield each record, and each failure of a task without a record."""
        done = self.keys("records")
        for key in sorted(done):
            yield "records", key, self.read("records", key) or b""
        for key in sorted(self.keys("failures") - done):
            yield "failures", key, failure_text(key, self.read("failures", key) or b"")

    def unpack(self) -> None:
        """Write the packed files as single files, and remove the packed ones.

        Raises:
            StoreError: a packed file cannot be read or written.
        """
        packed = self.packed()
        if packed is None:
            return
        kinds: tuple[Kind, ...] = ("masks", "items", "failures", "records")
        for kind in kinds:
            self.single.folder(kind).mkdir(exist_ok=True)
            for key in packed.keys(kind):
                if not self.single.has(kind, key):
                    self.single.write(kind, key, packed.read(kind, key) or b"")
        for name in PACKED_FILES:
            (self._root / name).unlink(missing_ok=True)
        self._packed = None

    def set_packed_aside(self) -> list[Path]:
        """Rename packed files that cannot be read; returns their new names.

        Raises:
            StoreError: they cannot be renamed.
        """
        renamed = [self.single.set_aside(self._root / name) for name in PACKED_FILES]
        self._packed, self._packed_is_read = None, False
        return [path for path in renamed if path is not None]
