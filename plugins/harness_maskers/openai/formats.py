"""Finding the response format that a server accepts, on the first calls."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from harness_maskers.openai.prompt import SCHEMA

FORMATS: tuple[dict[str, Any] | None, ...] = (
    {"type": "json_schema", "json_schema": {"name": "words", "strict": True, "schema": SCHEMA}},
    {"type": "json_object"},
    None,
)
"""Response formats, the strictest first."""

_NAMES = ("response_format", "json_schema", "json_object")
_TRANSIENT_FAILURES = 2


class FormatChoice:
    """The response format in use, shared by all dialogues of a client.

    Each server rejects a format in different words. So until a format has worked, a call that fails
    is repeated with the next one. The next one is adopted for all later calls once it has worked
    where the stricter one failed: at once if that failure rejected the request, after two such
    calls if it looked temporary (a server error may have nothing to do with the format).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current = 0
        self._confirmed = False
        self._doubts: Counter[int] = Counter()

    @property
    def current(self) -> int:
        """Position in `FORMATS` with which a call begins."""
        with self._lock:
            return self._current

    def after_failure(self, position: int, message: str, *, transient: bool) -> int | None:
        """Position with which a failed call should be repeated; None: the format is not at fault.

        Args:
            position: the format of the failed call.
            message: the server's words.
            transient: True if another try with the same format might succeed.
        """
        if position + 1 >= len(FORMATS):
            return None
        with self._lock:
            if self._confirmed and position >= self._current:
                named = not transient and any(name in message for name in _NAMES)
                return position + 1 if named else None
        return position + 1

    def worked(self, position: int, failed: dict[int, bool]) -> None:
        """Record that a call succeeded.

        Args:
            position: the format of the call.
            failed: the stricter formats that failed in the same call, and whether only with
                failures that looked temporary.
        """
        with self._lock:
            if position <= self._current:
                self._confirmed = self._confirmed or position == self._current
                return
            for earlier, transient in failed.items():
                if not transient:
                    self._doubts[earlier] = _TRANSIENT_FAILURES
                elif not self._confirmed:
                    self._doubts[earlier] += 1
            if all(self._doubts[p] >= _TRANSIENT_FAILURES for p in range(self._current, position)):
                self._current = position
                self._confirmed = True
