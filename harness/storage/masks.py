"""The masks that a fit learned from, stored without the texts: a fit can be done again from them.

Fits that share masks share one file, named by the hash of its content. Each record has the
hash (`Record.masks`), so measurements of one fit with other masks can be distinguished.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from harness.errors import StoreError
from harness.storage.cells import Stored
from harness.types import MaskedPassage, Passage, Span

HASH_LENGTH = 24
"""Hexadecimal digits of the hash: 96 bits, as in a content key."""


class _Mask(Stored):
    """The mask of one passage."""

    passage: str
    """Id of the passage."""
    text: str
    """Hash of its text, which the spans are positions in."""
    spans: tuple[Span, ...]
    note: str | None = None
    final: bool = True
    """False: a service failed to answer; another run asks it again."""


_MASKS = TypeAdapter(tuple[_Mask, ...])


@dataclass(frozen=True)
class StoredMasks:
    """Masks of the passages of a fit.

    Attributes:
        sha256: names the file; the hash of ``text``.
        text: JSON, as it is stored.
    """

    sha256: str
    text: bytes

    @classmethod
    def of(cls, masked: Sequence[MaskedPassage]) -> StoredMasks:
        """Take the masks of passages, in their order."""
        masks = tuple(
            _Mask(
                passage=answer.passage.id,
                text=_text_hash(answer.passage),
                spans=answer.spans,
                note=answer.note,
                final=answer.final,
            )
            for answer in masked
        )
        text = _MASKS.dump_json(masks)
        return cls(_hash(text), text)

    @classmethod
    def of_text(cls, text: bytes, sha256: str) -> StoredMasks:
        """Read stored masks.

        Raises:
            ValueError: they are not what was stored under this hash.
        """
        if _hash(text) != sha256:
            raise ValueError("they were changed after they were written (another hash)")
        json.loads(text)
        return cls(sha256, text)

    def complete(self) -> bool:
        """Whether every passage has its final answer."""
        return all(mask.final for mask in _MASKS.validate_json(self.text))

    def apply(self, passages: Sequence[Passage]) -> tuple[MaskedPassage, ...]:
        """Put the masks on the passages that they were made for.

        Raises:
            StoreError: the passages are others now.
        """
        masks = _MASKS.validate_json(self.text)
        now = [(passage.id, _text_hash(passage)) for passage in passages]
        if now != [(mask.passage, mask.text) for mask in masks]:
            raise StoreError(
                "the passages that this fit learned from are others now, so its stored masks do "
                "not fit them; restore the data, or run the spec again"
            )
        return tuple(
            MaskedPassage(passage=passage, spans=mask.spans, note=mask.note, final=mask.final)
            for passage, mask in zip(passages, masks, strict=True)
        )


def _text_hash(passage: Passage) -> str:
    return _hash(passage.text.encode("utf-8", "surrogatepass"))


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:HASH_LENGTH]
