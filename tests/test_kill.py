"""Runs killed with SIGKILL at random moments, two at once, and on a full disk."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.store import Store

SCRIPT = Path(__file__).with_name("run_toys.py")
KILLS = 20


class Runs:
    """Starts runs one after the other in forks of one process; see run_toys.py."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self._read() == "ready"

    def start(self, folder: Path, pause: float = 0.0, limit: int = 0) -> int:
        """Start a run; returns its process."""
        assert self._process.stdin is not None
        print(folder, pause, "toy", limit, file=self._process.stdin, flush=True)
        return int(self._read().removeprefix("pid "))

    def end(self) -> str:
        """Wait for the run; returns what it said, nothing if it was killed."""
        _, _, said = self._read().removeprefix("end ").partition(" ")
        return said

    def finish(self, folder: Path) -> list[int]:
        """Run to the end: reused, measured, failed."""
        self.start(folder)
        return [int(word) for word in self.end().split()]

    def close(self) -> None:
        self._process.communicate(timeout=30)

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().removesuffix("\n")


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    own = Runs()
    yield own
    own.close()


@pytest.fixture(scope="module")
def whole(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The records of an undisturbed run."""
    folder = tmp_path_factory.mktemp("whole")
    runs.finish(folder)
    return contents(folder)


def contents(folder: Path) -> dict[str, object]:
    """Every record with its items, without its times; raises if one cannot be read."""
    store = Store.open(folder / "run")
    found = {}
    for key in store.record_keys():
        record = store.record(key)
        assert record is not None
        found[key] = record.model_dump(exclude={"created_at", "seconds"})
    return found


def litter(folder: Path) -> list[Path]:
    return [*folder.rglob("*.partial"), *folder.rglob(".probe-*"), *folder.rglob(".lock")]


def until_locked(folder: Path) -> None:
    """Wait until a run writes in a folder."""
    deadline = time.monotonic() + 30
    while not (folder / "run" / "index.json").exists():  # written once the lock is held
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_killed_at_random_points_nothing_finished_is_lost(
    runs: Runs, whole: dict[str, object], tmp_path: Path
) -> None:
    rng = random.Random(7)
    kept = [0]
    left_behind = 0
    for _ in range(KILLS):
        pid = runs.start(tmp_path, pause=0.01)
        time.sleep(rng.uniform(0.005, 0.12))
        os.kill(pid, signal.SIGKILL)
        assert runs.end() == ""
        left_behind += len(list(tmp_path.rglob("*.partial")))
        if (tmp_path / "run" / "index.json").is_file():
            found = contents(tmp_path)  # every record that is there can be read
            assert found.items() <= whole.items()
            kept.append(len(found))
    assert kept == sorted(kept), "a finished record was lost"
    assert 0 < kept[-1] < len(whole), "the kills fell before or after all the work"
    assert left_behind, "no kill fell into a write"
    reused, measured, failed = runs.finish(tmp_path)
    assert (reused, reused + measured, failed) == (kept[-1], len(whole), 0)
    assert contents(tmp_path) == whole
    assert not litter(tmp_path)


def test_a_second_run_in_a_folder_is_told_and_the_first_goes_on(
    runs: Runs, whole: dict[str, object], tmp_path: Path
) -> None:
    other = Runs()
    pid = runs.start(tmp_path, pause=0.02)
    until_locked(tmp_path)
    half = tmp_path / "run" / "records" / ".x.json.0.partial"
    half.touch()  # as the first run would have it in the middle of a write
    other.start(tmp_path)
    said = other.end()
    assert said.startswith("StoreError: ")
    assert f"another run is writing here (process {pid} on " in said
    assert "\n" not in said
    assert half.exists(), "the second run removed what the first is writing"
    assert runs.end().split()[0] == "0"
    assert contents(tmp_path) == whole
    assert other.finish(tmp_path) == [len(whole), 0, 0]
    assert not litter(tmp_path)
    other.close()


def test_the_lock_of_a_killed_run_holds_nobody_up(
    runs: Runs, whole: dict[str, object], tmp_path: Path
) -> None:
    pid = runs.start(tmp_path, pause=0.02)
    until_locked(tmp_path)
    os.kill(pid, signal.SIGKILL)
    runs.end()
    assert (tmp_path / "run" / ".lock").exists()
    runs.finish(tmp_path)
    assert contents(tmp_path) == whole


def test_many_processes_on_one_lock_are_never_two_inside(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    program = (
        "import sys, pathlib\n"
        "from harness.locking import file_lock\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "for _ in range(200):\n"
        "    with file_lock(folder / 'lock', wait=True):\n"
        "        (folder / 'inside').mkdir()\n"  # fails if another process is inside
        "        (folder / 'inside').rmdir()\n"
    )
    command = [sys.executable, "-c", program, str(folder)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert not list(folder.iterdir())


def test_a_disk_that_fills_up_ends_the_run_cleanly(
    runs: Runs, whole: dict[str, object], tmp_path: Path
) -> None:
    runs.start(tmp_path, limit=64)  # no file may grow beyond this, by the kernel's own check
    said = runs.end()
    assert said.startswith("StoreError: ")
    assert "cannot write" in said
    assert "free some space" in said
    assert "\n" not in said
    found = contents(tmp_path)
    assert len(found) == 4
    assert found.items() <= whole.items()
    assert not litter(tmp_path)
    assert runs.finish(tmp_path) == [4, len(whole) - 4, 0]
    assert contents(tmp_path) == whole


def test_a_record_whose_items_are_gone_is_made_again(
    runs: Runs, whole: dict[str, object], tmp_path: Path
) -> None:
    runs.finish(tmp_path)
    lost = next((tmp_path / "run" / "items").iterdir())
    lost.unlink()
    assert runs.finish(tmp_path) == [len(whole) - 1, 1, 0]
    assert contents(tmp_path) == whole


def test_a_store_knows_its_own_lock(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare()
    with store.locked(), store.locked():
        other = Store(tmp_path)
        with pytest.raises(StoreError, match="another run is writing here"), other.locked():
            pass
    with Store(tmp_path).locked():
        pass
