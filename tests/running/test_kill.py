"""Runs killed with SIGKILL at any point, several at once, and on a full disk."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from harness.errors import StoreError
from harness.lm.loading.loading import load_transformers
from harness.storage.store import Store
from harness.testing import save_tiny_model

SCRIPT = Path(__file__).parents[1] / "support" / "run_toys.py"
KILLS = 20
TINY_KILLS = 6


class End(NamedTuple):
    """How a run ended: killed or not, after how many beats, and what it said."""

    killed: bool
    beats: int
    said: str

    @property
    def counts(self) -> list[int]:
        """Measure tasks reused, measured and failed."""
        return [int(word) for word in self.said.split()]


class Runs:
    """Starts runs in forks of one process; see run_toys.py."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self._read() == "ready"

    def start(
        self, folder: Path, kind: str = "toy", pause: float = 0.0, fault: str = "none"
    ) -> int:
        """Start a run; returns its process."""
        return int(self._ask("start", folder, kind, pause, fault).removeprefix("pid "))

    def kill(self, pid: int, beats: int, delay: float = 0.0) -> End:
        """Kill a run once it has given so many beats; it may end before."""
        return self._end(self._ask("kill", pid, beats, delay))

    def wait(self, pid: int) -> End:
        """Wait for the end of a run."""
        return self._end(self._ask("wait", pid))

    def finish(self, folder: Path, kind: str = "toy") -> list[int]:
        """Run to the end: reused, measured, failed."""
        return self.wait(self.start(folder, kind)).counts

    def close(self) -> None:
        self._process.communicate(timeout=30)

    def _ask(self, *words: object) -> str:
        assert self._process.stdin is not None
        print(*words, file=self._process.stdin, flush=True)
        return self._read()

    @staticmethod
    def _end(line: str) -> End:
        _, killed, beats, said = line.split(" ", 3)
        return End(killed == "1", int(beats), said)

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().removesuffix("\n")


class Whole(NamedTuple):
    """An undisturbed run: its records, its checkpoints by their hash, its number of beats."""

    records: dict[str, object]
    checkpoints: dict[str, str]
    beats: int


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    own = Runs()
    yield own
    own.close()


def undisturbed(runs: Runs, folder: Path, kind: str) -> Whole:
    beats = runs.wait(runs.start(folder, kind)).beats
    return Whole(contents(folder), checkpoints(folder), beats)


