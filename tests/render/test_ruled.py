"""Names in tables of the console: folded where a reader would break them, never cut."""

from __future__ import annotations

import io
import re

import pytest
from rich.text import Text

from harness.render.console.ruled import ruled
from harness.render.console.terminal import Terminal

NAMES = [
    "stereoset-preference-the-same-as-mentions",
    "bias_on_the_other_domains",
    "several words, and one-long-hyphenated-name-at-the-end",
    "unbreakable" * 4,
]


@pytest.mark.parametrize("width", [24, 32, 40, 60])
@pytest.mark.parametrize("name", NAMES)
def test_names_are_folded_after_words_hyphens_and_underscores(name: str, width: int) -> None:
    console = Terminal(file=io.StringIO(), width=width)
    console.print(ruled("", ["name", "value"], [[Text(name, "bold"), "3.1"]], fold=[0]))
    lines = console.file.getvalue().split("\n")[3:]  # type: ignore[attr-defined]
    parts = [re.sub(r"3\.1$", "", line).strip() for line in lines if line.strip()]
    assert all(len(line) <= width for line in lines)
    joined = "".join(part if part[-1] in "-_" else f"{part} " for part in parts).strip()
    if "unbreakable" in name:
        assert "".join(parts) == name
    else:
        assert joined == name, "a line ends with a word, a hyphen or an underscore"
