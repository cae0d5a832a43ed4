"""The masks that a fit learned from, stored without the texts: a fit can be done again from them.

Fits that share masks share one file, named by the hash of the masks. Each record has the
hash (`Record.masks`), so measurements of one fit with other masks can be distinguished.

The file also says which words of each passage are masked, so that maskers can be compared without
the texts. This follows from the passage and the spans, so the hash leaves it out: masks that an
earlier version stored without it keep their names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from harness.data.words import touched_words
from harness.errors import StoreError
from harness.storage.cells import Stored
from harness.types import MaskedPassage, Passage, Span

HASH_LENGTH = 24
"""Hexadecimal digits of the hash: 96 bits, as in a content key."""


class StoredMask(Stored):
    """The mask of one passage."""

    passage: str
    """Id of the passage."""
    text: str
    """Hash of its text, which the spans are positions in."""
    spans: tuple[Span, ...]
    note: str | None = None
    final: bool = True
    """False: a service failed to answer; another run asks it again."""
    words: int | None = None
    """How many words the passage has; None: stored by an earlier version, which left this out."""
    masked_words: tuple[int, ...] = ()
    """Positions of the words that a span touches, counted from 0."""


_MASKS = TypeAdapter(tuple[StoredMask, ...])
_WORDS = {"__all__": {"words", "masked_words"}}
"""The fields that the hash leaves out."""


@dataclass(frozen=True)
class StoredMasks:
    """Masks of the passages of a fit.

    Attributes:
        sha256: names the file; the hash of ``text`` without what it says about words.
        text: JSON, as it is stored.
    """

    sha256: str
    text: bytes

    @classmethod
    def of(cls, masked: Sequence[MaskedPassage]) -> StoredMasks:
        """Take the masks of passages, in their order."""
        masks = tuple(_mask_of(answer) for answer in masked)
        return cls(_masks_hash(masks), _MASKS.dump_json(masks))

    @classmethod
    def of_text(cls, text: bytes, sha256: str) -> StoredMasks:
        """Read stored masks.

        Raises:
            ValueError: they are not what was stored under this hash.
        """
        try:
            hashes = [_hash(text), _masks_hash(_MASKS.validate_json(text))]
        except ValidationError:
            hashes = []
        if sha256 not in hashes:
            raise ValueError("they were changed after they were written (another hash)")
        return cls(sha256, text)

    def each(self) -> tuple[StoredMask, ...]:
        """Return the mask of each passage, in their order."""
        return _MASKS.validate_json(self.text)

    def complete(self) -> bool:
        """Whether every passage has its final answer."""
        return all(mask.final for mask in self.each())

    def apply(self, passages: Sequence[Passage]) -> tuple[MaskedPassage, ...]:
        """Put the masks on the passages that they were made for.

        Raises:
            StoreError: the passages are others now.
        """
        masks = self.each()
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


def _mask_of(answer: MaskedPassage) -> StoredMask:
    text = answer.passage.text
    words, masked_words = touched_words(text, [(span.start, span.end) for span in answer.spans])
    return StoredMask(
        passage=answer.passage.id,
        text=_text_hash(answer.passage),
        spans=answer.spans,
        note=answer.note,
        final=answer.final,
        words=words,
        masked_words=masked_words,
    )


def _masks_hash(masks: Sequence[StoredMask]) -> str:
    return _hash(_MASKS.dump_json(tuple(masks), exclude=_WORDS))


def _text_hash(passage: Passage) -> str:
    return _hash(passage.text.encode("utf-8", "surrogatepass"))


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:HASH_LENGTH]
