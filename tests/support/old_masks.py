"""Masks as versions before the words of passages were stored with them."""

from __future__ import annotations

import hashlib
import json

from harness.storage.masks import HASH_LENGTH, StoredMasks


def without_words(masks: StoredMasks) -> StoredMasks:
    """Return the same masks in the earlier form, named by the hash of their whole text."""
    new = ("words", "masked_words")
    rows = [{k: v for k, v in row.items() if k not in new} for row in json.loads(masks.text)]
    text = json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()
    return StoredMasks.of_text(text, hashlib.sha256(text).hexdigest()[:HASH_LENGTH])
