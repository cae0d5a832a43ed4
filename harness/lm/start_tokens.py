"""Special tokens in front of a text: those of the tokenizer, or one that is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import ModelError
from harness.lm.handle import ModelKind

CHOICE_FILE = "harness_start_token.json"
"""Name of the file in a saved model's folder that says which start token was chosen."""

AUTO, NONE = "auto", "none"
"""Values of the field ``start_token`` that name no token."""

START_TOKEN_HELP = (
    "token in front of a text where a protocol or method asks for one, and in front of every text "
    "where the tokenizer itself adds one; auto: the tokenizer's own, else the separator of "
    "documents in pre-training where it is known, else BOS; none: no such token anywhere"
)
"""What the field ``start_token`` of a model's Config is, for its description."""


class StartTokens(NamedTuple):
    """Special tokens of a model, by the role that they have in front of a text.

    Attributes:
        front: the tokens in front of every text; empty if the tokenizer adds none.
        back: the tokens after every text of a masked model; empty for causal ones.
        start: what protocols and methods that ask for a start token get; None: there is none.
        bos: the tokenizer's BOS, else EOS, else CLS token; None: it has none of them.
        separator: what separated documents in pre-training, as far as known, else ``start``.
        wanted: ``auto``, ``none``, or the start token that was named.
        named: the separator that was named, if any.
    """

    front: tuple[int, ...]
    back: tuple[int, ...]
    start: int | None
    bos: int | None
    separator: int | None
    wanted: str = AUTO
    named: str | None = None


def find_start_tokens(
    tokenizer: Any,
    kind: ModelKind,
    *,
    name: str,
    wanted: str = AUTO,
    separator: str | None = None,
) -> StartTokens:
    """Find the special tokens in front of a text of a model.

    Args:
        tokenizer: of the model.
        kind: causal or masked; a masked model keeps the tokens that its tokenizer adds.
        name: of the model, for messages.
        wanted: ``auto``, ``none``, or the start token itself.
        separator: the token that separated documents in pre-training, where that is known.

    Raises:
        ModelError: a named token is not in the vocabulary, or one is named for a masked model.
    """
    bos = None
    for role in ("bos_token_id", "eos_token_id", "cls_token_id"):
        if bos is None and getattr(tokenizer, role, None) is not None:
            bos = int(getattr(tokenizer, role))
    if kind == "masked":
        if wanted != AUTO:
            raise ModelError(
                f"model '{name}': start_token is for causal models; a masked model is run with "
                "the special tokens of its tokenizer"
            )
        front, back = _added(tokenizer, name)
        return StartTokens(front, back, bos, bos, bos)
    front, _ = _added(tokenizer, name)
    separator_id = None if separator is None else _token_id(tokenizer, separator, name)
    if wanted == NONE:
        return StartTokens(
            (), (), None, bos, bos if separator_id is None else separator_id, wanted, separator
        )
    if wanted != AUTO:
        start: int | None = _token_id(tokenizer, wanted, name)
        front = (start,) if front and start is not None else ()
    elif front:
        start = front[-1]
    else:
        start = bos if separator_id is None else separator_id
    last = start if separator_id is None else separator_id
    return StartTokens(front, (), start, bos, last, wanted, separator)


def write_choice(starts: StartTokens, folder: Path) -> None:
    """Note in a saved model's folder which start token was chosen, where it was not left open."""
    if starts.wanted != AUTO or starts.named is not None:
        choice = {"start_token": starts.wanted, "document_separator": starts.named}
        (folder / CHOICE_FILE).write_text(json.dumps(choice, indent=1) + "\n", "utf-8")


def read_choice(folder: Path) -> tuple[str, str | None]:
    """The start token and the separator that `write_choice` noted in a folder.

    Raises:
        ModelError: the note cannot be read.
    """
    path = folder / CHOICE_FILE
    if not path.is_file():
        return AUTO, None
    try:
        choice = json.loads(path.read_text("utf-8"))
        wanted, named = choice["start_token"], choice["document_separator"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from None
    return str(wanted), None if named is None else str(named)


def _added(tokenizer: Any, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the tokenizer puts in front of and behind the tokens of a text."""
    plain = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    whole = list(tokenizer("a")["input_ids"])
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return tuple(whole[:start]), tuple(whole[start + len(plain) :])
    raise ModelError(
        f"the tokenizer of model '{name}' changes the tokens of a text when it adds special tokens"
    )


def _token_id(tokenizer: Any, token: str, name: str) -> int:
    token_id = tokenizer.get_vocab().get(token)
    if token_id is None:
        raise ModelError(f"model '{name}': start_token '{token}' is not in its vocabulary")
    return int(token_id)
