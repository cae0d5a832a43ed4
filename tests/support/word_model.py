"""A causal model over some twenty whole words, in double precision: small enough to enumerate."""

from __future__ import annotations

from tiny_gpt2 import tiny_gpt2
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

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
    module = tiny_gpt2(
        len(vocabulary),
        seed=seed,
        n_positions=24,
        n_layer=2,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.4,
    )
    return TransformersModel(module.double(), tokenizer, kind="causal", name="words")
