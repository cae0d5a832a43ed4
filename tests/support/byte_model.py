"""GPT-2s over bytes: every text has tokens, and the context holds a BBQ prompt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from tiny_gpt2 import tiny_gpt2
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from harness.arrays import Floats
from harness.lm.transformers_model import TransformersModel


def byte_model(merges: Sequence[tuple[str, str]] = ()) -> TransformersModel:
    """Build a GPT-2 of one layer with random weights, always the same ones.

    Args:
        merges: pairs of pieces that the tokenizer also makes one token of, a space written as Ġ.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<s>", *alphabet, *("".join(pair) for pair in merges)]
    vocabulary = {name: number for number, name in enumerate(names)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="<s>")
    module = tiny_gpt2(
        len(vocabulary),
        n_positions=1024,
        n_layer=1,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.3,
    )
    return TransformersModel(module, tokenizer, kind="causal", name="bytes")


def frequency_model() -> tuple[TransformersModel, Floats]:
    """Build a model that gives each token one log-probability, whatever stands before it.

    Returns:
        The model, and the log-probability in nats of each token id.
    """
    model = byte_model()
    module = model.module
    with torch.no_grad():
        module.transformer.ln_f.weight.zero_()
        module.transformer.ln_f.bias.copy_(torch.linspace(-2.0, 2.0, 16))
        logits = (module.lm_head.weight @ module.transformer.ln_f.bias).double().numpy()
    return model, logits - np.log(np.exp(logits).sum())
