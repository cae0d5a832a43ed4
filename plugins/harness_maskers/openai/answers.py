"""Answers of the `openai` masker on disk, so that a run repeats without network and key.

Each answer is a JSON file under ``<cache>/openai-masks/``. Its name is a hash of everything that
can change it: server, model, prompt version, parameters, domain and text. It contains the named
words and the tokens paid for, never the text and never the key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from harness.errors import ServiceError
from harness.files import write_file
from harness_maskers.openai.prompt import NamedWord

Status = Literal["ok", "refused", "malformed", "failed"]
"""How asking about a text ended.

``refused``: the model or a filter declined. ``malformed``: the model answered, but no answer could
be used. ``failed``: there was no answer (rate limit, timeout, server or connection error, unusable
reply); never stored.
"""


class Answer(BaseModel):
    """The result of asking about one text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Status
    words: tuple[NamedWord, ...] = ()
    detail: str = ""
    """Why there are no words: one line."""
    model: str = ""
    """The model's name as the server gave it."""
    final: bool = Field(True, exclude=True)
    """False: not stored, so that the next run asks again."""
    asks: int = 0
    """Number of answers that the model was asked for, including rejected ones."""
    tokens_in: int = 0
    tokens_out: int = 0


class AnswerCache:
    """A folder of answers that several threads and processes can use at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def key(inputs: Mapping[str, JsonValue]) -> str:
        """Return the name of an answer: a hash of its inputs, 40 hex digits."""
        text = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:40]

    def get(self, key: str) -> Answer | None:
        """Return a stored answer, or None if there is none that can be read."""
        try:
            return Answer.model_validate_json(self._path(key).read_bytes())
        except (OSError, ValidationError):
            return None

    def put(self, key: str, answer: Answer) -> None:
        """Store an answer; a crash never leaves a part of it.

        Raises:
            ServiceError: the folder cannot be written.
        """
        self.write(self._path(key), answer.model_dump_json(indent=1))

    def write(self, path: Path, text: str) -> None:
        """Write a file in the folder; a crash never leaves a part of it.

        Raises:
            ServiceError: the file cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, text.encode())
        except OSError as error:
            raise ServiceError(
                f"{path.parent}: cannot keep the answers that were paid for: "
                f"{error.strerror or error}; free space, or set HARNESS_CACHE"
            ) from None

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"
