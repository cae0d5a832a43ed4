"""What a model's folder holds, and what is wrong with it, in words, before anything is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.data.files import expanded, is_file, is_folder, shown
from harness.errors import ModelError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
ADAPTER_CONFIG = "adapter_config.json"

_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf")
"""Files of weights that are not read."""

_NOT_READ = (
    "generation_config.json",
    "chat_template.json",
    "trainer_state.json",
    "all_results.json",
    "train_results.json",
    "eval_results.json",
    "harness.json",
)
_NOT_READ_SUFFIXES = (*_PICKLED, ".md", ".jinja", ".py", ".png", ".jpg", ".log", ".lock")

_TOKENIZER = (
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "spm.model",
    "tokenizer.vocab",
    "tekken.json",
    "vocab-src.json",
    "emoji.json",
    "dict.txt",
    "bpe.codes",
    "merges.txt",
)
"""Files that hold a vocabulary; a folder without any of them has no tokenizer."""

NO_TOKENIZER = (
    "no tokenizer (tokenizer.json, vocab.json, vocab.txt or tokenizer.model); save one there with "
    "tokenizer.save_pretrained(…)"
)

_POINTER = b"version https://git-lfs"
_HEADER_LIMIT = 100_000_000
"""Longest header that the safetensors format allows, in bytes."""


def local_folder(source: str | Path) -> Path | None:
    """The folder that a source names; None: it is the id of a model on the hub.

    Raises:
        ModelError: it is written as a path, and there is no such folder.
    """
    path = expanded(source)
    if is_folder(path):
        return path
    text = str(source)
    if is_file(path):
        raise ModelError(
            f"{path}: a file; give the folder that holds config, tokenizer and weights"
        )
    if isinstance(source, Path) or text.startswith(("/", "./", "../", "~")) or text.count("/") > 1:
        raise ModelError(f"{shown(path)}: no such folder")
    return None


def files_read(folder: Path) -> list[Path]:
    """Every file of a model's folder that loading it may read, sorted, as paths below the folder.

    These are the weights, those in sub-folders included, and all other files at the top except
    those that are known not to matter (weights in other formats, pages, settings of generation).
    """
    names = {
        path.name
        for path in folder.iterdir()
        if path.is_file()
        and not path.name.startswith(".")
        and path.name not in _NOT_READ
        and path.suffix.lower() not in _NOT_READ_SUFFIXES
        and not (path.suffix == ".safetensors" and path.name not in _top_weights(folder))
    }
    return [Path(name) for name in sorted(names | set(_shards(folder)))]


def check_folder(folder: Path) -> None:
    """Look for what would make loading fail, or would make it load something else.

    Raises:
        ModelError: one line with the reason and the path.
    """
    config = folder / CONFIG
    if not config.is_file():
        raise ModelError(_no_config(folder))
    _check_pointer(config)
    read_json(config)
    names = set(_shards(folder)) or _top_weights(folder)
    if not names:
        raise ModelError(f"{folder}: {_no_weights(folder)}")
    if (folder / ADAPTER_CONFIG).is_file():
        raise ModelError(
            f"{folder}: holds a model and an adapter ({ADAPTER_CONFIG}), which would be applied "
            "where peft is installed; move the adapter elsewhere, or save the merged model"
        )
    for name in sorted(names):
        check_safetensors(folder / name)
    tokenizers = [folder / name for name in _TOKENIZER if (folder / name).is_file()]
    for path in tokenizers:
        _check_pointer(path)
    if not tokenizers and not (folder / "tokenizer_config.json").is_file():
        raise ModelError(f"{folder}: {NO_TOKENIZER}")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ModelError: it cannot be read, or is not a JSON object.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not readable as JSON: {error}") from None
    if not isinstance(content, dict):
        raise ModelError(f"{path}: not a JSON object")
    return content


def check_safetensors(path: Path) -> None:
    """Check that a file is a whole safetensors file, from its header and its length.

    Raises:
        ModelError: it is missing, a git-lfs pointer, cut off, or something else.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            start = stream.read(8)
            length = int.from_bytes(start, "little")
            if start + stream.read(len(_POINTER) - 8) == _POINTER:
                raise ModelError(_pointer(path))
            stream.seek(8)
            head = stream.read(length) if length <= min(size, _HEADER_LIMIT) else b""
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        tensors = json.loads(head)
        ends = [
            about["data_offsets"][1] for name, about in tensors.items() if name != "__metadata__"
        ]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        cut = 8 < size < 8 + length <= _HEADER_LIMIT
        what = (
            f"is cut off inside its header ({size} bytes)" if cut else "is not a safetensors file"
        )
        raise ModelError(f"{path}: {what}; copy or download it again") from None
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        what = "is cut off" if size < expected else "is too long"
        raise ModelError(
            f"{path}: {what} ({size} bytes, its header says {expected}); copy or download it again"
        )


def check_gguf(path: Path) -> None:
    """Check that a file begins as a GGUF file does.

    Raises:
        ModelError: it cannot be read, or is something else.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(len(_POINTER))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from None
    if start == _POINTER:
        raise ModelError(_pointer(path))
    if not start.startswith(b"GGUF"):
        raise ModelError(f"{path}: not a GGUF file")


def _top_weights(folder: Path) -> set[str]:
    return {WEIGHTS} if (folder / WEIGHTS).is_file() else set()


def _shards(folder: Path) -> Iterator[str]:
    """Paths below the folder of the files that the index of its weights names."""
    index = folder / WEIGHTS_INDEX
    if index.is_file() and not _top_weights(folder):
        _check_pointer(index)
        named = read_json(index).get("weight_map")
        if not isinstance(named, dict) or not all(isinstance(v, str) for v in named.values()):
            raise ModelError(f"{index}: has no 'weight_map' from tensors to files")
        for name in sorted(set(named.values())):
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise ModelError(f"{index}: names the file '{name}' outside the folder")
            yield name


def _no_config(folder: Path) -> str:
    if (folder / ADAPTER_CONFIG).is_file():
        return (
            f"{folder}: holds an adapter and no model; merge it into its base model and save the "
            "whole model"
        )
    inner = sorted(path.parent for path in folder.glob(f"*/{CONFIG}"))
    hint = f"; did you mean '{inner[0]}'?" if inner else ""
    gguf = sorted(folder.glob("*.gguf"))
    if gguf and not inner:
        hint = f"; for a GGUF file use the model 'gguf' with `path: {gguf[0]}`"
    return f"{folder}: no {CONFIG}{hint}"


def _no_weights(folder: Path) -> str:
    pickled = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in _PICKLED)
    if pickled:
        return (
            f"weights only as {pickled[0]}, which is not read (pickled files can run code); "
            "convert it to safetensors with model.save_pretrained(…)"
        )
    other = sorted(p.name for p in folder.glob("*.safetensors"))
    if other:
        return f"no {WEIGHTS} or {WEIGHTS_INDEX}, only {other[0]}, under a name that is not read"
    return f"no weights ({WEIGHTS} or {WEIGHTS_INDEX})"


def _check_pointer(path: Path) -> None:
    with path.open("rb") as stream:
        if stream.read(len(_POINTER)) == _POINTER:
            raise ModelError(_pointer(path))


def _pointer(path: Path) -> str:
    return f"{path}: a git-lfs pointer, not the file itself; run `git lfs pull` in its folder"
