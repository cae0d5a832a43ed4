"""The only console that commands print to: it treats every string as plain text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from harness.render.safe_text import one_line, printable


class Terminal(Console):
    """A rich console on which foreign text cannot do anything but be read.

    Strings are never parsed for markup or emoji codes, so a label such as ``pairs[v2]`` or
    ``x[/]`` prints as it is, in tables too. Whatever is printed, in whatever renderable, loses its
    control characters (`printable`) before it reaches the stream. Colours come from
    `rich.text.Text` and ``style=`` only.

    Args:
        stderr: print to standard error instead of standard output.
        file: print to this stream instead.
        width: columns; default: those of the terminal.
        options: other arguments of `rich.console.Console`.
    """

    def __init__(
        self,
        *,
        stderr: bool = False,
        file: IO[str] | None = None,
        width: int | None = None,
        **options: Any,
    ) -> None:
        fixed = {"markup": False, "emoji": False, "highlight": False}
        super().__init__(stderr=stderr, file=file, width=width, **{**options, **fixed})

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render as rich does, without the control characters of any text."""
        for segment in super().render(renderable, options):
            text = segment.text
            if segment.control or text.isprintable() or text == "\n":
                yield segment
            else:
                yield Segment(printable(text), segment.style)

    def say(self, text: str | Text, style: str = "") -> None:
        """Print one line, which the terminal wraps."""
        self.print(text, style=style or None, soft_wrap=True)

    def alert(self, word: str, text: str, style: str, *, width: int | None = None) -> None:
        """Print one line that begins with a coloured word, such as ``warning`` or ``failed``."""
        line = Text.assemble((word, style), " ", one_line(text))
        self.print(line, soft_wrap=width is None, width=width)
