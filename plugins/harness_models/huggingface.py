"""Models from the hub or a local folder, and from a GGUF file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue

from harness.data.files import expanded, is_folder
from harness.data.pins import file_sha256
from harness.data.places import DataStore
from harness.errors import ModelError
from harness.families import NOT_IN_KEY, Model, PluginConfig
from harness.lm.handle import LanguageModel
from harness.lm.loading.folder import CONFIG, check_folder, files_read, local_folder, read_json
from harness.lm.loading.hub import hub_commit, hub_config
from harness.lm.start_tokens import AUTO, START_TOKEN_HELP
from harness.types import LoadRequest


class HuggingFaceConfig(PluginConfig):
    """Which model of the hub, or which folder."""

    id: str = Field(
        examples=["openai-community/gpt2"],
        description="hub id, or a local folder with config, tokenizer, safetensors",
        json_schema_extra=NOT_IN_KEY,  # the files' hashes are, or the hub's id and commit
    )
    revision: str | None = Field(
        None, description="branch, tag or commit of the hub", json_schema_extra=NOT_IN_KEY
    )
    kind: Literal["auto", "causal", "masked"] = Field(
        "auto",
        description="causal or masked; auto asks the model's configuration",
        json_schema_extra=NOT_IN_KEY,  # what it comes to is
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
        """Hashes of the files that are read from a folder, or the hub's id and commit.

        Raises:
            ModelError: there is no such folder or model, or a file that it needs is missing.
        """
        folder = self._folder()
        if folder is None:
            config = hub_config(self.config.id, self.config.revision)
            commit = hub_commit(self.config.id, self.config.revision)
            return {"hub": self.config.id, "commit": commit, "kind": self._kind(config)}
        check_folder(folder)
        hashes: dict[str, JsonValue] = {
            path.as_posix(): file_sha256(folder / path) for path in files_read(folder)
        }
        return {"files": hashes, "kind": self._kind(folder / CONFIG)}

    def paths(self) -> Mapping[str, Path]:
        """The folder, if it is one."""
        folder = expanded(self.config.id)
        return {"id": folder} if is_folder(folder) else {}

    def pinned(self) -> HuggingFaceConfig:
        """Return the config with the branch of a hub model resolved to its commit.

        Raises:
            ModelError: there is no such folder, model or branch.
        """
        if self._folder() is not None:
            return self.config
        commit = hub_commit(self.config.id, self.config.revision)
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

    def _folder(self) -> Path | None:
        return local_folder(self.config.id)

    def _kind(self, config: Path) -> str:
        """What ``kind: auto`` comes to, by the name of the class that was saved."""
        saved = str((read_json(config).get("architectures") or [""])[0])
        if self.config.kind != "auto":
            return self.config.kind
        if saved.endswith(("ForCausalLM", "LMHeadModel")):
            return "causal"
        return "masked" if saved.endswith("ForMaskedLM") else "auto"


class GgufConfig(PluginConfig):
    """Which file."""

    path: Path = Field(
        examples=["model.gguf"],
        description="a local .gguf file of a causal model",
        json_schema_extra=NOT_IN_KEY,  # the file's hash is
    )
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
