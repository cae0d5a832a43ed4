"""Which colour, dashes and marker a curve or a mark has: the same in every figure of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.render import palette

DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.2, 2)), (0, (6, 2, 1, 2)))
MARKERS = ("o", "s", "^", "D")


@dataclass(frozen=True)
class Look:
    """How a curve looks: positions in the colours and in the dashes; markers go with dashes."""

    colour: int
    dash: int

    @property
    def hex(self) -> str:
        """The colour, of the light palette."""
        return palette.LIGHT[f"c{self.colour % palette.SERIES}"]

    def options(self) -> dict[str, Any]:
        """Return what matplotlib's ``plot`` takes."""
        dash = self.dash % len(DASHES)
        return {"color": self.hex, "ls": DASHES[dash], "marker": MARKERS[dash]}


class Looks:
    """Gives each group (source) a colour and each style (method) its dashes and marker.

    With one group, or with more styles than there are dashes, each style has a colour of its own;
    after the last colour the dashes change.

    Args:
        groups: all groups of the run, in order.
        styles: all styles of the run, in order.
    """

    def __init__(self, groups: Sequence[str] = (), styles: Sequence[str] = ()) -> None:
        self._groups = {name: k for k, name in enumerate(dict.fromkeys(groups))}
        self._styles = {name: k for k, name in enumerate(dict.fromkeys(styles))}
        self.by_style = len(self._groups) < 2 or len(self._styles) > len(DASHES)

    def of(self, group: str, style: str) -> Look:
        """Return the look of a curve."""
        place = self._styles.setdefault(style, len(self._styles))
        if not self.by_style:
            return Look(self._groups.setdefault(group, len(self._groups)), place)
        return Look(place, place // palette.SERIES if len(self._styles) > len(DASHES) else place)
