"""Loading transformers models: safetensors or GGUF only, no code from a hub, errors in one line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from harness.errors import HarnessError, ModelError
from harness.lm.handle import ModelKind
from harness.lm.loading.completeness import check_complete
from harness.lm.loading.folder import (
    CONFIG,
    NO_TOKENIZER,
    check_folder,
    check_gguf,
    local_folder,
    read_json,
)
from harness.lm.loading.hub import hub_folder
from harness.lm.loading.kinds import kind_of
from harness.lm.loading.memory import keep_freed_memory
from harness.lm.loading.placement import joined, place, single, spreading
from harness.lm.loading.remarks import listening
from harness.lm.start_tokens import AUTO, find_start_tokens, read_choice
from harness.lm.transformers_model import TransformersModel

DTYPES = ("float32", "bfloat16", "float16", "float64")


class _Loaded(NamedTuple):
    module: Any
    tokenizer: Any
    kind: ModelKind


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

    A model is refused whose scores would depend on weights that its checkpoint does not hold, or
    on anything but the tokens before it (causal models).

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
        ModelError: it cannot be had, read, or put on the device; one line with reason and path.
    """
    shown = name or str(source)
    if dtype not in DTYPES:
        raise ModelError(f"model '{shown}': unknown dtype '{dtype}'; use {', '.join(DTYPES)}")
    target = None if device == "auto" else _device(device)
    if target is None or target.type == "cpu":
        keep_freed_memory()
    folder = local_folder(source) or hub_folder(str(source), revision)
    if gguf_file is None:
        check_folder(folder)
    else:
        check_gguf(folder / gguf_file)
    try:
        with listening(shown):
            loaded = _load(
                folder, kind, gguf_file, getattr(torch, dtype), target, max_memory, shown
            )
    except HarnessError:
        raise
    except Exception as error:  # of transformers and of what it calls, about the files
        raise ModelError(
            f"model '{shown}' cannot be loaded: {_reason(error)} ({folder})"
        ) from error
    loaded.module.config._name_or_path = str(source)
    if (start_token, separator) == (AUTO, None):
        start_token, separator = read_choice(folder)
    starts = find_start_tokens(
        loaded.tokenizer, loaded.kind, name=shown, wanted=start_token, separator=separator
    )
    model = TransformersModel(
        loaded.module, loaded.tokenizer, kind=loaded.kind, name=shown, starts=starts
    )
    model.check()
    return model


def _load(
    folder: Path,
    wanted: Literal["auto", "causal", "masked"],
    gguf_file: str | None,
    dtype: torch.dtype,
    target: torch.device | None,
    max_memory: Mapping[str, str] | None,
    shown: str,
) -> _Loaded:
    options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    if gguf_file is not None:
        options["gguf_file"] = gguf_file
    else:
        _check_known(folder)
    config = AutoConfig.from_pretrained(folder, **options)
    kind = kind_of(config, wanted, shown)
    loader = AutoModelForCausalLM if kind == "causal" else AutoModelForMaskedLM
    tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    if len(tokenizer.get_vocab()) <= len(tokenizer.all_special_tokens):
        raise ModelError(f"{folder}: {NO_TOKENIZER}")  # transformers makes one without any word
    if gguf_file is None:
        options["use_safetensors"] = True
    # a weight of another shape is refused with its name below
    options |= {"dtype": dtype, "output_loading_info": True, "ignore_mismatched_sizes": True}
    places = None
    if target is None:
        with torch.device("meta"):
            hollow = loader.from_config(config, dtype=dtype)
        places = place(hollow, dtype, max_memory)
        if (only := single(places)) is not None:
            target, places = only, None
    if places is None:
        module, report = loader.from_pretrained(folder, **options)
        module = module.to(target)
    else:
        with spreading():
            module, report = loader.from_pretrained(folder, device_map=places, **options)
        module = joined(module)
    check_complete(module, report, shown, str(folder))
    return _Loaded(module, tokenizer, kind)


def _check_known(folder: Path) -> None:
    """Raise where the configuration names an architecture that the library does not have."""
    given = read_json(folder / CONFIG)
    family = given.get("model_type")
    if family is None:
        raise ModelError(f"{folder / CONFIG}: no 'model_type', so the architecture is not known")
    if family in transformers.CONFIG_MAPPING:
        return
    why = (
        "needs code from its repository, which is never run"
        if "auto_map" in given
        else f"is not one that transformers {transformers.__version__} has"
    )
    raise ModelError(f"{folder / CONFIG}: the architecture '{family}' {why}")


def _device(device: str) -> torch.device:
    try:
        where = torch.device(device)
    except RuntimeError:
        raise ModelError(f"unknown device '{device}'; try cpu or cuda") from None
    if where.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"device '{device}': no CUDA here; use `--set device=cpu`")
    return where


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
