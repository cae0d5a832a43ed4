"""Uploading a folder to a repository of the Hugging Face hub, as one commit."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from harness.errors import ServiceError, SpecError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

SCHEME = "hf://"

_TARGET = re.compile(r"hf://(datasets|spaces)/([\w.-]{1,96}/[\w.-]{1,96})", re.ASCII)


class HubTarget(NamedTuple):
    """A repository of the hub.

    Attributes:
        kind: what it holds.
        repo: its id, ``ORG/NAME``.
    """

    kind: Literal["dataset", "space"]
    repo: str

    @classmethod
    def of(cls, text: str) -> HubTarget:
        """Read ``hf://datasets/ORG/NAME`` or ``hf://spaces/ORG/NAME``.

        Raises:
            SpecError: it has another form.
        """
        match = _TARGET.fullmatch(text)
        if match is None:
            raise SpecError(
                f"'{text[:200]}' does not name a repository; write hf://datasets/ORG/NAME or "
                "hf://spaces/ORG/NAME"
            )
        return cls("dataset" if match[1] == "datasets" else "space", match[2])


def upload(folder: Path, target: HubTarget, message: str, *, private: bool = False) -> str:
    """Upload all files below a folder; makes the repository if it does not exist.

    Other files of the repository stay. The hub is the one that ``HF_ENDPOINT`` names, with the
    token of `huggingface_hub`.

    Args:
        folder: what is uploaded.
        target: the repository.
        message: of the commit.
        private: make a new repository private.

    Returns:
        The address of the repository.

    Raises:
        ServiceError: the hub cannot be reached, or refuses.
    """
    from huggingface_hub import HfApi

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    try:
        with warnings.catch_warnings():  # one is of data in a Space, which is meant here
            warnings.simplefilter("ignore", UserWarning)
            return _upload(api, folder, target, message, private)
    except Exception as error:  # of the hub, of httpx or requests, of the network
        raise ServiceError(_why(target.repo, error)) from error


def _upload(api: HfApi, folder: Path, target: HubTarget, message: str, private: bool) -> str:
    from huggingface_hub import CommitOperationAdd

    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    url = api.create_repo(
        target.repo,
        repo_type=target.kind,
        private=True if private else None,
        exist_ok=True,
        space_sdk="static" if target.kind == "space" else None,
    )
    api.create_commit(
        target.repo,
        [CommitOperationAdd(path.relative_to(folder).as_posix(), path) for path in files],
        commit_message=message,
        repo_type=target.kind,
    )
    return str(url)


def _why(repo: str, error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return (
            f"the hub does not let you write to {repo}; log in with `hf auth login`, or set "
            "HF_TOKEN to a token that may write"
        )
    reason = " ".join(str(error).split())[:200]
    return f"{repo}: the upload failed ({type(error).__name__}: {reason}); run it again"
