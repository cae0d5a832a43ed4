"""Models of the Hugging Face hub: which commit a branch means, and that commit's files.

A branch is resolved once a process, so that what is keyed is what is loaded. The files come into
the hub's own cache, and are read from there as any local folder.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import ModelError
from harness.lm.loading.folder import CONFIG, WEIGHTS, WEIGHTS_INDEX

_COMMIT = re.compile("[0-9a-f]{40}")

_SMALL = ("*.json", "*.txt", "*.model", "*.tiktoken", "*.bpe", "*.codes", "*.vocab")
"""Files at the top of a repository that configure a model or its tokenizer."""


@cache
def hub_commit(hub_id: str, revision: str | None = None) -> str:
    """The commit that a branch or tag of a model means, 40 hexadecimal digits.

    The hub is asked; where it cannot be reached, the local cache. A commit is itself. The answer
    is kept for the process: a branch that moves meanwhile is noticed by the next one.

    Raises:
        ModelError: there is no such model or revision, or it cannot be reached and is not cached.
    """
    from huggingface_hub.errors import HfHubHTTPError

    if revision is not None and _COMMIT.fullmatch(revision):
        return revision
    try:
        info = _api().model_info(hub_id, revision=revision)
    except Exception as error:  # of many libraries: each means that the hub gave no answer
        refused = isinstance(error, HfHubHTTPError) and error.response.status_code < 500
        if not refused and (cached := _cached_commit(hub_id, revision)) is not None:
            return cached
        raise ModelError(_why(hub_id, revision, error)) from error
    if info.sha is None:
        raise ModelError(f"model '{hub_id}': the hub names no commit of '{revision or 'main'}'")
    return str(info.sha)


def hub_folder(hub_id: str, revision: str | None = None) -> Path:
    """The local folder that holds a commit's files; what is missing is downloaded.

    Raises:
        ModelError: it cannot be had.
    """
    commit = hub_commit(hub_id, revision)
    folder = _download(hub_id, commit, _SMALL)
    if not (folder / WEIGHTS).is_file():
        index = folder / WEIGHTS_INDEX
        try:
            named = json.loads(index.read_text("utf-8"))["weight_map"].values()
            shards = tuple(sorted({str(shard) for shard in named}))
        except (OSError, ValueError, KeyError, AttributeError):
            shards = (WEIGHTS,)
        if not all((folder / shard).is_file() for shard in shards):
            folder = _download(hub_id, commit, shards)
    if revision != commit:
        _note_branch(folder, revision or "main", commit)
    return folder


def _note_branch(folder: Path, branch: str, commit: str) -> None:
    """Write down which commit a branch means, where the hub's cache keeps that, for use offline."""
    ref = folder.parent.parent / "refs" / branch
    with suppress(OSError):  # a cache that is not ours to write
        ref.parent.mkdir(parents=True, exist_ok=True)
        partial = ref.with_name(f".{ref.name}-{os.getpid()}")
        partial.write_text(commit, "utf-8")
        partial.replace(ref)


def hub_config(hub_id: str, revision: str | None = None) -> Path:
    """The local copy of a commit's ``config.json``.

    Raises:
        ModelError: it cannot be had.
    """
    return _download(hub_id, hub_commit(hub_id, revision), (CONFIG,)) / CONFIG


def _download(hub_id: str, commit: str, patterns: tuple[str, ...]) -> Path:
    try:
        folder = _api().snapshot_download(
            hub_id,
            revision=commit,
            allow_patterns=list(patterns),
            ignore_patterns=["*/*"] if patterns is _SMALL else None,
        )
    except Exception as error:  # as above
        raise ModelError(_why(hub_id, commit, error)) from error
    return Path(str(folder))


def _api() -> Any:
    from huggingface_hub import HfApi

    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"))


def _cached_commit(hub_id: str, revision: str | None) -> str | None:
    from huggingface_hub import constants

    name = "models--" + hub_id.replace("/", "--")
    ref = Path(constants.HF_HUB_CACHE) / name / "refs" / (revision or "main")
    try:
        return ref.read_text("utf-8").strip() or None
    except OSError:
        return None


def _why(hub_id: str, revision: str | None, error: Exception) -> str:
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name = f"model '{hub_id}'"
    if isinstance(error, HFValidationError):
        return f"{name} is neither a local folder nor the id of a model on the hub"
    if isinstance(error, GatedRepoError):
        return f"{name} is gated: accept its terms on the hub and log in with `hf auth login`"
    if isinstance(error, RevisionNotFoundError):
        return f"{name} has no branch, tag or commit '{revision}' on the hub"
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"{name} is neither a local folder nor a public model of the hub; check the name, or "
            "log in with `hf auth login` if it is private"
        )
    if isinstance(error, EntryNotFoundError) and isinstance(error, HfHubHTTPError):
        return f"{name}: the hub lacks a file that its index names: {_line(error)}"
    return (
        f"{name} is neither a local folder nor in the local cache, and the hub gave no answer "
        f"({_line(error)}); check the name and the network"
    )


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".rstrip(": ")
