"""Work that is shared between forked processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from multiprocessing import active_children
from pathlib import Path

import pytest

from harness import forks
from harness.forks import forked_map, usable_cores

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="processes are forked on Linux only"
)


@pytest.fixture(autouse=True)
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another test of this process may have loaded it."""
    monkeypatch.delitem(sys.modules, "torch", raising=False)


@pytest.mark.parametrize("processes", [1, 2, 3, 50])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_answers_are_in_the_order_of_the_items(count: int, processes: int) -> None:
    answers = forked_map(lambda item: (item, os.getpid()), range(count), processes)
    assert [item for item, _ in answers] == list(range(count))
    assert len({pid for _, pid in answers}) == min(processes, count)


def test_large_answers_arrive_whole() -> None:
    sizes = [5_000_000, 1, 3_000_000, 2]
    assert [len(text) for text in forked_map(lambda n: b"x" * n, sizes, 4)] == sizes


@pytest.mark.parametrize("end", [lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: 1 / 0])
def test_the_items_of_a_process_that_ends_early_are_computed_here(end: object) -> None:
    here = os.getpid()

    def answer(item: int) -> int:
        if os.getpid() != here and callable(end):
            end()
        return item * item

    assert forked_map(answer, [1, 2, 3], 2) == [1, 4, 9]


def test_an_error_is_raised_here_and_no_process_stays(capfd: pytest.CaptureFixture[str]) -> None:
    def answer(item: int) -> int:
        if item == 1:
            raise ValueError("item one")
        return item

    with pytest.raises(ValueError, match="item one"):
        forked_map(answer, [0, 1, 2], 3)
    assert active_children() == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("module", "platform"), [("torch", "linux"), ("none", "darwin")])
def test_one_process_does_everything_where_a_fork_is_not_safe(
    module: str, platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, forks)
    monkeypatch.setattr(sys, "platform", platform)
    assert set(forked_map(lambda _: os.getpid(), range(4), 2)) == {os.getpid()}


def test_ctrl_c_ends_every_process_without_a_word(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
            import signal, sys, time
            from harness.forks import forked_map

            def answer(item):
                print(item, flush=True)
                time.sleep(60)

            signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                forked_map(answer, [0, 1], 2)
            except KeyboardInterrupt:
                sys.exit(130)
        """)
    )
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert {process.stdout.readline(), process.stdout.readline()} == {"0\n", "1\n"}
    started = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "")
    assert time.monotonic() - started < 10
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_usable_cores_are_those_that_this_process_may_use() -> None:
    assert usable_cores() == len(os.sched_getaffinity(0))
