"""Pins: where they are looked for, what is fetched, what is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest
from loopback import served

from harness.data.pins import Pin, check, items_hash, verified
from harness.data.places import DataStore
from harness.errors import DataError

CONTENT = b"one\ntwo\n"


def parse(path: Path) -> Iterator[tuple[str, ...]]:
    for number, line in enumerate(path.read_text().split()):
        yield str(number), line


def pin(url: str = "http://127.0.0.1:9/none", **changes: str | None) -> Pin:
    values: dict[str, str | None] = {
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "items_sha256": items_hash([("0", "one"), ("1", "two")]),
        **changes,
    }
    return Pin(
        name="words",
        filename="words/list.txt",
        url=url,
        parse=parse,
        licence="CC0-1.0",
        citation="nobody",
        **values,  # type: ignore[arg-type]
    )


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and logs nothing."""

    def log_message(self, *args: object) -> None:
        """Stay silent."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "list.txt").write_bytes(CONTENT)
    handler = partial(Quiet, directory=str(folder))
    with served(handler) as address:
        yield address


def store(tmp_path: Path, *, offline: bool = False, data: Path | None = None) -> DataStore:
    return DataStore(data_dir=data, cache_dir=tmp_path / "cache", offline=offline)


def test_fetched_once_checked_and_found_again(server: str, tmp_path: Path) -> None:
    known = pin(f"{server}/list.txt")
    path = store(tmp_path).locate(known)
    assert path.read_bytes() == CONTENT
    assert store(tmp_path, offline=True).locate(known) == path
    assert verified(known, path) == (("0", "one"), ("1", "two"))


def test_a_wrong_download_is_not_kept(server: str, tmp_path: Path) -> None:
    known = pin(f"{server}/list.txt", sha256="0" * 64)
    with pytest.raises(DataError, match="nothing was kept"):
        store(tmp_path).locate(known)
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_places_are_looked_in_in_order(tmp_path: Path) -> None:
    given, folder = tmp_path / "own.txt", tmp_path / "data"
    given.write_bytes(CONTENT)
    (folder / "words").mkdir(parents=True)
    (folder / "words" / "list.txt").write_bytes(CONTENT)
    places = store(tmp_path, data=folder, offline=True)
    assert places.locate(pin(), given) == given
    assert places.locate(pin()) == folder / "words" / "list.txt"
    assert places.locate(pin(), folder) == folder / "words" / "list.txt"


@pytest.mark.parametrize(
    ("offline", "words"), [(True, "--offline forbids"), (False, "cannot be fetched")]
)
def test_nowhere_is_one_line(tmp_path: Path, offline: bool, words: str) -> None:
    with pytest.raises(DataError) as caught:
        store(tmp_path, offline=offline).locate(pin())
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_bytes_with_the_same_items_are_the_same_data(tmp_path: Path) -> None:
    copy = tmp_path / "copy.txt"
    copy.write_bytes(b"one   two")
    assert check(pin(), copy).state == "items ok"
    assert verified(pin(), copy)


@pytest.mark.parametrize("content", [b"one\n", b"two\none\n", b"one\ntow\n", b"one\ntwo\nthree\n"])
def test_altered_items_are_refused_unless_meant(tmp_path: Path, content: bytes) -> None:
    altered = tmp_path / "altered.txt"
    altered.write_bytes(content)
    with pytest.raises(DataError, match="this is not the pinned data set 'words'"):
        verified(pin(), altered)
    assert verified(pin(), altered, verify=False)


def test_items_are_hashed_without_ambiguity() -> None:
    assert items_hash([("a", "bc")]) != items_hash([("ab", "c")])
    assert items_hash([("a",), ("b",)]) != items_hash([("a", "b")])


def test_no_path_leaves_the_folder(tmp_path: Path) -> None:
    outside = tmp_path / "secret.txt"
    outside.write_bytes(CONTENT)
    folder = tmp_path / "data"
    (folder / "words").mkdir(parents=True)
    (folder / "words" / "list.txt").symlink_to(outside)
    with pytest.raises(DataError):
        store(tmp_path, data=folder, offline=True).locate(pin())
