"""Seals: a stored JSON object carries the hash of its own bytes, so any later change shows.

A sealed text is ``{"sha256":"<hash>",<rest>``; the hash is of ``<rest>``. It protects against
damage, not against someone who changes the text and the hash together. Texts that were written
before seals existed have none and are read as they are.
"""

from __future__ import annotations

import hashlib
import re

_SEAL = re.compile(rb'\{"sha256":"([0-9a-f]{64})",')

_REWRITTEN = re.compile(rb'\s*\{\s*"sha256"\s*:')
_CHANGED = "it was changed after it was written (its hash does not match)"


def sealed(text: bytes) -> bytes:
    """Put a seal into the text of a JSON object that has at least one key."""
    rest = text[1:]
    return b'{"sha256":"' + hashlib.sha256(rest).hexdigest().encode() + b'",' + rest


def unsealed(text: bytes) -> tuple[bytes, bool]:
    """Check the seal of a text and take it off.

    Returns:
        The text of the object without the hash, and whether it had a seal.

    Raises:
        ValueError: the text is not what was sealed.
    """
    match = _SEAL.match(text)
    if match is None:
        if _REWRITTEN.match(text):
            raise ValueError(_CHANGED)
        return text, False
    rest = text[match.end() :]
    if hashlib.sha256(rest).hexdigest().encode() != match[1]:
        raise ValueError(_CHANGED)
    return b"{" + rest, True
