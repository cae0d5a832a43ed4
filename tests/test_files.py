"""Files are whole or absent, regular, bounded, and nothing that a killed process left stays."""

from __future__ import annotations

import contextlib
import gzip
import os
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from harness.files import (
    gunzip,
    links_below,
    new_folder,
    read_file,
    scratch_folder,
    write_file,
    write_output,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder."""
    path = tmp_path / "folder"
    path.mkdir()
    return path


def test_only_regular_files_within_the_limit_are_read(folder: Path) -> None:
    path = folder / "file"
    path.write_bytes(b"12345")
    assert read_file(path, 5) == b"12345"
    link, pipe = folder / "link", folder / "pipe"
    link.symlink_to(path)
    os.mkfifo(pipe)
    assert read_file(link, 5) == b"12345"
    cases = {
        "longer than": lambda: read_file(path, 4),
        "a link": lambda: read_file(link, 5, follow=False),
        "not a regular file": lambda: read_file(pipe, 5),
        "not a regular": lambda: read_file(Path("/dev/zero"), 5),
        "a folder": lambda: read_file(folder, 5),
        "No such file": lambda: read_file(folder / "none", 5),
    }
    for words, read in cases.items():
        with pytest.raises(OSError, match=words):
            read()


def test_compressed_data_is_one_whole_member_within_the_limit() -> None:
    content = gzip.compress(b"x" * 100)
    assert gunzip(content, 100) == b"x" * 100
    with pytest.raises(OSError, match="longer"):
        gunzip(content, 99)
    for wrong in (content[:-1], content + b"x", content + content, b"", b"x"):
        with pytest.raises(zlib.error):
            gunzip(wrong, 1000)


def test_parts_are_written_in_order_and_an_error_among_them_keeps_the_old_file(
    folder: Path,
) -> None:
    def broken() -> object:
        yield b"new"
        raise RuntimeError("no more")

    path = folder / "file"
    write_file(path, [b"a", b"b"])
    assert path.read_bytes() == b"ab"
    with pytest.raises(RuntimeError):
        write_file(path, broken())  # type: ignore[arg-type]
    assert path.read_bytes() == b"ab"
    assert os.listdir(folder) == ["file"]


def test_the_longest_names_can_be_written(folder: Path) -> None:
    path = folder / ("n" * 255)
    write_file(path, b"x")
    assert path.read_bytes() == b"x"


def test_an_output_may_be_a_device_which_stays_one(folder: Path) -> None:
    write_output(Path("/dev/null"), b"x")
    assert not Path("/dev/null").is_file()
    write_output(folder / "file", b"x")
    assert (folder / "file").read_bytes() == b"x"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has this device")
def test_a_device_that_cannot_be_written_is_not_replaced_by_a_file() -> None:
    with pytest.raises(OSError, match="No space left"):
        write_output(Path("/dev/full"), b"x")
    assert not Path("/dev/full").is_file()


def test_what_is_no_file_is_not_replaced_by_one(folder: Path) -> None:
    pipe = folder / "a-pipe"
    os.mkfifo(pipe)
    (folder / "a-folder").mkdir()
    before = sorted(folder.iterdir())
    for name, said in (("a-pipe", "not a regular file"), ("a-folder", "a folder")):
        with pytest.raises(OSError, match=f"{said}, which is not replaced"):
            write_file(folder / name, b"x")
    assert pipe.is_fifo()
    assert sorted(folder.iterdir()) == before


def test_a_new_folder_appears_whole_or_not_at_all(folder: Path) -> None:
    path = folder / "odd [name]*"
    with new_folder(path) as made:
        (made / "private").write_bytes(b"x")
        (made / "private").chmod(0o600)
        assert not path.exists()
    assert os.listdir(folder) == [path.name]
    assert (path / "private").stat().st_mode & 0o777 == 0o666 & ~_umask()
    with pytest.raises(OSError, match=r"not empty|exists"), new_folder(path):
        pass
    with contextlib.suppress(RuntimeError), new_folder(folder / "other") as made:
        (made / "file").write_bytes(b"x")
        raise RuntimeError
    assert os.listdir(folder) == [path.name]


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_uses_is_not(
    folder: Path,
) -> None:
    code = (
        "import sys, time; from pathlib import Path; from harness.files import scratch_folder\n"
        "with scratch_folder(Path(sys.argv[1]), '.making-') as folder:\n"
        "    (folder / 'big').write_bytes(b'x'); print(folder.name, flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    with scratch_folder(folder, ".making-"):
        assert (folder / name / "big").is_file()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert os.listdir(folder) == [name]
    with scratch_folder(folder, ".making-") as made:
        assert os.listdir(folder) == [made.name]
    assert os.listdir(folder) == []


def test_links_and_devices_below_a_folder_are_found(folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "file").write_bytes(b"")
    assert links_below(folder) == []
    (folder / "a" / "link").symlink_to("/")
    os.mkfifo(folder / "pipe")
    assert links_below(folder) == [folder / "a" / "link", folder / "pipe"]
