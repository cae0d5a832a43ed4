"""Keep Python's garbage collector from scanning data again that stays in memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Turn the garbage collector off for a block that makes many objects and no cycles.

    Otherwise it would scan hundreds of thousands of item values again and again.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Collect less often in a command that reads a run, as most of its objects live to its end.

    New garbage, such as a figure that has been written, is still collected. Objects that survived
    two collections are hardly ever scanned again.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(50_000, 20, 1000)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
