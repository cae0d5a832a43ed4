"""Foreign text made safe for a terminal: no character in it can move, hide or recolour anything.

Labels, reasons, sentences and server messages come from specs, data sets, plugins and stores that
other people wrote. A terminal obeys control characters in them (ANSI and OSC sequences), and
bidirectional controls can reorder what a reader sees. Every character of these kinds is shown as
U+FFFD instead.
"""

from __future__ import annotations

import json
import re
from typing import Any

_UNSAFE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 (except tab and line feed), DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional controls
    "\u2028\u2029"  # line and paragraph separators
    "\ud800-\udfff"  # lone surrogates, which no stream can encode
    "]"
)


def printable(text: str) -> str:
    """Return a text without control characters; tabs and line feeds stay.

    A carriage return in front of a line feed is dropped; any other control character, and each
    bidirectional control or lone surrogate, becomes U+FFFD.
    """
    if text.isprintable():
        return text
    return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """Return a text as `printable` does, on one line, with single spaces."""
    return " ".join(printable(text).split())


def json_text(value: Any, *, indent: int | None = 1) -> str:
    """Serialise a value as JSON that is safe to print and that reads back as the same value.

    Letters of every script stay as they are; control characters are written as ``\\u`` escapes.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
