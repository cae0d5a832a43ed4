"""Memory of a CPU: kept between batches, and in large pages."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of glibc's mallopt(3)."""

_LARGEST = 1 << 30

HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"
"""Torch's switch: it asks the kernel for huge pages for every tensor of 2 MiB or more. Torch reads
it when the process makes its first tensor, and never again."""


@cache
def tune_memory() -> None:
    """Set up how this process gets memory for tensors on a CPU; before the first, if it can be.

    With pages of 4 KiB a forward pass of a small model waits for address translation: on the
    machine of docs/speed.md it takes a tenth longer, in some processes and not in others, as the
    kernel happens to lay out memory. `HUGE_PAGES` of the environment is left as it is if set.

    Let the activations of one batch use the memory of the last one, too (glibc only): by default
    every array of more than 32 MiB is asked of the kernel anew and given back, page by page,
    which costs a twelfth of the time.
    """
    os.environ.setdefault(HUGE_PAGES, "1")
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_THRESHOLD, _LARGEST)
        libc.mallopt(_TRIM_THRESHOLD, -1)
