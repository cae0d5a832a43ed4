"""Entry point of the built-in maskers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.families import Masker
from harness.hookspecs import hookimpl
from harness_maskers.controls import AllWords, RandomWords
from harness_maskers.openai.masker import OpenAIMasker
from harness_maskers.wordlist import Wordlist


@hookimpl
def harness_maskers() -> Sequence[type[Masker[Any]]]:
    """Return the built-in maskers."""
    return [AllWords, OpenAIMasker, RandomWords, Wordlist]
