"""Errors that are meant for a person: one line, what is wrong, where, and what to do.

The command line prints them without a trace. Anything else that escapes is a bug and keeps its
trace. ``exit_code`` is what the ``harness`` command ends with.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class HarnessError(Exception):
    """An error that a user can fix."""

    exit_code = 1

    def __str__(self) -> str:
        """Return the message as one line, even if it quotes names or values of several."""
        return " ".join(super().__str__().splitlines())


class SpecError(HarnessError):
    """The spec, or an option of a command, cannot be used as written."""

    exit_code = 2


class PluginError(HarnessError):
    """A plugin is missing, fails to load, clashes, or breaks its contract."""

    exit_code = 3


class PluginCrashError(PluginError):
    """A plugin raised an exception that is not meant for people; its trace is kept.

    The exception itself is the ``__cause__``.
    """

    def trace(self) -> str:
        """Return the trace of the plugin's exception."""
        import traceback

        return "".join(traceback.format_exception(self.__cause__ or self))


class DataError(HarnessError):
    """A data set is missing, altered, malformed, or has nothing for the question asked."""

    exit_code = 4


class NoPassageError(DataError):
    """A corpus that could be read has no passage of the domain, label and split asked for."""


class ModelError(HarnessError):
    """A model cannot be loaded or cannot do what was asked of it."""

    exit_code = 5


class DebiasError(HarnessError):
    """A debiaser failed on its input: nothing to learn from, divergence, no change at all."""

    exit_code = 6


class ServiceError(HarnessError):
    """A remote service (an API masker, a hub) refused, failed, or would cost too much."""

    exit_code = 7


class StoreError(HarnessError):
    """The results folder cannot be read or written."""

    exit_code = 8


def first_problem(error: ValidationError) -> str:
    """Return where the first problem of a pydantic error is, and what it is; not the input."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'? (known: a, b, x)"`` for an unknown ``word``."""
    names = sorted(set(known))
    close = get_close_matches(word, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    return f"{hint} (known: {', '.join(names) or 'none'})"
