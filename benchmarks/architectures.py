"""Every architecture of transformers that can be built small: is its batched score its own score?

    python benchmarks/architectures.py            all, and the table in docs/models.md
    python benchmarks/architectures.py gpt2 bert  some, and only printed

For each causal and masked architecture a small model is built with random weights, saved, and
loaded through the harness. Scores, training gradients and hidden states of batches (packed in
prefix trees where the model takes them) are compared with those of one text at a time. This is done
with each kind of tokenizer in turn, with a padding token whose embedding is zero and one whose
embedding is not, and again with local attention shorter than a block, and with scaled and capped
logits, where the architecture has such settings. Each ends as *exact*, *without prefix trees*,
*refused* with the harness's reason, or *not built* with why no small model could be made.
Anything else is a fault: the script then ends with exit code 1.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.errors import ModelError
from harness.lm.handle import ModelKind

PAGE = Path(__file__).parent.parent / "docs" / "models.md"
BEGIN, END = "<!-- architectures: begin -->", "<!-- architectures: end -->"

CONTEXT = 256
"""Longest input of a model, in tokens: more than a block of scored rows."""

WINDOW = 16
"""Local attention of the variant with a short window."""

SCORE_TOLERANCE = 1e-3
"""Largest difference of scores, in nats, where logits spread by 1 or less; beyond, times spread."""

RELATIVE_TOLERANCE = 2e-3
"""Largest difference of states and gradients, as a share of their norm."""

TEXTS = (
    "I hear that women and men wait near the old station.",
    "I hear that women and men come back in early spring.",
    "I hear that girls",
    "Black people and white people, Asian people and Arab people wait near the window.",
    "They come back in early spring; " + "women and men, nurses and drivers and teachers wait " * 3,
    "They come back in early spring; " + "women and men, nurses and drivers and teachers wait " * 2,
)
"""Some begin alike; the longest is longer than a short window and, in pieces, than a block."""

TRAINED_ON = (
    "I hear that women and men, girls and boys, Black people and white people, Asian people and "
    "Arab people, Muslims and Christians, Jews and Hindus, nurses, drivers and teachers wait "
    "near the old station and are seen from the window; they come back in early spring.",
)

SMALL: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim", "emb_dim", "embedding_size"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 2),
    **dict.fromkeys(("encoder_layers", "decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 2),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads"), 2),
    **dict.fromkeys(("head_dim", "kv_channels", "attention_head_dim"), 16),
    **dict.fromkeys(
        ("intermediate_size", "ffn_dim", "n_inner", "d_inner", "dff", "hidden_dim"), 64
    ),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim", "shared_expert_intermediate_size"), 64),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"), CONTEXT),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "top_k", "moe_top_k", "moe_k"), 2),
    **dict.fromkeys(("moe_intermediate_size", "mlp_hidden_size"), 32),
    **dict.fromkeys(("n_shared_experts", "n_group", "topk_group", "first_k_dense_replace"), 1),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank"), 16),
    **dict.fromkeys(("qk_rope_head_dim", "qk_nope_head_dim"), 8),
    **dict.fromkeys(("v_head_dim",), 16),
    **dict.fromkeys(("mamba_d_state", "state_size", "ssm_state_size"), 8),
    **dict.fromkeys(("mamba_d_head", "mamba_headdim", "mamba_head_dim"), 16),
    **dict.fromkeys(("mamba_n_heads", "mamba_num_heads"), 4),
    "lru_width": 32,
    "vocab_size_per_layer_input": 400,
    "hidden_size_per_layer_input": 8,
    "num_kv_shared_layers": 0,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_head_dim": 16,
    "type_vocab_size": 2,
    "initializer_range": 0.2,
    "init_std": 0.2,
    "use_cache": False,
}
"""Values of settings that a configuration may have."""

VISION = {"image_size": 16, "patch_size": 8, "depth": 1, "embed_dim": 16, "conv_hidden_size": 8}
"""Besides, of the part of a model that sees; no image is shown to it."""

OWN: dict[str, dict[str, Any]] = {
    "reformer": {
        "is_decoder": True,
        "axial_pos_shape": (16, 16),
        "axial_pos_embds_dim": (16, 16),
        "attn_layers": ["local", "local"],
    },
    **{name: {"head_dim": 8} for name in ("axk1", "deepseek_v3", "longcat_flash", "youtu")},
    "codegen": {"n_head": 4, "num_attention_heads": 4, "rotary_dim": 8},
    "mamba2": {"num_heads": 4, "head_dim": 16, "n_groups": 1},
    "gptj": {"rotary_dim": 8},
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
    "nemotron_h": {"n_groups": 1, "layers_block_type": ["mamba", "attention"]},
    "mimo_v2_flash": {"qk_rope_head_dim": 16},
    "roc_bert": {"pronunciation_vocab_size": 64, "shape_vocab_size": 64},
    "funnel": {"block_sizes": [1, 1], "d_model": 32, "d_head": 16},
    "longformer": {"attention_window": 16},
    "gpt_neo": {"num_layers": 2, "attention_types": [[["global", "local"], 1]]},
    "mpt": {"d_model": 32, "n_heads": 2, "n_layers": 2},
    "xlm": {"causal": True},
    "recurrent_gemma": {"attention_window_size": 64},
}
"""Settings that an architecture needs besides."""

WINDOWS = ("sliding_window", "attention_chunk_size", "window_size", "attention_window_size")
CAPS: dict[str, Any] = {
    "final_logit_softcapping": 2.0,
    "attn_logit_softcapping": 2.0,
    "logit_scale": 0.37,
    "logits_scaling": 2.7,
    "lm_head_multiplier": 0.37,
    "embedding_multiplier": 1.7,
}


class Outcome(NamedTuple):
    """What came of one architecture, as one kind of model.

    Attributes:
        family: name of the architecture.
        kind: causal or masked.
        verdict: ``exact``, ``without prefix trees``, ``refused``, ``not built`` or ``FAULT``.
        reason: of the last three; a remark on the others.
        tried: variants that were compared.
        difference: the largest found, in nats.
    """

    family: str
    kind: ModelKind
    verdict: str
    reason: str = ""
    tried: tuple[str, ...] = ()
    difference: float = 0.0


# -- tokenizers ------------------------------------------------------------------------------


def tokenizer_of(style: str, kind: ModelKind) -> Any:
    """A tokenizer that knows `TRAINED_ON`: byte-level, wordpiece, unigram or slow."""
    from transformers import PreTrainedTokenizerFast

    if style == "slow":
        return _slow_tokenizer(kind)
    from tokenizers import (
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )

    special = ["<pad>", "<s>", "</s>", "<mask>", "<unk>"]
    core: Any
    options: dict[str, Any] = {"special_tokens": special, "show_progress": False, "vocab_size": 380}
    if style == "byte-level":
        core = Tokenizer(models.BPE())
        core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        core.decoder = decoders.ByteLevel()
        options["initial_alphabet"] = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer: Any = trainers.BpeTrainer(**options)
    elif style == "wordpiece":
        core = Tokenizer(models.WordPiece(unk_token="<unk>"))
        core.normalizer = normalizers.BertNormalizer(lowercase=True)
        core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        core.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(**options)
    else:
        core = Tokenizer(models.Unigram())
        core.pre_tokenizer = pre_tokenizers.Metaspace()
        core.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(**options | {"vocab_size": 90}, unk_token="<unk>")
    core.train_from_iterator(TRAINED_ON * 4, trainer)
    single = {"masked": "<s> $A </s>", "causal": "<s> $A"}[kind]
    if kind == "masked" or style == "unigram":  # as Llama's; the others put nothing in front
        core.post_processor = processors.TemplateProcessing(
            single=single, special_tokens=[(t, core.token_to_id(t)) for t in ("<s>", "</s>")]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        model_max_length=CONTEXT,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        mask_token="<mask>",
        unk_token="<unk>",
    )


def _slow_tokenizer(kind: ModelKind) -> Any:
    """A tokenizer of transformers that is written in Python: bytes, with an end token."""
    from transformers import ByT5Tokenizer

    tokenizer = ByT5Tokenizer(extra_ids=0, model_max_length=CONTEXT)
    tokenizer.add_special_tokens({"bos_token": "<s>", "mask_token": "<mask>"})
    return tokenizer


STYLES = ("byte-level", "wordpiece", "unigram", "slow")


# -- models ----------------------------------------------------------------------------------


class NotBuiltError(Exception):
    """No small model can be made of an architecture; the message says why."""


def families(kind: ModelKind) -> dict[str, str]:
    """Every architecture of a kind and the class that its models are of."""
    from transformers.models.auto import modeling_auto

    known = (
        modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        if kind == "causal"
        else modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    )
    return {k: v if isinstance(v, str) else v[0] for k, v in sorted(known.items())}


def build(
    family: str, kind: ModelKind, tokenizer: Any, settings: Mapping[str, Any], seed: int = 0
) -> Any:
    """A small model of an architecture, with random weights.

    Raises:
        NotBuiltError: it cannot be built, or is not small.
    """
    import torch
    import transformers

    try:
        config_class = transformers.CONFIG_MAPPING[family]
        config = small_config(config_class, kind, tokenizer, {**OWN.get(family, {}), **settings})
        loader = (
            transformers.AutoModelForCausalLM
            if kind == "causal"
            else transformers.AutoModelForMaskedLM
        )
        with torch.device("meta"):
            hollow = loader.from_config(config)
        size = sum(p.numel() for p in hollow.parameters())
    except ModelError:
        raise
    except Exception as error:  # each architecture raises its own
        raise NotBuiltError(_line(error)) from None
    if size > 8_000_000:
        raise NotBuiltError(f"{size / 1e6:.0f} million weights at the smallest settings tried")
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = loader.from_config(config).eval()
            for parameter in module.parameters():
                if parameter.ndim > 1 and float(parameter.detach().std()) < 0.05:
                    torch.nn.init.normal_(parameter, std=0.1)
            for buffer in module.buffers():
                if buffer.is_floating_point() and not bool(torch.isfinite(buffer).all()):
                    raise NotBuiltError("its buffers are not initialised")
    except NotBuiltError:
        raise
    except Exception as error:  # as above
        raise NotBuiltError(_line(error)) from None
    return module


def small_config(
    config_class: Any, kind: ModelKind, tokenizer: Any, settings: Mapping[str, Any]
) -> Any:
    """A small configuration, its nested text configuration included."""
    usual = config_class()
    special = {
        "vocab_size": len(tokenizer) + 3,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    wanted = {**SMALL, **special, **settings}
    if kind == "causal" and hasattr(usual, "is_decoder") and not usual.is_encoder_decoder:
        wanted.setdefault("is_decoder", True)
    inner = getattr(config_class, "sub_configs", None) or {}
    options: dict[str, Any] = {}
    for name in inner:
        if (sub := getattr(usual, name, None)) is not None:
            with contextlib.suppress(Exception):
                own = {**VISION, **settings} if "text" not in name else settings
                options[name] = small_config(type(sub), kind, tokenizer, own).to_dict()
    known = {*usual.to_dict(), *getattr(config_class, "attribute_map", {})}
    options |= {k: v for k, v in wanted.items() if k in known and k not in options}
    return config_class(**options)


def settings_of(family: str) -> set[str]:
    """Names of the settings of an architecture, those of its text configuration included."""
    import transformers

    try:
        config = transformers.CONFIG_MAPPING[family]()
        return {*config.to_dict(), *config.get_text_config().to_dict()}
    except Exception:  # some configurations cannot be made without arguments
        return set()


# -- comparing -------------------------------------------------------------------------------


class Compared(NamedTuple):
    """What a comparison found.

    Attributes:
        apart: the largest difference of scores, in nats.
        block: longest block of prefix trees that the model takes; 0: none.
        remark: what could not be compared, and why.
    """

    apart: float
    block: int
    remark: str = ""


def compare(folder: Path, kind: ModelKind, *, padding: bool, dtype: str = "float32") -> Compared:
    """Load a saved model and compare batches with one text at a time.

    Args:
        folder: the saved model.
        kind: causal or masked.
        padding: give the padding token an embedding that is not zero.
        dtype: in which it is run.

    Raises:
        AssertionError: a difference is beyond rounding; the message says which.
        ModelError: the model is refused.
    """
    import torch

    from harness.lm.loading.loading import load_transformers

    model = load_transformers(folder, kind=kind, dtype=dtype)
    table: Any = model.module.get_input_embeddings()  # type: ignore[operator]  # torch types it as a Tensor
    with torch.no_grad():
        table.weight[model.tokenizer.pad_token_id] = 0.7 if padding else 0.0
    texts = [_cut(model, text) for text in TEXTS]
    worst = 0.0
    for start in (False, True) if kind == "causal" else (False,):
        found = model.token_scores(texts, start=start)
        with model.alone():
            single = model.token_scores(texts, start=start)
        for one, other in zip(found, single, strict=True):
            scale = max(1.0, float(np.nanstd(other.logprobs)))
            apart = float(np.nanmax(np.abs(one.logprobs - other.logprobs)))
            assert apart <= SCORE_TOLERANCE * scale, f"scores differ by {apart:.2g} nats"
            worst = max(worst, apart)
    together = model.hidden_states(texts)
    for text, states in zip(texts, together, strict=True):
        (own,) = model.hidden_states([text])
        apart = float(np.linalg.norm(states - own) / max(np.linalg.norm(own), 1e-9))
        assert apart <= RELATIVE_TOLERANCE, f"hidden states differ by {apart:.2g}"
    remark = _compare_gradients(model, texts)
    return Compared(worst, model._engine.abilities.block_tokens(128), remark)


def _cut(model: Any, text: str) -> str:
    """A text that fits the model's context."""
    while len(model.encode(text)) > min(model.max_tokens, CONTEXT) - 4:
        text = text[: len(text) * 3 // 4]
    return text


def _compare_gradients(model: Any, texts: Sequence[str]) -> str:
    """Gradients of the log-likelihood of some tokens: rows together against rows alone.

    Returns:
        Why there is nothing to compare: the module itself gives no gradients. Else nothing.
    """
    import torch

    rows, places = [], []
    for text in texts:
        ids = model.encode(text)
        if model.kind == "masked":
            run, first = model.masked_input(ids, [1, len(ids) - 1])
            rows.append(run)
            places.append([first + 1, first + len(ids) - 1])
        else:
            rows.append([*model.start_ids, *ids])
            places.append([1, len(ids) // 2, len(ids) - 1])
    index = [i for i, own in enumerate(places) for _ in own]
    position = [p for own in places for p in own]
    target = torch.tensor([(7 * k) % 50 + 5 for k in range(len(index))])

    def gradients(logits: Any) -> Any:
        model.module.zero_grad()
        logprobs = torch.log_softmax(logits.float(), -1)
        logprobs.gather(-1, target.unsqueeze(-1)).sum().backward()
        found = [p.grad.flatten() for p in model.module.parameters() if p.grad is not None]
        return torch.cat(found).clone()

    try:
        single = gradients(
            torch.stack(
                [
                    model.module(input_ids=torch.tensor([rows[i]])).logits[0, p]
                    for i, p in zip(index, position, strict=True)
                ]
            )
        )
    except (RuntimeError, AssertionError, ValueError) as error:
        return f"scores only, cannot be trained: {_line(error)}"
    if not bool(torch.isfinite(single).all()):
        return "scores only: gradients of one text alone are not finite"
    together = gradients(model.training_logits(rows, index, position))
    apart = float((together - single).norm() / single.norm().clamp_min(1e-9))
    assert apart <= RELATIVE_TOLERANCE, f"training gradients differ by {apart:.2g}"
    return ""


# -- all of it -------------------------------------------------------------------------------


def variants(family: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and settings of what is compared of an architecture."""
    known = settings_of(family)
    yield "plain", {}
    windows = {name: WINDOW for name in WINDOWS if name in known}
    if windows:
        yield "short window", {**windows, "use_sliding_window": True, "max_window_layers": 0}
    caps = {name: value for name, value in CAPS.items() if name in known}
    if caps:
        yield "scaled logits", caps


def examine(family: str, kind: ModelKind, style: str) -> Outcome:
    """Build, save, load and compare one architecture.

    A tokenizer in Python that transformers does not load for an architecture is replaced by
    another. A difference that is rounding alone, in models that amplify it, goes in float64.
    """
    tried: list[str] = []
    worst, blocks, remarks = 0.0, [], []
    for name, settings in variants(family):
        try:
            with tempfile.TemporaryDirectory() as place, _quiet():
                folder = Path(place)
                tokenizer = tokenizer_of(style, kind)
                build(family, kind, tokenizer, settings).save_pretrained(folder)
                tokenizer.save_pretrained(folder)
                for padding in (False, True):
                    try:
                        found = compare(folder, kind, padding=padding)
                    except AssertionError:
                        found = compare(folder, kind, padding=padding, dtype="float64")
                        remarks.append("compared in float64")
                    worst = max(worst, found.apart)
                    blocks.append(found.block)
                    remarks += [found.remark] if found.remark else []
        except NotBuiltError as error:
            if name == "plain":
                return Outcome(family, kind, "not built", str(error))
            continue
        except ModelError as error:
            words = str(error)
            if style == "slow" and ("backend tokenizer" in words or "has no token" in words):
                return examine(family, kind, STYLES[0])
            return Outcome(family, kind, "refused", _without_place(words), tuple(tried))
        except Exception as error:  # what the table reports as a fault of ours
            return Outcome(family, kind, "FAULT", f"{name}: {_line(error)}", tuple(tried))
        tried.append(name)
    verdict = "exact" if kind == "masked" or blocks[0] else "without prefix trees"
    return Outcome(family, kind, verdict, "; ".join(dict.fromkeys(remarks)), tuple(tried), worst)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    from harness.lm.quiet import quiet

    with quiet(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:110]


def _without_place(text: str) -> str:
    text = re.sub(r"model '[^']*'", "the model", text)
    return re.sub(r"\s*\(?/[^\s)]*tmp[^\s)]*\)?", "", text)


def table(outcomes: Sequence[Outcome]) -> str:
    """The table of docs/models.md."""
    from transformers import __version__

    lines = []
    for kind in ("causal", "masked"):
        own = [o for o in outcomes if o.kind == kind]
        count = {v: sum(o.verdict == v for o in own) for v in dict.fromkeys(o.verdict for o in own)}
        told = ", ".join(f"{n} {verdict}" for verdict, n in sorted(count.items()))
        lines += [f"### {kind.capitalize()} architectures of transformers {__version__}", ""]
        lines += [f"{told}.", "", "| architecture | result | compared |", "|---|---|---|"]
        for o in own:
            result = f"{o.verdict}: {o.reason.replace('|', '/')}" if o.reason else o.verdict
            lines.append(f"| {o.family} | {result} | {', '.join(o.tried)} |")
        lines.append("")
    return "\n".join(lines)


def write_page(outcomes: Sequence[Outcome], page: Path = PAGE) -> None:
    """Replace the table between its marks."""
    text = page.read_text("utf-8")
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    page.write_text(f"{head}{BEGIN}\n\n{table(outcomes)}\n{END}{tail}", "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("families", nargs="*", help="architectures (default: all)")
    parser.add_argument("--kind", choices=("causal", "masked"), help="only one kind")
    options = parser.parse_args()
    kinds: tuple[ModelKind, ...] = (options.kind,) if options.kind else ("causal", "masked")
    outcomes = []
    for kind in kinds:
        for number, family in enumerate(families(kind)):
            if options.families and family not in options.families:
                continue
            outcome = examine(family, kind, STYLES[number % len(STYLES)])
            outcomes.append(outcome)
            print(
                f"{kind:7}{family:28}{outcome.verdict:22}{outcome.difference:.1e} "
                f"{','.join(outcome.tried)} {outcome.reason}",
                flush=True,
            )
    if not options.families and not options.kind:
        write_page(outcomes)
    return int(any(outcome.verdict == "FAULT" for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
