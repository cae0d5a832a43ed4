"""Sharing a list of independent items between processes that start as copies of this one."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def usable_cores() -> int:
    """How many cores this process may use; where the system does not say, how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def forked_map(function: Callable[[T], R], items: Sequence[T], processes: int) -> list[R]:
    """Return what a function makes of each item, computed in several processes.

    The other processes are forked, so they have what this one has read. Each returns its answers
    when it has all of them. If one is killed, or fails, its items are computed in this process, and
    an error is raised here. Where a fork is not safe (anywhere but on Linux, and in a process that
    has loaded torch), this process computes everything.

    Args:
        function: does not depend on which items came before. Its answers can be pickled.
        items: the items.
        processes: how many processes share them, this one included.
    """
    workers = min(processes, len(items))
    if workers < 2 or sys.platform != "linux" or "torch" in sys.modules:
        return [function(item) for item in items]
    context = get_context("fork")
    others = []
    answers: list[R | None] = [None] * len(items)
    try:
        for first in range(1, workers):
            receiver, sender = context.Pipe(duplex=False)
            share = items[first::workers]
            process = context.Process(target=_answer, args=(function, share, sender), daemon=True)
            with warnings.catch_warnings():  # of threads, which Python 3.12 counts: BLAS has some
                warnings.simplefilter("ignore", DeprecationWarning)
                process.start()
            sender.close()
            others.append((first, process, receiver))
        answers[::workers] = [function(item) for item in items[::workers]]
        for first, _, receiver in others:
            try:
                answers[first::workers] = receiver.recv()
            except EOFError:
                answers[first::workers] = [function(item) for item in items[first::workers]]
    finally:
        for _, process, receiver in others:
            process.kill()
            process.join()
            receiver.close()
    return answers  # type: ignore[return-value]  # every place has been filled


def _answer(function: Callable[[T], R], items: Sequence[T], sender: Connection) -> None:
    """Send the answers for a share of the items; send nothing if there is an error."""
    for signum in (signal.SIGINT, signal.SIGTERM):  # the command itself says what there is to say
        signal.signal(signum, signal.SIG_DFL)
    try:
        answers = [function(item) for item in items]
    except Exception:
        return
    sender.send(answers)
