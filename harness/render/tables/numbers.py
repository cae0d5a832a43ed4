"""Numbers as text: signed changes, values, intervals."""

from __future__ import annotations


def signed(value: float | None, digits: int = 2) -> str:
    """A change with its sign, with a true minus; no sign for zero."""
    if value is None:
        return "–"
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0.0:
        return text
    return ("+" if value > 0 else "−") + text


def number(value: float | None, digits: int = 2) -> str:
    """A value, or a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """``[low, high]``, or nothing."""
    if low is None or high is None:
        return ""
    return f"[{number(low, digits)}, {number(high, digits)}]"
