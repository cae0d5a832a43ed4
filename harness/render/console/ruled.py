"""A plain ruled table that a console prints at once.

A table of thousands of cells is a usual matrix; rich's own table measures and wraps each of them,
which takes longer than all the statistics in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

RULE = "─"


@dataclass(frozen=True)
class Ruled:
    """A title, a header, a rule, and rows of cells.

    Attributes:
        header: names of the columns, of one line or of several.
        rows: cells, of one line or of several; where there is little room, the first of a row is
            folded between words.
        left: how many columns are flush left; the others are flush right.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Text]]
    left: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lines of segments, a space between columns and at both ends."""
        names = [name.split("\n") for name in self.header]
        widths = [max(map(len, lines)) for lines in names]
        for row in self.rows:
            for k, cell in enumerate(row):
                widths[k] = max(widths[k], _width(cell))
        spare = options.max_width - sum(widths) - len(widths) - 1
        widths[0] = max(8, widths[0] + min(spare, 0))
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
            wide = row[0].cell_len > widths[0]
            first = list(row[0].wrap(console, widths[0])) if wide else [row[0]]
            rest = [cell.split("\n") if "\n" in cell.plain else [cell] for cell in row[1:]]
            for number in range(max(map(len, [first, *rest]))):
                parts = [lines[number] if number < len(lines) else None for lines in (first, *rest)]
                while parts and parts[-1] is None:
                    parts.pop()
                yield from self._line([_spans(console, part) for part in parts], widths)
        yield Segment.line()

    def _line(
        self, cells: Sequence[Sequence[tuple[str, Style | None]]], widths: Sequence[int]
    ) -> Iterator[Segment]:
        plain = ""  # what has no style is put together: most of a line, or all of it
        for k, spans in enumerate(cells):
            space = " " * (widths[k] - sum(cell_len(words) for words, _ in spans))
            plain += " " if k < self.left else " " + space
            for words, style in spans:
                if style is None:
                    plain += words
                else:
                    yield Segment(plain)
                    yield Segment(words, style)
                    plain = ""
            if k < self.left:
                plain += space
        yield Segment(plain + "\n")


def _width(cell: Text) -> int:
    if "\n" in cell.plain:
        return max(line.cell_len for line in cell.split("\n"))
    return cell.cell_len


def _spans(console: Console, cell: Text | None) -> Sequence[tuple[str, Style | None]]:
    """A cell's words with their styles; of no interest where there are no colours."""
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
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
