"""Loading transformers models: safetensors or GGUF only, no code from a hub, errors in one line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from harness.errors import ModelError
from harness.lm.handle import ModelKind
from harness.lm.loading.memory import keep_freed_memory
from harness.lm.loading.placement import joined, place, single, spreading
from harness.lm.quiet import quiet
from harness.lm.start_tokens import AUTO, find_start_tokens, read_choice
from harness.lm.transformers_model import TransformersModel


def load_transformers(
    source: str | Path,
    *,
    kind: Literal["auto", "causal", "masked"] = "auto",
    revision: str | None = None,
    dtype: str = "float32",
    device: str = "cpu",
    gguf_file: str | None = None,
    name: str | None = None,
    max_memory: Mapping[str, str] | None = None,
    start_token: str = AUTO,
    separator: str | None = None,
) -> TransformersModel:
    """Load a model and its tokenizer from a hub id or a local folder.

    Args:
        source: hub id, or folder with config, tokenizer and safetensors (or the GGUF file).
        kind: ``auto`` asks the model's configuration.
        revision: branch, tag or commit of the hub.
        dtype: name of a torch dtype.
        device: torch device, or ``auto``: spread over what there is; see
            `harness.lm.loading.placement`.
        gguf_file: name of a GGUF file in the folder to load instead.
        name: shown in messages; default: the source.
        max_memory: with ``auto``: memory that each device may give to weights.
        start_token: ``auto``, ``none``, or a token; see `harness.lm.start_tokens`.
        separator: the token that separated documents in pre-training, where that is known.

    Raises:
        ModelError: it cannot be had, read, or put on the device.
    """
    shown = name or str(source)
    where: torch.device | None = _device("cpu" if device == "auto" else device)
    options: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    if gguf_file is not None:
        options["gguf_file"] = gguf_file
    if where is not None and where.type == "cpu":
        keep_freed_memory()
    with quiet():
        try:
            config = AutoConfig.from_pretrained(source, **options)
            chosen = _kind(config, kind, shown)
            loader = AutoModelForCausalLM if chosen == "causal" else AutoModelForMaskedLM
            tokenizer = AutoTokenizer.from_pretrained(source, **options)
            if gguf_file is None:
                options["use_safetensors"] = True
            options["dtype"] = getattr(torch, dtype)
            if device == "auto":
                with torch.device("meta"):
                    hollow = loader.from_config(config, dtype=options["dtype"])
                places = place(hollow, options["dtype"], max_memory)
                if (only := single(places)) is None:
                    with spreading():
                        module = loader.from_pretrained(source, device_map=places, **options)
                    module, where = joined(module), None
                else:
                    module, where = loader.from_pretrained(source, **options), only
            else:
                module = loader.from_pretrained(source, **options)
        except (OSError, ValueError, ImportError, KeyError) as error:
            raise ModelError(
                f"model '{shown}' cannot be loaded: {_reason(error, source)}"
            ) from None
    if (start_token, separator) == (AUTO, None) and Path(source).is_dir():
        start_token, separator = read_choice(Path(source))
    starts = find_start_tokens(
        tokenizer, chosen, name=shown, wanted=start_token, separator=separator
    )
    return TransformersModel(
        module if where is None else module.to(where),
        tokenizer,
        kind=chosen,
        name=shown,
        starts=starts,
    )


def _kind(config: Any, kind: str, shown: str) -> ModelKind:
    family = str(config.model_type)
    causal = family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    masked = family in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if kind == "causal" and causal:
        return "causal"
    if kind == "masked" and masked:
        return "masked"
    if kind == "auto" and (causal or masked):
        # encoders such as BERT are listed as causal too (as decoders): what was trained decides
        names = " ".join(config.architectures or ())
        if masked and ("MaskedLM" in names or not causal or "PreTraining" in names):
            return "masked"
        return "causal" if causal else "masked"
    raise ModelError(f"model '{shown}' ({family}) is no {kind} language model")


def _device(device: str) -> torch.device:
    try:
        where = torch.device(device)
    except RuntimeError:
        raise ModelError(f"unknown device '{device}'; try cpu or cuda") from None
    if where.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"device '{device}': no CUDA here; use `--set device=cpu`")
    return where


def _reason(error: Exception, source: str | Path) -> str:
    text = " ".join(str(error).split())
    if Path(source).is_dir():
        if "safetensors" in text:
            return "the folder has no *.safetensors weights (pickled weights are not read)"
        return text[:300]
    if "gated" in text or "401" in text:
        return "it is gated or private: log in with `hf auth login`"
    return (
        "it is neither a local folder, nor in the local cache, nor to be had from the hub "
        f"({type(error).__name__}); check the name and the network"
    )
