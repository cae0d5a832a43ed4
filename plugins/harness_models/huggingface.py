"""Models from the hub or a local folder, and from a GGUF file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue

from harness.data.pins import file_sha256
from harness.data.places import DataStore
from harness.errors import ModelError
from harness.families import NOT_IN_KEY, Model, PluginConfig
from harness.lm.handle import LanguageModel
from harness.lm.start_tokens import AUTO, START_TOKEN_HELP
from harness.types import LoadRequest


class HuggingFaceConfig(PluginConfig):
    """Which model of the hub, or which folder."""

    id: str = Field(
        examples=["openai-community/gpt2"],
        description="hub id, or a local folder with config, tokenizer, safetensors",
    )
    revision: str | None = Field(None, description="branch, tag or commit of the hub")
    kind: Literal["auto", "causal", "masked"] = Field(
        "auto", description="causal or masked; auto asks the model's configuration"
    )
    start_token: str = Field(AUTO, examples=["<|endoftext|>"], description=START_TOKEN_HELP)
    max_memory: dict[str, str] | None = Field(
        None,
        examples=[{"0": "20GiB", "cpu": "60GiB"}],
        description="with `device: auto`: memory that each device may give to weights; what does "
        "not fit stays on disk (default: what is free)",
        json_schema_extra=NOT_IN_KEY,
    )


class HuggingFace(Model[HuggingFaceConfig]):
    """A transformers model by hub id or folder."""

    name = "hf"
    summary = "A causal or masked model from the Hugging Face hub or a local folder."
    reference = "https://huggingface.co/docs/transformers"

    def fingerprint(self, data: DataStore) -> Mapping[str, JsonValue]:
        """Hashes of a folder's files, or the hub revision as it is in the local cache."""
        folder = Path(self.config.id)
        if folder.is_dir():
            names = sorted(
                p.name for p in folder.iterdir() if p.suffix in (".safetensors", ".json", ".txt")
            )
            return {"files": {name: file_sha256(folder / name) for name in names}}
        return {"commit": _cached_commit(self.config.id, self.config.revision)}

    def paths(self) -> Mapping[str, Path]:
        """The folder, if it is one."""
        folder = Path(self.config.id)
        return {"id": folder} if folder.is_dir() else {}

    def pinned(self) -> HuggingFaceConfig:
        """A hub model's commit as the local cache knows it."""
        if Path(self.config.id).is_dir():
            return self.config
        commit = _cached_commit(self.config.id, self.config.revision)
        return self.config.model_copy(update={"revision": commit})

    def load(self, request: LoadRequest) -> LanguageModel:
        """Load it; see `harness.lm.loading.loading.load_transformers`."""
        from harness.lm.loading.loading import load_transformers

        return load_transformers(
            self.config.id,
            kind=self.config.kind,
            revision=self.config.revision,
            dtype=request.dtype,
            device=request.device,
            max_memory=self.config.max_memory,
            start_token=self.config.start_token,
        )


def _cached_commit(hub_id: str, revision: str | None) -> str | None:
    """Commit that a revision means in the local hub cache; the revision itself if unknown."""
    from huggingface_hub import constants

    name = "models--" + hub_id.replace("/", "--")
    ref = Path(constants.HF_HUB_CACHE) / name / "refs" / (revision or "main")
    return ref.read_text().strip() if ref.is_file() else revision


class GgufConfig(PluginConfig):
    """Which file."""

    path: Path = Field(examples=["model.gguf"], description="a local .gguf file of a causal model")
    start_token: str = Field(AUTO, examples=["<|endoftext|>"], description=START_TOKEN_HELP)


class Gguf(Model[GgufConfig]):
    """A GGUF file, de-quantised."""

    name = "gguf"
    summary = "A local GGUF file, de-quantised to full weights."
    reference = "https://huggingface.co/docs/transformers/gguf"

    def fingerprint(self, data: DataStore) -> Mapping[str, JsonValue]:
        """Hash of the file."""
        return {"sha256": file_sha256(_existing(self.config.path))}

    def load(self, request: LoadRequest) -> LanguageModel:
        """De-quantise and load it; see `harness.lm.loading.loading.load_transformers`."""
        from harness.lm.loading.loading import load_transformers

        path = _existing(self.config.path)
        return load_transformers(
            path.parent,
            kind="causal",
            gguf_file=path.name,
            dtype=request.dtype,
            device=request.device,
            name=path.stem,
            start_token=self.config.start_token,
        )


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ModelError(f"{path}: no such GGUF file")
    return path
