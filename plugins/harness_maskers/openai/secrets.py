"""Removing the API key from what a server says.

Only free text of the server is redacted (messages, refusals, reasons, the model's name). Field
names, statuses and the words that a model names are never touched: a dummy key for a local server
may be as short as ``token``.
"""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import quote, quote_plus

_MARK = "[key]"
_LONG = 16
"""Keys of at least this length are redacted inside longer words too, and so are their prefixes."""
_PREFIX = 12
"""A server may cut the key that it echoes: this many of its first characters are redacted."""


class Redactor:
    """Replaces the key in free text by ``[key]``.

    A long key is replaced anywhere: within words, percent-encoded, escaped for JSON, in base64, and
    cut off. A short one is replaced as a separate word only, so that the key ``token`` leaves
    "tokens" as it is.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret.strip()
        forms = {self._secret} | {secret} if self._secret else set()
        if self._secret:
            forms |= {
                quote(self._secret, safe=""),
                quote_plus(self._secret),
                json.dumps(self._secret)[1:-1],
                base64.b64encode(self._secret.encode("utf-8", "surrogateescape")).decode(),
            }
        self._forms = sorted(forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return the text without the key."""
        for form in self._forms:
            if len(self._secret) >= _LONG:
                text = text.replace(form, _MARK)
            else:
                text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", _MARK, text)
        return self._without_prefixes(text)

    def line(self, text: str, limit: int = 300) -> str:
        """Return the text on one line, without the key, and then cut to a length."""
        clean = self(" ".join(self(text).split()))
        return clean if len(clean) <= limit else clean[: limit - 2] + " …"

    def leaks(self, text: str) -> bool:
        """Whether a text holds the key."""
        return bool(self._secret) and self(text) != text

    def _without_prefixes(self, text: str) -> str:
        if len(self._secret) < _LONG:
            return text
        head = self._secret[:_PREFIX]
        parts = text.split(head)
        for i, part in enumerate(parts[1:], start=1):
            rest = self._secret[_PREFIX:]
            same = 0
            while same < min(len(part), len(rest)) and part[same] == rest[same]:
                same += 1
            parts[i] = part[same:]
        return _MARK.join(parts)
