"""Runs in one file: they come back as they were, and hostile files are refused in one line."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import invoke
from made_runs import make_run

from harness.analysis.long_table import tidy_rows
from harness.errors import StoreError
from harness.replay.verification import verify
from harness.storage.archive import MEMBERS, open_archive, share
from harness.storage.records import Failure
from harness.storage.seals import sealed, unsealed
from harness.storage.store import Store

F_SETPIPE_SZ = 1031
"""Linux's request for a larger pipe."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_run(
        tmp_path_factory.mktemp("runs"),
        sources=("gender",),
        targets=("gender", "race"),
        steps=(10, 20),
        fail={("gender", 20)},
    )


@pytest.fixture(scope="module")
def archive(run: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shared") / "run.zip"
    share(run, path)
    return path


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def tables(store: Store) -> object:
    return [row.values() for row in tidy_rows(store)], store.index()


# -- round trip ------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True], ids=["files", "packed"])
def test_an_opened_run_is_the_shared_one(run: Store, tmp_path: Path, packed: bool) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    if packed:
        Store(folder).pack()
    before = files(folder)
    share(Store(folder), tmp_path / "run.zip")
    assert files(folder) == before
    there = open_archive(tmp_path / "run.zip", tmp_path / "runs")
    assert there.folder == tmp_path / "runs" / "made-run"
    assert tables(there) == tables(run)
    assert [d.what for d in verify(there).differences] == [d.what for d in verify(run).differences]
    there.unpack()
    for key in run.record_keys():
        assert there.record(key) == run.record(key)
    assert stat.S_IMODE((there.folder / "index.json").stat().st_mode) & 0o077 == (~_umask() & 0o066)


def _umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


def test_the_same_run_gives_the_same_file_from_both_forms(
    run: Store, archive: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    Store(folder).pack()
    share(Store(folder), tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()


def test_traces_and_checkpoints_stay_at_home(run: Store, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    store = Store(folder)
    key = "ab" * 12
    store.write_failure(
        Failure(key=key, reason="it broke", trace="/home/someone/secret", created_at="now")
    )
    (folder / "checkpoints" / key).mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    share(store, tmp_path / "run.zip")
    with zipfile.ZipFile(tmp_path / "run.zip") as whole:
        assert set(whole.namelist()) <= set(MEMBERS)
    there = open_archive(tmp_path / "run.zip", tmp_path / "there")
    failure = there.failure(key)
    assert failure is not None
    assert (failure.reason, failure.trace) == ("it broke", None)
    kept = store.failure(key)
    assert kept is not None
    assert kept.trace


def test_a_pipe_is_written_to_and_stays_one(run: Store, tmp_path: Path) -> None:
    """A rename over it would replace it, and a device such as ``/dev/null`` for every program."""
    pipe, plain = tmp_path / "pipe", tmp_path / "plain.zip"
    share(run, plain)
    os.mkfifo(pipe)
    link = tmp_path / "link"
    link.symlink_to(pipe)
    for path in (pipe, link):
        reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(reading, F_SETPIPE_SZ, 1 << 20)
        size = share(run, path)
        assert size < 1 << 20
        assert os.read(reading, 1 << 20) == plain.read_bytes()
        os.close(reading)
    assert stat.S_ISFIFO(os.lstat(pipe).st_mode)
    assert link.is_symlink()


def test_a_name_that_cannot_be_is_one_line(run: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot write: File name too long"):
        share(run, tmp_path / ("x" * 300))


def test_a_damaged_run_is_not_shared(run: Store, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    path = next((folder / "items").iterdir())
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StoreError, match="a damaged run is not shared"):
        share(Store(folder), tmp_path / "run.zip")
    assert not (tmp_path / "run.zip").exists()


# -- where it goes ---------------------------------------------------------------------------


def test_a_folder_that_exists_is_left_alone(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "made-run").mkdir()
    with pytest.raises(StoreError, match=r"made-run exists; give another name with --name"):
        open_archive(archive, tmp_path)
    assert open_archive(archive, tmp_path, "other").folder == tmp_path / "other"
    assert not list((tmp_path / "made-run").iterdir())


@pytest.mark.parametrize(
    "name", ["..", ".", "../up", "/tmp/x", "a/b", "a\\b", "-x", "a\n", "x.", ""]
)
def test_names_of_runs_are_one_folder(run: Store, tmp_path: Path, name: str) -> None:
    share(run, tmp_path / "run.zip")
    with pytest.raises(StoreError, match="cannot name a run folder"):
        open_archive(tmp_path / "run.zip", tmp_path / "runs", name)
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    Store(folder).write_index(run.index().model_copy(update={"name": name}))
    share(Store(folder), tmp_path / "run.zip")
    with pytest.raises(StoreError, match="give one with --name"):
        open_archive(tmp_path / "run.zip", tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    assert open_archive(tmp_path / "run.zip", tmp_path / "runs", "good").index().name == name


# -- hostile archives ------------------------------------------------------------------------


def members(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as whole:
        return {name: whole.read(name) for name in whole.namelist()}


def written(path: Path, parts: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", method) as whole:
        for name, content in parts.items():
            whole.writestr(name, content)


def _extra(name: str) -> Callable[[Path, dict[str, bytes]], None]:
    return lambda path, parts: written(path, {**parts, name: b"x"})


def _link(path: Path, parts: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as whole:
        for name, content in parts.items():
            member = zipfile.ZipInfo(name)
            if name == "items.jsonl.gz":
                member.external_attr = (stat.S_IFLNK | 0o777) << 16
                content = b"/etc/passwd"
            whole.writestr(member, content)


def _encrypted(path: Path, parts: dict[str, bytes]) -> None:
    written(path, parts)
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    path.write_bytes(content)


def _twice(path: Path, parts: dict[str, bytes]) -> None:
    written(path, parts)
    with zipfile.ZipFile(path, "a") as whole, pytest.warns(UserWarning, match="Duplicate"):
        whole.writestr("index.json", b"{}")


def _resealed(path: Path, parts: dict[str, bytes]) -> None:
    text, _ = unsealed(parts["index.json"])
    changed = {**json.loads(text), "targets": "x"}
    written(path, {**parts, "index.json": sealed(json.dumps(changed).encode())})


HOSTILE: dict[str, tuple[Callable[[Path, dict[str, bytes]], None], str]] = {
    "up": (_extra("../../evil"), "is not a file of a packed run"),
    "absolute": (_extra("/tmp/evil"), "is not a file of a packed run"),
    "backslash": (_extra("..\\evil"), "is not a file of a packed run"),
    "folder": (_extra("records/"), "is not a file of a packed run"),
    "checkpoint": (_extra("checkpoints/ab/model.bin"), "is not a file of a packed run"),
    "newline": (_extra("a\nb"), "is not a file of a packed run"),
    "link": (_link, "is a link or a device"),
    "bomb": (
        lambda path, parts: written(
            path, {**parts, "items.jsonl.gz": bytes(2**27)}, zipfile.ZIP_DEFLATED
        ),
        "is compressed",
    ),
    "encrypted": (_encrypted, "is encrypted"),
    "twice": (_twice, "a name twice"),
    "no index": (lambda path, parts: written(path, {k: v for k, v in parts.items() if k !=
                 "index.json"}), "no index.json"),
    "empty": (lambda path, _: written(path, {}), "no index.json"),
    "text": (lambda path, _: _write(path, b"hello"), "not a whole archive"),
    "nothing": (lambda path, _: _write(path, b""), "not a whole archive"),
    "index of another kind": (_resealed, "index.json"),
    "items cut": (
        lambda path, parts: written(
            path, {**parts, "items.jsonl.gz": parts["items.jsonl.gz"][:-20]}
        ),
        "damaged",
    ),
    "items changed": (
        lambda path, parts: written(
            path, {**parts, "items.jsonl.gz": parts["items.jsonl.gz"][::-1]}
        ),
        "damaged",
    ),
    "records of another run": (
        lambda path, parts: written(path, {**parts, "records.jsonl.gz": b"\0" * 100}),
        "damaged",
    ),
    "pipe": (lambda path, _: os.mkfifo(path), "not a regular file"),
    "place": (lambda path, _: path.mkdir(), "a folder, not a file"),
    "missing": (lambda path, _: None, "No such file"),
}  # fmt: skip


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_are_refused_in_one_line(archive: Path, tmp_path: Path, case: str) -> None:
    make, said = HOSTILE[case]
    path = tmp_path / "hostile.zip"
    make(path, members(archive))
    with pytest.raises(StoreError) as raised:
        open_archive(path, tmp_path / "runs")
    assert said in str(raised.value)
    assert str(raised.value).startswith(f"{path}: ")
    assert not [p for p in tmp_path.rglob("*") if p.name != "hostile.zip" and not p.is_dir()]
    assert not list(tmp_path.glob("runs/*"))


def test_no_flipped_or_missing_byte_of_an_archive_changes_a_table(
    archive: Path, run: Store, tmp_path: Path
) -> None:
    """Where an archive with one changed byte is opened, its tables are the same."""
    whole = archive.read_bytes()
    expected = tables(run)
    path = tmp_path / "changed.zip"
    refused = 0
    for number in range(60):
        content = bytearray(whole)
        content[(number * 7919 * 31) % len(whole)] ^= 1 << number % 8
        path.write_bytes(content if number % 4 else content[: len(whole) * number // 60])
        there = None
        with contextlib.suppress(StoreError):
            there = open_archive(path, tmp_path / "runs", f"run{number}")
        refused += there is None
        assert there is None or tables(there) == expected
    assert refused > 30


# -- commands --------------------------------------------------------------------------------


def test_the_commands(run: Store, tmp_path: Path) -> None:
    path, runs = tmp_path / "run.zip", tmp_path / "runs"
    done = invoke("share", run.folder, path)
    assert done.exit_code == 0, done.output
    assert f"in {path}" in done.output.replace("\n", "")
    opened = invoke("open", path, "--results", runs, "--name", "theirs")
    assert opened.exit_code == 0, opened.output
    assert "harness verify" in opened.output
    for command in ("matrix", "leaderboard"):
        there = invoke(command, "theirs", "--results", runs)
        assert there.exit_code == 0, there.output
        assert there.output == invoke(command, run.folder).output
