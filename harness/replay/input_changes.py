"""Which inputs of a stored result differ from those that the same task has now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

SHOWN = 40
"""Most characters of a value that are shown."""


def input_changes(before: Any, now: Any, path: str = "") -> Iterator[str]:
    """Yield ``path: before, now after`` for each input that differs.

    Args:
        before: inputs as they were stored, or a part of them.
        now: the same part of today's inputs.
        path: where the part is, with dots between names.
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in dict.fromkeys([*before, *now]):
            inner = f"{path}.{name}" if path else str(name)
            yield from input_changes(before.get(name), now.get(name), inner)
    elif before != now:
        yield f"{path}: {_shown(before)}, now {_shown(now)}"


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
