"""Seeded samples that are nested: a smaller limit is a subset of a larger one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def nested_sample(
    things: Sequence[T], limit: int | None, seed: int, name: Callable[[T], str]
) -> list[T]:
    """Return at most ``limit`` things in their own order, chosen by a hash of seed and name.

    Whether a thing is chosen depends on its name alone, so a sample stays what it was when the
    limit grows.
    """
    if limit is None or limit >= len(things):
        return list(things)
    return [things[i] for i in sorted(by_rank(things, seed, name)[:limit])]


def by_rank(things: Sequence[T], seed: int, name: Callable[[T], str]) -> list[int]:
    """Return the positions of things in the order in which a nested sample takes them."""

    def rank(i: int) -> bytes:
        return hashlib.sha256(f"{seed}:{name(things[i])}".encode("utf-8", "surrogatepass")).digest()

    return sorted(range(len(things)), key=rank)
