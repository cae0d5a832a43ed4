"""A plain ruled table that a console prints at once.

A matrix often has thousands of cells. Rich's own table measures and wraps each of them, which takes
longer than the statistics in it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

RULE = "─"
LEAST = 8
"""Letters that a folded column keeps at least."""


@dataclass(frozen=True)
class Ruled:
    """A title, a header, a rule, and rows of cells.

    Attributes:
        title: one line or more; empty for none.
        header: names of the columns, of one line or of several.
        rows: cells, of one line or of several.
        left: positions of the columns that are flush left; the others are flush right.
        fold: positions of the columns whose cells are folded where room is short, the widest first.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Text]]
    left: Collection[int] = (0,)
    fold: Collection[int] = (0,)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield lines of segments, with a space between columns and at both ends."""
        names = [name.split("\n") for name in self.header]
        widths = [max(map(cell_len, lines)) for lines in names]
        for row in self.rows:
            for k, cell in enumerate(row):
                widths[k] = max(widths[k], _width(cell))
        spare = options.max_width - sum(widths) - len(widths) - 1
        self._narrow(widths, -spare)
        bold, dim = console.get_style("bold"), console.get_style("dim")
        total = sum(widths) + len(widths) + 1
        if self.title:
            for line in _folded(self.title, options.max_width):
                yield from (Segment(line, bold), Segment.line())
        yield Segment.line()
        for k in range(max(map(len, names)), 0, -1):  # the last lines side by side
            heads = [lines[-k] if k <= len(lines) else "" for lines in names]
            yield from self._line([[(name, bold)] for name in heads], widths)
        yield from (Segment(" " + RULE * (total - 2), dim), Segment.line())
        for row in self.rows:
            cells = [self._lines(k, cell, widths[k]) for k, cell in enumerate(row)]
            for number in range(max(map(len, cells))):
                parts = [lines[number] if number < len(lines) else None for lines in cells]
                while parts and parts[-1] is None:
                    parts.pop()
                yield from self._line([_spans(console, part) for part in parts], widths)
        yield Segment.line()

    def _narrow(self, widths: list[int], missing: int) -> None:
        """Take the room that is missing from the folded columns, always from the widest."""
        for _ in range(missing):
            widest = max(self.fold, key=lambda k: widths[k], default=None)
            if widest is None or widths[widest] <= LEAST:
                return
            widths[widest] -= 1

    def _lines(self, k: int, cell: Text, width: int) -> Sequence[Text]:
        if k in self.fold and _width(cell) > width:
            return [line for part in cell.split("\n") for line in _wrapped(part, width)]
        return list(cell.split("\n")) if "\n" in cell.plain else [cell]

    def _line(
        self, cells: Sequence[Sequence[tuple[str, Style | None]]], widths: Sequence[int]
    ) -> Iterator[Segment]:
        plain = ""  # what has no style is put together: most of a line, or all of it
        for k, spans in enumerate(cells):
            space = " " * (widths[k] - sum(cell_len(words) for words, _ in spans))
            plain += " " if k in self.left else " " + space
            for words, style in spans:
                if style is None:
                    plain += words
                else:
                    yield Segment(plain)
                    yield Segment(words, style)
                    plain = ""
            if k in self.left:
                plain += space
        yield Segment(plain.rstrip() + "\n")


def _width(cell: Text) -> int:
    if "\n" in cell.plain:
        return max(line.cell_len for line in cell.split("\n"))
    return cell.cell_len


def _wrapped(cell: Text, width: int) -> Iterator[Text]:
    """Yield lines of a width, broken between words, or in a name after a hyphen or underscore."""
    start = 0
    for part in re.finditer(r"[^\s_-]*[\s_-]*", cell.plain):
        while cell_len(cell.plain[start : part.end()].rstrip()) > width:
            end = part.start() if part.start() > start else start + width
            yield _stripped(cell[start:end])
            start = end
    yield _stripped(cell[start:])


def _stripped(line: Text) -> Text:
    line.rstrip()
    return line


def _spans(console: Console, cell: Text | None) -> Sequence[tuple[str, Style | None]]:
    """Return a cell's words with their styles; without them where there are no colours."""
    if cell is None:
        return []
    if console.color_system is None:
        return [(cell.plain, None)]
    base = console.get_style(cell.style) if cell.style else None
    if not cell.spans:
        return [(cell.plain, base)]
    return [
        (part.text, part.style)
        for part in cell.render(console)
        if part.text and not part.is_control
    ]


def _folded(words: str, width: int) -> list[str]:
    lines = [""]
    for word in words.split():
        if lines[-1] and cell_len(lines[-1]) + 1 + cell_len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def ruled(
    title: str,
    header: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    left: Collection[int] = (0,),
    fold: Collection[int] = (0,),
) -> Ruled:
    """Make a table of plain texts and of styled ones.

    Args:
        title: see `Ruled`.
        header: names of the columns.
        rows: cells; a string is a text without a style.
        left: see `Ruled`.
        fold: see `Ruled`.
    """
    cells = [[c if isinstance(c, Text) else Text(c) for c in row] for row in rows]
    return Ruled(title, header, cells, left, fold)