@pytest.fixture(scope="module")
def whole(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A run of toys."""
    return undisturbed(runs, tmp_path_factory.mktemp("whole"), "toy")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for runs of a real model, which lies in it."""
    folder = tmp_path_factory.mktemp("tiny")
    save_tiny_model(folder / "model")
    return folder


@pytest.fixture(scope="module")
def tiny_whole(runs: Runs, tiny: Path) -> Whole:
    return undisturbed(runs, tiny / "whole", "tiny")


def contents(folder: Path) -> dict[str, object]:
    """Every record with its items, without its times; raises if one cannot be read."""
    if not (folder / "run" / "index.json").is_file():
        return {}
    store = Store.open(folder / "run")
    found = {}
    for key in store.record_keys():
        record = store.record(key)
        assert record is not None
        found[key] = record.model_dump(exclude={"created_at", "seconds"})
    return found


def checkpoints(folder: Path) -> dict[str, str]:
    """Hash of all the files of every kept checkpoint."""
    found = {}
    for own in sorted(folder.glob("run/checkpoints/*/step-*")):
        digest = hashlib.sha256()
        for file in sorted(own.rglob("*")):
            digest.update(f"{file.relative_to(own)}".encode() + file.read_bytes())
        found[f"{own.parent.name}/{own.name}"] = digest.hexdigest()
    return found


def litter(folder: Path) -> list[Path]:
    return [*folder.rglob("*.partial"), *folder.rglob(".probe-*"), *folder.rglob(".lock")]


# -- killed ----------------------------------------------------------------------------------


def kill_and_go_on(
    runs: Runs, whole: Whole, folder: Path, kind: str, kills: int, rng: random.Random
) -> None:
    """Kill runs at random points, up to three in a folder, then let one end; check after each."""
    done = number = 0
    while done < kills:
        own, kept = folder / f"killed-{number}", 0
        number += 1
        for _ in range(3):
            pid = runs.start(own, kind, pause=0.001)
            end = runs.kill(pid, rng.randint(1, whole.beats), rng.uniform(0, 0.003))
            if not end.killed:
                break
            done += 1
            found = contents(own)  # every record that is there can be read
            assert found.items() <= whole.records.items()
            assert len(found) >= kept, "a finished record was lost"
            kept = len(found)
            assert checkpoints(own).items() <= whole.checkpoints.items()
        kept = len(contents(own))
        assert runs.finish(own, kind) == [kept, len(whole.records) - kept, 0]
        assert contents(own) == whole.records
        assert not litter(own)


def test_killed_at_random_points_nothing_finished_is_lost(
    runs: Runs, whole: Whole, tmp_path: Path
) -> None:
    kill_and_go_on(runs, whole, tmp_path, "toy", KILLS, random.Random(7))


def test_killed_while_a_model_is_fitted_or_its_checkpoint_written(
    runs: Runs, tiny_whole: Whole, tiny: Path
) -> None:
    assert len(tiny_whole.checkpoints) == 3  # two steps of a method, and the control
    kill_and_go_on(runs, tiny_whole, tiny, "tiny", TINY_KILLS, random.Random(3))
    for own in tiny.glob("killed-*"):
        assert checkpoints(own) == tiny_whole.checkpoints


def test_killed_at_every_sync_of_the_first_two_results(
    runs: Runs, whole: Whole, tmp_path: Path
) -> None:
    """A result is synced four times: items, their folder, record, its folder."""
    for sync in range(1, 11):
        folder = tmp_path / str(sync)
        assert runs.wait(runs.start(folder, fault=f"die@{sync}")).killed
        results = max(0, sync - 3)  # the index comes first, in two syncs
        items, records = (results + 3) // 4, (results + 1) // 4
        assert len(list(folder.glob("run/items/*.gz"))) == items
        assert len(contents(folder)) == records
        assert len(list(folder.rglob("*.partial"))) == sync % 2
        assert (folder / "run" / "index.json").exists() == (sync > 1)
        assert runs.finish(folder) == [records, len(whole.records) - records, 0]
        assert contents(folder) == whole.records
        assert not litter(folder)


def test_a_record_whose_items_are_gone_is_made_again(
    runs: Runs, whole: Whole, tmp_path: Path
) -> None:
    runs.finish(tmp_path)
    lost = next((tmp_path / "run" / "items").iterdir())
    lost.unlink()
    assert runs.finish(tmp_path) == [len(whole.records) - 1, 1, 0]
    assert contents(tmp_path) == whole.records


# -- two at once -----------------------------------------------------------------------------


def until_locked(folder: Path) -> None:
    """Wait until a run writes in a folder."""
    deadline = time.monotonic() + 30
    while not (folder / "run" / "index.json").exists():  # written once the lock is held
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_second_run_in_a_folder_is_told_and_the_first_goes_on(
    runs: Runs, whole: Whole, tmp_path: Path
) -> None:
    first = runs.start(tmp_path, pause=0.005)
    until_locked(tmp_path)
    half = tmp_path / "run" / "records" / ".x.json.0.partial"
    half.touch()  # as the first run would have it in the middle of a write
    said = runs.wait(runs.start(tmp_path)).said
    assert said.startswith("StoreError: ")
    assert f"another run is writing here (process {first} on " in said
    assert half.exists(), "the second run removed what the first is writing"
    assert runs.wait(first).counts == [0, len(whole.records), 0]
    assert contents(tmp_path) == whole.records
    assert runs.finish(tmp_path) == [len(whole.records), 0, 0]
    assert not litter(tmp_path)


def test_runs_that_race_for_a_folder_and_are_killed_leave_it_sound(
    runs: Runs, whole: Whole, tmp_path: Path
) -> None:
    rng = random.Random(5)
    for _ in range(5):
        racing = [runs.start(tmp_path, pause=0.001) for _ in range(3)]
        ends = [runs.kill(racing[0], rng.randint(1, whole.beats // 2)), *map(runs.wait, racing[1:])]
        assert contents(tmp_path).items() <= whole.records.items()
        for end in ends:
            assert end.killed or "another run is writing here" in end.said or end.counts[2] == 0
    assert sum(runs.finish(tmp_path)) == len(whole.records)
    assert contents(tmp_path) == whole.records
    assert not litter(tmp_path)


def test_the_lock_of_a_killed_run_holds_nobody_up(runs: Runs, whole: Whole, tmp_path: Path) -> None:
    assert runs.kill(runs.start(tmp_path, pause=0.001), beats=whole.beats // 2).killed
    assert (tmp_path / "run" / ".lock").exists()
    runs.finish(tmp_path)
    assert contents(tmp_path) == whole.records


def test_many_processes_on_one_lock_are_never_two_inside(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    program = (
        "import sys, pathlib\n"
        "from harness.storage.locking import file_lock\n"
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


def test_a_store_knows_its_own_lock(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare()
    with store.locked(), store.locked():
        other = Store(tmp_path)
        with pytest.raises(StoreError, match="another run is writing here"), other.locked():
            pass
    with Store(tmp_path).locked():
        pass


# -- a full disk -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("limit@64", "File too large"),  # the kernel's own check of a file's size
        ("full@11", "No space left on device"),  # the index and two results, then nothing
    ],
)
def test_a_disk_that_fills_up_ends_the_run_cleanly(
    runs: Runs, whole: Whole, tmp_path: Path, fault: str, why: str
) -> None:
    end = runs.wait(runs.start(tmp_path, fault=fault))
    assert not end.killed
    assert end.said.startswith("StoreError: ")
    assert f"cannot write: {why}; what was finished before is kept, free some space" in end.said
    assert "\n" not in end.said
    found = contents(tmp_path)
    assert len(found) == 2
    assert found.items() <= whole.records.items()
    assert not litter(tmp_path)
    assert runs.finish(tmp_path) == [2, len(whole.records) - 2, 0]
    assert contents(tmp_path) == whole.records


def test_a_disk_too_full_for_a_checkpoint_ends_the_run_cleanly(
    runs: Runs, tiny_whole: Whole, tiny: Path
) -> None:
    folder = tiny / "full"
    end = runs.wait(runs.start(folder, "tiny", fault="limit@20000"))
    assert end.said.startswith("StoreError: ")
    assert "cannot write" in end.said
    assert "\n" not in end.said
    assert contents(folder).items() <= tiny_whole.records.items()
    assert len(contents(folder)) == 2  # the base model's, before anything is kept
    assert checkpoints(folder) == {}
    assert not litter(folder)
    runs.finish(folder, "tiny")
    assert contents(folder) == tiny_whole.records
    assert checkpoints(folder) == tiny_whole.checkpoints


def test_kept_checkpoints_can_be_loaded(tiny_whole: Whole, tiny: Path) -> None:
    for name in tiny_whole.checkpoints:
        model = load_transformers(tiny / "whole" / "run" / "checkpoints" / name)
        assert model.token_scores(["Women and men wait."])
