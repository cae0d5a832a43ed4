"""Entry point of the built-in models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.families import Model
from harness.hookspecs import hookimpl
from harness_models.gemma3 import Gemma3
from harness_models.huggingface import Gguf, HuggingFace
from harness_models.smollm2 import SmolLM2


@hookimpl
def harness_models() -> Sequence[type[Model[Any]]]:
    """Return the built-in models."""
    return [HuggingFace, Gguf, SmolLM2, Gemma3]
