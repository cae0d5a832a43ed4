"""Where a continuation begins in the tokens of a context and its continuation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from harness.errors import ModelError


class Continued(NamedTuple):
    """A context followed by a continuation, tokenised as one text.

    Attributes:
        text: the context and the continuation, joined.
        ids: its token ids.
        first: index in ``ids`` of the continuation's first token.
    """

    text: str
    ids: list[int]
    first: int


def continued(
    context: str, continuation: str, encode: Callable[[str], Sequence[int]], name: str
) -> Continued:
    """Tokenise a context and its continuation as one text and find where the continuation begins.

    White space at the end of the context is counted to the continuation, as in
    lm-evaluation-harness: most tokenizers write a space in front of a word, not behind one. The
    tokens of the joined text must then begin with the tokens of the context.

    Args:
        context: may be empty.
        continuation: the text to be scored.
        encode: token ids of a text, without special tokens.
        name: of the model, for messages.

    Raises:
        ModelError: the continuation has no token, or the tokenizer makes one token of the end of
            the context and the start of the continuation.
    """
    text = context + continuation
    head, ids = list(encode(context.rstrip())), list(encode(text))
    if ids[: len(head)] != head:
        raise ModelError(
            f"the tokenizer of model '{name}' joins the end of the context {_tail(context)!r} "
            f"and the start of {continuation[:20]!r} in one token; begin the continuation with a "
            "space or another word"
        )
    if len(ids) == len(head):
        raise ModelError(f"the continuation {continuation[:20]!r} has no token to score")
    return Continued(text, ids, len(head))


def _tail(text: str) -> str:
    return text if len(text) <= 20 else "…" + text[-20:]
