"""Tiny causal and masked models with their tokenizers, built in code: for tests, no download."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.lm.handle import LanguageModel, ModelKind

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

CONTEXT = 64
"""Longest input of a tiny model, in tokens."""

_TEXT = (
    "I hear that women and men, girls and boys, Black people and white people, Asian people and "
    "Arab people, Muslims and Christians, Jews and Hindus, nurses, drivers and teachers wait "
    "near the old station and are seen from the window; they come back in early spring.",
)
"""What the tokenizers learn their merges from: common words become few pieces, others many."""


def build_tiny(
    kind: ModelKind = "causal", seed: int = 0, context: int = CONTEXT
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Build a two-layer GPT-2 or BERT of width 32, with random weights and byte-level BPE.

    The same kind and seed give the same weights. The global random state is left as it was.
    Weights are drawn wider than usual, so that a random model has clear preferences and a
    small change of its weights shows in its scores.
    """
    import torch
    from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel

    tokenizer = _tokenizer(kind, context)
    module: PreTrainedModel
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "causal":
            module = GPT2LMHeadModel(
                GPT2Config(
                    vocab_size=len(tokenizer),
                    n_positions=context,
                    n_embd=32,
                    n_layer=2,
                    n_head=2,
                    bos_token_id=tokenizer.bos_token_id,
                    eos_token_id=tokenizer.eos_token_id,
                    initializer_range=0.2,
                )
            )
        else:
            module = BertForMaskedLM(
                BertConfig(
                    vocab_size=len(tokenizer),
                    max_position_embeddings=context,
                    hidden_size=32,
                    num_hidden_layers=2,
                    num_attention_heads=2,
                    intermediate_size=64,
                    pad_token_id=tokenizer.pad_token_id,
                    initializer_range=0.2,
                )
            )
    return module.eval(), tokenizer


def save_tiny_model(
    folder: Path, kind: ModelKind = "causal", seed: int = 0, context: int = CONTEXT
) -> Path:
    """Save a tiny model with its tokenizer, as `transformers` reads it; returns the folder.

    ``context`` is its longest input in tokens. The sentences of published benchmarks need some 512:
    a tiny tokenizer cuts words into many pieces.
    """
    module, tokenizer = build_tiny(kind, seed, context)
    module.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_causal_model(seed: int = 0) -> LanguageModel:
    """A GPT-2 of two layers and width 32 with random weights, on the CPU in float32."""
    return _handle("causal", seed)


def tiny_masked_model(seed: int = 0) -> LanguageModel:
    """A BERT of two layers and width 32 with random weights, on the CPU in float32."""
    return _handle("masked", seed)


def _handle(kind: ModelKind, seed: int) -> LanguageModel:
    from harness.lm.transformers_model import TransformersModel

    module, tokenizer = build_tiny(kind, seed)
    return TransformersModel(module, tokenizer, kind=kind, name=f"tiny-{kind}")


def _tokenizer(kind: ModelKind, context: int) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = (
        {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
        if kind == "causal"
        else {
            "pad_token": "[PAD]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
            "unk_token": "[UNK]",
        }
    )
    names = list(dict.fromkeys(special.values()))
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        _TEXT,
        trainers.BpeTrainer(
            vocab_size=360,
            special_tokens=names,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    if kind == "masked":
        core.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            special_tokens=[(name, core.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
        )
    return PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=context, **special)
