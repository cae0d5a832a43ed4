"""The matrix and the leaderboard as LaTeX tables that fit the text of an article.

A cell has two lines: a number, and its interval below in small print. So a table with three
targets is as wide as the text of a one-column article. Longer and wider ones are split into
several, and what is still too wide is shrunk. Needed are the packages booktabs and graphicx.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from harness.analysis.leaderboard import Leaderboard
from harness.analysis.leaderboard_tables import board_tables
from harness.analysis.matrix import Matrix
from harness.analysis.matrix_tables import matrix_tables
from harness.analysis.tables import Table, TableRow
from harness.render.exports.export_format import ExportFormat, ExportOptions
from harness.render.tables.cell_text import MARK_NOTE, CellText, column_title, full_title, row_texts
from harness.storage.store import Store

MOST_ROWS = 15
"""Rows of a table that fit a page, with their second lines and the caption."""
MOST_TARGETS = 3
MOST_NAME = 26
"""Letters of a name in one line, where there is a second one."""
MOST_COLUMNS = 4
"""Of the tables of text, beside their heading."""

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "_": r"\_",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
    "|": r"\ensuremath{|}",
    '"': "''",  # \\textquotedbl needs another font encoding than the default one
    "−": r"\ensuremath{-}",
    "–": "--",
    "…": r"\dots{}",
    "×": r"\ensuremath{\times}",
    "±": r"\ensuremath{\pm}",
    "◇": r"\ensuremath{\diamond}",
    "◆": r"\ensuremath{\diamond}",
    "✓": r"\ensuremath{\surd}",
    "✗": r"\ensuremath{\times}",
    "[": "{[}",
    "]": "{]}",
}

HEAD = r"""%% Tables of the run %s, made by `harness export --format latex`.
%% In the preamble: \usepackage{booktabs,graphicx}
%% A table that is wider than the text is shrunk to it.
\providecommand{\fitline}[1]{\sbox0{#1}%%
  \ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi}
"""


class Cell(NamedTuple):
    """Two lines of LaTeX; the second may be empty."""

    top: str
    below: str = ""


def latex_text(matrix: Matrix, board: Leaderboard) -> str:
    """Table environments to be read by ``\\input``: one for each metric, then the leaderboard."""
    parts = [HEAD % " ".join(matrix.name.split()).replace("%", "%%")]
    run = matrix.name
    marks = f"{MARK_NOTE}; c: control; underlined: source and target are the same."
    for order, table in enumerate(matrix_tables(matrix), 1):
        below = [*table.legend, *table.notes, *([marks] if order == 1 else [])]
        caption = f"{full_title(table)}. {' '.join(below)}"
        parts += _table(run, table, f"{_label(run)}-{order}", caption)
    for table in board_tables(board):
        caption = f"{table.title}. {' '.join((*table.legend, *table.notes))}"
        parts += _table(run, table, f"{_label(run)}-{table.key}", caption)
    for title, reason in matrix.failures:
        parts.append(f"% failed: {_one_line(title)}: {_one_line(reason)}\n")
    return "\n".join(parts)


def escape(text: str) -> str:
    """Make a text safe in LaTeX's text mode; what plain LaTeX lacks becomes a question mark."""
    marked = _one_line(text).replace("†", "\0")
    escaped = "".join(_SPECIAL.get(c, c if c.isascii() or c in _LATIN else "?") for c in marked)
    return escaped.replace("\0", r"\ensuremath{\dagger}")


_LATIN = "äöüÄÖÜßàâçéèêëîïôùûñóíáú"


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _table(run: str, table: Table, label: str, caption: str) -> Iterator[str]:
    """A table, a few columns at a time: headings first, intervals below their numbers."""
    columns = range(table.heads, len(table.columns))
    most = MOST_TARGETS if table.key == "matrix" else MOST_COLUMNS
    heads = [k for k in range(table.heads) if table.columns[k].key not in ("source", "step")]
    for first in range(0, len(columns), most):
        shown = [*heads, *columns[first : first + most]]
        rows = []
        for row in table.rows:
            texts = row_texts(table, row)
            rows.append([_cell(table, row, k, texts[k]) for k in shown])
        more = f"-{first // most + 1}" if first else ""
        header = [column_title(table, table.columns[k]) for k in shown]
        left = [table.columns[k].left for k in shown]
        bases = [row.kind == "base" for row in table.rows]
        yield from _tables(run, label + more, caption, header, rows, left, bases)


def _cell(table: Table, row: TableRow, position: int, text: CellText) -> Cell:
    if table.columns[position].key == "method":
        mark = r"\textsuperscript{c}" if row.kind == "control" else ""
        mark += r"\textsuperscript{\ensuremath{\diamond}}" if row.pareto else ""
        heading = _heading(row.method, mark)
        where = f"from {row.source}" if row.source else ""
        if table.several_steps and row.kind != "base" and row.shown_step:
            where += f", step {row.shown_step}"
        return heading if not where else Cell(_joined(heading), rf"\quad {escape(where)}")
    cell = row.cells[position]
    if cell.absent:
        return Cell(rf"\emph{{{escape(cell.absent)}}}")
    main = escape(text.main)
    main = rf"\underline{{{main}}}" if cell.own else main
    raised = "".join(_RAISED[mark] for mark in text.marks)
    return Cell(main + (f"$^{{{raised}}}$" if raised else ""), escape(text.detail))


_RAISED = {"✓": r"\surd", "✗": r"\times", "~": r"\sim", "*": "*"}


def _joined(cell: Cell) -> str:
    return f"{cell.top} {cell.below}".strip()


def _heading(name: str, mark: str = "") -> Cell:
    """A name with a mark; a long one is broken in two."""
    first, second = _halved(name) if len(name) > MOST_NAME else ("", name)
    if not first:
        return Cell(escape(second) + mark)
    return Cell(escape(first), escape(second) + mark)


def _tables(
    run: str,
    label: str,
    caption: str,
    header: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    left: Sequence[bool],
    bases: Sequence[bool],
) -> Iterator[str]:
    """Tables of two-line cells; headings of several words are broken in two."""
    broken = [_halved(name) for name in header]
    head = [
        " & ".join(escape(title) for title in line) + r" \\" for line in zip(*broken, strict=True)
    ]
    lines = []
    for row, base in zip(rows, bases, strict=True):
        row_lines = [" & ".join(cell.top for cell in row) + r" \\"]
        if any(cell.below for cell in row):
            small = (rf"{{\scriptsize {cell.below}}}" if cell.below else "" for cell in row)
            row_lines.append(" & ".join(small) + r" \\[2pt]")
        lines.append([*row_lines, r"\midrule"] if base else row_lines)
    spec = "".join("l" if flush else "r" for flush in left)
    yield from _split(run, label, caption, spec, head, lines)


def _halved(name: str) -> tuple[str, str]:
    """A heading in two lines, as short as they can be; a number keeps its per cent sign."""
    words = name.replace(" %", "\0%").split()
    pairs = [(" ".join(words[:k]), " ".join(words[k:])) for k in range(max(len(words), 1))]
    first, second = min(pairs, key=lambda pair: max(map(len, pair)))
    return first.replace("\0", " "), second.replace("\0", " ")


def _split(
    run: str,
    label: str,
    caption: str,
    spec: str,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> Iterator[str]:
    """Tables of so many rows that each fits a page."""
    for first in range(0, max(len(rows), 1), MOST_ROWS):
        part = [line for row in rows[first : first + MOST_ROWS] for line in row]
        while part and part[-1] == r"\midrule":
            part.pop()
        about = caption if first == 0 else f"{caption.partition('. ')[0]}, continued."
        title = f"{run}: {about}"
        yield "\n".join(
            [
                r"\begin{table}[tp]",
                r"\centering\footnotesize",
                rf"\caption{{{escape(title)}}}",
                rf"\label{{tab:{label}{f'-{first // MOST_ROWS + 1}' if first else ''}}}",
                r"\setlength{\tabcolsep}{3pt}\smallskip",
                rf"\fitline{{\begin{{tabular}}{{@{{}}{spec}@{{}}}}",
                r"\toprule",
                *head,
                r"\midrule",
                *part,
                r"\bottomrule",
                r"\end{tabular}}",
                r"\end{table}",
                "",
            ]
        )


def _label(run: str) -> str:
    return "".join(c if c.isalnum() and c.isascii() else "-" for c in run)


def _content(store: Store, options: ExportOptions) -> bytes:
    from harness.analysis.matrix_builder import matrix_of
    from harness.analysis.ranking import rank

    return latex_text(matrix_of(store), rank([store])).encode()


LATEX = ExportFormat("latex", "the same for an article (packages booktabs and graphicx)", _content)
