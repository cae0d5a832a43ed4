"""The colours of the terminal, the HTML page and the figures, defined once.

Figures are drawn with the light colours. On the page every colour is a CSS variable with a light
and a dark value, in tables and in figures alike, so a figure follows the reader's theme.
"""

from __future__ import annotations

from collections.abc import Mapping

LEVELS = 5
"""Shades of an improvement or of harm, from 1 (pale) to 5 (strong)."""

SERIES = 8
"""Colours of curves and marks."""

_SHARE = (0.0, 0.12, 0.24, 0.34, 0.44, 0.55)
"""How much of the full colour is in each shade."""

_LIGHT = {
    "paper": "#fcfbf8",
    "sheet": "#ffffff",
    "ink": "#1d1c1a",
    "muted": "#5c5851",
    "rule": "#dcd8cf",
    "faint": "#efece5",
    "link": "#1a4f7f",
    "alert": "#8a3b00",
    "better": "#2b78b5",
    "worse": "#cf6a1c",
    "c0": "#0068a8",
    "c1": "#c04e00",
    "c2": "#00805d",
    "c3": "#a8508a",
    "c4": "#8a6d00",
    "c5": "#3f7f9f",
    "c6": "#6a51a3",
    "c7": "#55524c",
}

_DARK = {
    "paper": "#15171a",
    "sheet": "#1b1e22",
    "ink": "#e9e6df",
    "muted": "#aaa69d",
    "rule": "#383b40",
    "faint": "#24272c",
    "link": "#8fc1ee",
    "alert": "#f0a36b",
    "better": "#3f8fd0",
    "worse": "#d9772b",
    "c0": "#5fb0ea",
    "c1": "#f08a4b",
    "c2": "#3cc09a",
    "c3": "#de92c4",
    "c4": "#d9bb4e",
    "c5": "#8fc7dd",
    "c6": "#b3a0e8",
    "c7": "#b5b1a8",
}


def mixed(colour: str, ground: str, share: float) -> str:
    """Return a colour laid over another: ``share`` of the first, the rest of the second."""
    parts = zip(_rgb(colour), _rgb(ground), strict=True)
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in parts)


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[k : k + 2], 16) for k in (1, 3, 5))


def _with_shades(colours: Mapping[str, str]) -> dict[str, str]:
    shades = {
        f"{side}-{level}": mixed(colours[side], colours["sheet"], _SHARE[level])
        for side in ("better", "worse")
        for level in range(1, LEVELS + 1)
    }
    return {**colours, **shades}


LIGHT: Mapping[str, str] = _with_shades(_LIGHT)
DARK: Mapping[str, str] = _with_shades(_DARK)

TERMINAL: Mapping[str, str] = {"better": "#2b86c9", "worse": "#cf6a1c"}
"""Colours for a terminal: legible on black and on white."""


def css() -> str:
    """Return the style rules that define every colour as a variable, with its dark value."""
    return (
        f":root {{ {_variables(LIGHT)} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}"
    )


def _variables(colours: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in colours.items())


def level(improvement: float, strongest: float, *, significant: bool) -> int:
    """Return the shade of an improvement or of harm; its strength follows the evidence.

    Args:
        improvement: signed, in the unit of the table.
        strongest: the largest size in the same table.
        significant: a change that may be chance is always pale.
    """
    if not improvement or strongest <= 0:
        return 0
    if not significant:
        return 1
    return 2 + min(LEVELS - 2, round(abs(improvement) / strongest * (LEVELS - 2)))
