"""A tiny RoBERTa for tests of evaluators."""

from __future__ import annotations

import pytest
from roberta import tiny_roberta

from harness.lm.handle import LanguageModel


@pytest.fixture(scope="module")
def roberta() -> LanguageModel:
    """Byte-level BPE, words with their leading space, a mask token that takes that space."""
    return tiny_roberta()
