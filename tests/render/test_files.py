"""Files are written whole or not at all."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_runs import make_run

from harness.cli.main import cli
from harness.errors import StoreError
from harness.render.files import write_file


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file of this process grow above a size: a write fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_failed_write_keeps_the_old_file_and_leaves_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "out" / "report.html"
    path.parent.mkdir()
    write_file(path, b"old")
    with (
        largest_file(1000),
        pytest.raises(StoreError, match=r"report\.html: cannot write: .*large"),
    ):
        write_file(path, b"x" * 5000)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["report.html"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    other, link = tmp_path / "other", tmp_path / "link"
    other.write_bytes(b"mine")
    link.symlink_to(other)
    write_file(link, b"new")
    assert other.read_bytes() == b"mine"
    assert not link.is_symlink()
    assert link.read_bytes() == b"new"


def test_the_mode_is_what_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_file(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "words",
    [
        ["export", "--format", "csv"],
        ["export", "--format", "parquet"],
        ["export", "--format", "json"],
        ["export", "--format", "markdown"],
        ["export", "--format", "latex"],
        ["report"],
    ],
    ids=" ".join,
)
def test_no_command_loses_the_old_file(tmp_path: Path, words: list[str]) -> None:
    store = make_run(tmp_path, sources=("gender",), targets=("gender",), steps=(10,))
    out = tmp_path / "out"
    out.write_bytes(b"old")
    with largest_file(200):
        result = CliRunner().invoke(cli, [*words, str(store.folder), "--out", str(out)])
    assert isinstance(result.exception, StoreError), result.output
    assert out.read_bytes() == b"old"
    result = CliRunner().invoke(cli, [*words, str(store.folder), "--out", str(out)])
    assert result.exit_code == 0
    assert len(out.read_bytes()) > 200


def test_a_pipe_stays_a_pipe_and_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(StoreError, match="cannot write") as caught:
        write_file(path, b"content")  # nobody reads
    assert "\n" not in str(caught.value)
    assert path.is_fifo()
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_file(path, b"content")
    assert os.read(reader, 100) == b"content"
    os.close(reader)
    assert path.is_fifo()
    assert not list(tmp_path.glob(".pipe*"))
