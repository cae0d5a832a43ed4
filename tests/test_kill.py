"""A run killed with SIGKILL at random moments resumes to the records of an undisturbed one."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from harness.store import Store

SCRIPT = Path(__file__).with_name("run_toys.py")


def start(folder: Path, pause: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), str(pause)], stdout=subprocess.PIPE, text=True
    )


def finish(folder: Path) -> list[int]:
    with start(folder, 0.0) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return [int(word) for word in out.splitlines()[-1].split()]


def contents(folder: Path) -> dict[str, object]:
    store = Store.open(folder / "run")
    records = {key: store.record(key) for key in store.record_keys()}
    return {
        key: record and record.model_dump(exclude={"created_at", "seconds"})
        for key, record in records.items()
    }


def test_killed_at_random_points_nothing_finished_is_lost(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    finish(whole)
    rng = random.Random(7)
    folder = tmp_path / "killed"
    kept: list[int] = []
    for _ in range(6):
        with start(folder, 0.02) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "running\n"
            time.sleep(rng.uniform(0.0, 0.25))
            process.send_signal(signal.SIGKILL)
            process.wait()
        if (folder / "run" / "index.json").is_file():
            found = contents(folder)  # every record that is there can be read
            kept.append(len(found))
    assert kept == sorted(kept), "a finished record was lost"
    assert 0 < kept[-1] < len(contents(whole)), "the kills fell before or after all the work"
    reused, measured, failed = finish(folder)
    assert failed == 0
    assert reused == kept[-1]
    assert reused + measured == len(contents(whole))
    assert contents(folder) == contents(whole)


def test_two_runs_in_one_folder_do_not_corrupt_each_other(tmp_path: Path) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "shared"
    finish(whole)
    with start(folder, 0.01) as one, start(folder, 0.01) as two:
        assert (one.wait(60), two.wait(60)) == (0, 0)
    assert contents(folder) == contents(whole)
    assert not list((folder / "run").rglob("*.partial"))
