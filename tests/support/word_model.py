"""A causal model over some twenty whole words, in double precision: small enough to enumerate."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from harness.lm.transformers_model import TransformersModel

WORDS = tuple(
    [
        "women",
        "men",
        "girls",
        "boys",
        "never",
        "always",
        "like",
        "hate",
        "see",
        "hear",
        "cats",
        "dogs",
        "the",
        "old",
        "young",
        "and",
        "or",
        "today",
    ]
)


def word_model(seed: int = 0) -> TransformersModel:
    """Build a GPT-2 of two layers over `WORDS`, a start token and an unknown token."""
    vocabulary = {word: number for number, word in enumerate(["<s>", "<unk>", *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="<s>", unk_token="<unk>"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=len(vocabulary),
                n_positions=24,
                n_embd=16,
                n_layer=2,
                n_head=2,
                bos_token_id=0,
                eos_token_id=0,
                initializer_range=0.4,
            )
        )
    return TransformersModel(module.double(), tokenizer, kind="causal", name="words")
