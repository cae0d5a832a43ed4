"""Which characters of a text each token covers, where the tokenizer does not say so itself."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Literal

from harness.data.words import COMBINING
from harness.errors import DataError, ModelError


def check_characters(text: str) -> None:
    """Refuse half of a character (a lone surrogate): each tokenizer fails on it differently.

    Raises:
        DataError: there is one.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        near = text[max(0, error.start - 20) : error.start + 1]
        raise DataError(
            f"a text holds half of a character (a lone surrogate, as of an emoji that was cut in "
            f"two) at the end of {near!r}; repair the text"
        ) from None


def offsets_by_decoding(
    tokenizer: Any, text: str, ids: Sequence[int], name: str
) -> list[tuple[int, int]]:
    """Character spans of tokens of a tokenizer that gives none, from what they decode to.

    A token that ends inside a character covers that character, as the next one does. The tokens may
    decode to the text as it is or as SentencePiece normalises it.

    Raises:
        ModelError: the tokens decode to neither.
    """

    def decoded(count: int) -> str:
        return str(
            tokenizer.decode(
                list(ids[:count]), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )

    whole_text = decoded(len(ids))
    places = [(k, k + 1) for k in range(len(text))]
    for form in ("NFC", "NFKC") if whole_text != text else ():
        compared, places = _normalised(text, form)
        if compared == whole_text:
            break
    else:
        compared = text
    if compared != whole_text:
        raise ModelError(
            f"the tokenizer of model '{name}' does not say which characters its tokens cover, and "
            f"they do not decode to the text {text[:30]!r}; use a model with a fast tokenizer"
        )
    spans, start = [], 0
    for count in range(1, len(ids) + 1):
        so_far = decoded(count)
        alike = (a == b for a, b in zip(so_far, compared, strict=False))
        shorter = min(len(so_far), len(compared))
        whole = next((i for i, same in enumerate(alike) if not same), shorter)
        # bytes of a character that is not whole yet decode to another one, or to nothing
        inside = not compared.startswith(so_far) or so_far == decoded(count - 1)
        end = min(len(compared), whole + 1) if inside else whole
        first = start
        while first < end and compared[first].isspace():
            first += 1
        if first < end:
            spans.append((places[first][0], places[end - 1][1]))
        else:
            at = places[first][0] if first < len(places) else len(text)
            spans.append((at, at))
        start = whole
    return spans


def _normalised(text: str, form: Literal["NFC", "NFKC"]) -> tuple[str, list[tuple[int, int]]]:
    """A text as SentencePiece normalises it, and the characters that each of its characters is of.

    White space becomes single spaces, none at the ends; invisible characters are dropped.
    """
    written: list[str] = []
    places: list[tuple[int, int]] = []
    for cluster in re.finditer(rf".[{COMBINING}]*", text, re.DOTALL):
        for char in unicodedata.normalize(form, cluster.group()):
            if char.isspace():
                if not written or written[-1] == " ":
                    continue
                char = " "
            elif char in _INVISIBLE:
                continue
            written.append(char)
            places.append(cluster.span())
    if written and written[-1] == " ":
        written.pop()
        places.pop()
    return "".join(written), places


_INVISIBLE = "\u00ad\u200b\u200e\u200f\u2060\ufeff"
"""What SentencePiece drops, beside white space. Joiners stay: they make one emoji of several."""
