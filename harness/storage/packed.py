"""A packed run: its records and items in a few files, with the same content and the same reader.

``records.jsonl.gz`` has a line for each record and failure, which holds the exact text of the
file, and a line for each file of items or masks, which says where it is. ``items.jsonl.gz`` and
``masks.jsonl.gz`` are those files one after the other, still compressed, so each of them can be
read alone. A file in ``records/`` and its neighbours counts before the packed one of the same key.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from harness.errors import StoreError
from harness.files import open_file
from harness.storage.run_folder import MOST_BYTES, Kind, first_line

RECORDS = "records.jsonl.gz"
MOST_PACKED = 2 * MOST_BYTES
"""Most bytes of all records together, decompressed."""

MOST_LINE = 64 * 2**20
"""Most bytes of one record."""

MEMBERS: dict[Kind, str] = {"items": "items.jsonl.gz", "masks": "masks.jsonl.gz"}
"""Kinds of files that are kept compressed, and the packed file of each."""

_TEXT = re.compile(
    rb'\{"kind":"(records|failures)","key":"([0-9a-f]{1,64})","text":(\{.*\})\}', re.DOTALL
)
_PLACE = re.compile(
    rb'\{"kind":"(items|masks)","key":"([0-9a-f]{1,64})","at":(\d{1,15}),"bytes":(\d{1,12})\}'
)
_KINDS: dict[bytes, Kind] = {
    b"records": "records",
    b"failures": "failures",
    b"items": "items",
    b"masks": "masks",
}


class _Place(NamedTuple):
    """Where a file is among the packed ones."""

    offset: int
    size: int


class Pack:
    """The packed files of a run folder, read once.

    Raises:
        StoreError: they cannot be read.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._texts: dict[tuple[Kind, str], bytes] = {}
        self._places: dict[tuple[Kind, str], _Place] = {}
        path = root / RECORDS
        try:
            for number, line in enumerate(_lines(path), 1):
                self._take(path, number, line)
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or first_line(error)
            raise StoreError(f"{path}: cannot read: {reason}") from None

    def _take(self, path: Path, number: int, line: bytes) -> None:
        if match := _TEXT.fullmatch(line):
            kind, key, text = match.groups()
            self._texts[_KINDS[kind], key.decode()] = text
        elif match := _PLACE.fullmatch(line):
            kind, key, offset, size = match.groups()
            self._places[_KINDS[kind], key.decode()] = _Place(int(offset), int(size))
        else:
            raise StoreError(f"{path}:{number}: not a line of a packed run")

    def keys(self, kind: Kind) -> Iterator[str]:
        """Keys of the packed files of a kind."""
        return (key for of, key in (*self._texts, *self._places) if of == kind)

    def has(self, kind: Kind, key: str) -> bool:
        """Whether a file is packed."""
        return (kind, key) in self._texts or (kind, key) in self._places

    def read(self, kind: Kind, key: str) -> bytes | None:
        """Read a file; None if it is not packed.

        Raises:
            StoreError: it cannot be read.
        """
        place = self._places.get((kind, key))
        if place is None:
            return self._texts.get((kind, key))
        path = self.path(kind)
        try:
            with open_file(path, follow=False) as stream:
                stream.seek(place.offset)
                content = stream.read(min(place.size, MOST_BYTES))
        except OSError as error:
            raise StoreError(f"{path}: cannot read: {error.strerror or error}") from None
        if len(content) != place.size:
            raise StoreError(f"{path}: cannot read the {kind} of {key}: the file is cut off")
        return content

    def path(self, kind: Kind) -> Path:
        """The packed file that holds a kind."""
        return self._root / MEMBERS.get(kind, RECORDS)


def _lines(path: Path) -> Iterator[bytes]:
    """Lines of a gzipped text, without their ends; within `MOST_PACKED`."""
    decompressor = zlib.decompressobj(wbits=31)
    total, rest = 0, b""
    with open_file(path, follow=False) as stream:
        while not decompressor.eof:
            waiting = decompressor.unconsumed_tail or stream.read(2**20)
            plain = decompressor.decompress(waiting, 2**22)
            if not waiting and not plain:
                raise EOFError("the compressed data is cut off")
            total += len(plain)
            if total > MOST_PACKED or len(rest) > MOST_LINE:
                raise OSError("too large when decompressed")
            *whole, rest = (rest + plain).split(b"\n")
            yield from whole
        if decompressor.unused_data or stream.read(1):
            raise zlib.error("the compressed data is followed by other data")
    if rest:
        raise EOFError("the last line is cut off")


def packed_lines(
    texts: Iterable[tuple[Kind, str, bytes]], places: Iterable[tuple[Kind, str, int, int]]
) -> Iterator[bytes]:
    """The lines of `RECORDS`.

    Args:
        texts: kind, key and text of each record and failure.
        places: kind, key, offset and size of each file of items or masks.
    """
    for kind, key, text in texts:
        yield b'{"kind":"%s","key":"%s","text":%s}\n' % (kind.encode(), key.encode(), text)
    for kind, key, offset, size in places:
        line = f'{{"kind":"{kind}","key":"{key}","at":{offset},"bytes":{size}}}\n'
        yield line.encode()


def compressed(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Gzip lines into one member, the same bytes for the same lines."""
    compressor = zlib.compressobj(9, wbits=31)
    for line in lines:
        yield compressor.compress(line)
    yield compressor.flush()
