"""A GPT-2 small enough to build in a test, with random weights that are the same every time."""

from __future__ import annotations

from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel


def tiny_gpt2(vocabulary: int, *, seed: int = 0, **config: Any) -> GPT2LMHeadModel:
    """Return a GPT-2 of width 16 with two heads.

    Args:
        vocabulary: number of tokens.
        seed: of the weights.
        config: further fields of `GPT2Config`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, n_embd=16, n_head=2, **config))
