"""A time limit for cases that may wait."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

SECONDS = 20


@pytest.fixture
def no_hang() -> Iterator[None]:
    """End a case that waits, such as for a pipe."""

    def late(*_: object) -> None:
        raise TimeoutError(f"not done after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
