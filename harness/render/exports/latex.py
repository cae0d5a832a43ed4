"""The matrix and the leaderboard as LaTeX tables that fit the text of an article.

A cell has two lines: a number, and its interval below in small print. So a table with three
targets is as wide as the text of a one-column article. Longer and wider ones are split into
several, and what is still too wide is shrunk. Needed are the packages booktabs and graphicx.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from harness.analysis.leaderboard import Leaderboard, Standing
from harness.analysis.matrix import Matrix
from harness.analysis.transfer import Estimated
from harness.render.exports.export_format import ExportFormat, ExportOptions
from harness.render.tables.leaderboard_table import (
    NETS_NOTE,
    SEEDS_NOTE,
    Rows,
    controls_note,
    matched_note,
    matched_table,
    nets_table,
    seeds_table,
)
from harness.render.tables.matrix_table import (
    ANY_NOTE,
    Absent,
    Line,
    Score,
    Sheet,
    matrix_note,
    matrix_sheets,
)
from harness.render.tables.numbers import interval, number, signed
from harness.render.tables.rows import SMALLEST
from harness.storage.store import Store

MOST_ROWS = 18
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
    "[": "{[}",
    "]": "{]}",
}

HEAD = r"""%% Tables of the run %s, made by `harness export --format latex`.
%% In the preamble: \usepackage{booktabs,graphicx}
%% A table that is wider than the text is shrunk to it.
\providecommand{\fitline}[1]{\sbox0{#1}%%
  \ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi}
"""

BOARD_NOTE = (
    "distance: mean distance of the bias scores to their ideal, in points; improvement: how much "
    "nearer than the base; net of control: improvement minus that of the control most like the "
    "method, on the same items; source / others: mean improvement on the source itself and on the "
    "other domains; harmed: scores further from their ideal than the base's (surely: corrected "
    "p < 0.05); ◇: on the Pareto front of improvement and language; c: control; last: mean "
    "language score and its increase"
)


class Cell(NamedTuple):
    """Two lines of LaTeX; the second may be empty."""

    top: str
    below: str = ""


def latex_text(matrix: Matrix, board: Leaderboard) -> str:
    """Table environments to be read by ``\\input``: one a metric, then the leaderboard."""
    parts = [HEAD % " ".join(matrix.name.split()).replace("%", "%%")]
    run = matrix.name
    sheets = matrix_sheets(matrix)
    note = f"{matrix_note(matrix)}; † further from the ideal; c: control; "
    note += "underlined: source and target the same"
    if any(sheet.anywhere for sheet in sheets):
        note += f"; {ANY_NOTE}"
    for order, sheet in enumerate(sheets, 1):
        about = f"In a cell: {note}" if order == 1 else "Cells as in the first table"
        parts += _matrix(run, sheet, f"{_label(run)}-{order}", f"{about}.")
    note = "; ".join(filter(None, (BOARD_NOTE, controls_note(board))))
    caption = f"leaderboard. {_capital(note)}."
    parts += _tables(run, f"{_label(run)}-leaderboard", caption, *_leaderboard(board))
    for name, table, about in (
        ("nets", nets_table(board), f"net of each control. {_capital(NETS_NOTE)}"),
        ("seeds", seeds_table(board), f"over seeds. {_capital(SEEDS_NOTE)}"),
        (
            "matched",
            matched_table(board),
            f"at the same language ability. {_capital(matched_note(board))}",
        ),
    ):
        if table is not None:
            parts += _text(run, f"{_label(run)}-{name}", f"{about}.", table)
    for title, reason in matrix.failures:
        parts.append(f"% failed: {_one_line(title)}: {_one_line(reason)}\n")
    return "\n".join(parts)


def escape(text: str) -> str:
    """Make a text safe in LaTeX's text mode; what plain LaTeX lacks becomes a question mark."""
    marked = _one_line(text).replace("†", "\0")
    found = "".join(_SPECIAL.get(c, c if c.isascii() or c in _LATIN else "?") for c in marked)
    return found.replace("\0", r"\ensuremath{\dagger}")


_LATIN = "äöüÄÖÜßàâçéèêëîïôùûñóíáú"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _matrix(run: str, sheet: Sheet, label: str, caption: str) -> Iterator[str]:
    """Two columns a target: the score, and its change with the interval below both."""
    for first in range(0, len(sheet.targets), MOST_TARGETS):
        at = slice(first, first + MOST_TARGETS)
        targets = sheet.targets[at]
        heads = " & ".join(rf"\multicolumn{{2}}{{c}}{{{escape(target)}}}" for target in targets)
        rules = [rf"\cmidrule(l){{{2 + 2 * i}-{3 + 2 * i}}}" for i in range(len(targets))]
        below = " & ".join(["score & change"] * len(targets))
        head = [rf" & {heads} \\", "".join(rules), rf"debiased by & {below} \\"]
        steps = {line.step for line in sheet.lines if not line.base and not line.control}
        rows = [row for line in sheet.lines for row in [_row(line, at, len(steps) > 1)]]
        if any(sheet.smallest[at]):
            least = [f"± {number(own)}" if own else "" for own in sheet.smallest[at]]
            cells = " & ".join(rf"\multicolumn{{2}}{{r}}{{{escape(own)}}}" for own in least)
            rows.append([rf"\midrule {SMALLEST} & {cells} \\"])
        step = f", step {next(iter(steps))}" if len(steps) == 1 else ""
        title = f"{sheet.title}{step}, {sheet.direction}. {caption}"
        more = f"-{first // MOST_TARGETS + 1}" if first else ""
        spec = "l" + r"@{\hskip 7pt}rr" * len(targets)
        yield from _split(run, label + more, title, spec, head, rows)


def _row(line: Line, at: slice, with_step: bool) -> list[str]:
    """The lines of a row of the matrix."""
    name = escape(line.method) + (r"\textsuperscript{c}" if line.control else "")
    where = f"from {line.source}" if line.source else ""
    if with_step and not line.base:
        where += f", step {line.step}"
    scores = line.scores[at]
    found = [rf"{name} & {' & '.join(_score(score) for score in scores)} \\"]
    bounds = [_bounds(score) for score in scores]
    if where or any(bounds):
        cells = " & ".join(
            rf"\multicolumn{{2}}{{r}}{{\scriptsize {escape(bound)}}}" if bound else " & "
            for bound in bounds
        )
        found.append(rf"\quad {{\scriptsize {escape(where)}}} & {cells} \\[2pt]")
    if line.base:
        found.append(r"\midrule")
    return found


def _bounds(score: Score | Absent) -> str:
    if isinstance(score, Absent):
        return ""
    spread = f"± {number(score.sd)} " if score.sd is not None else ""
    return (spread + interval(score.low, score.high)).strip()


def _score(score: Score | Absent) -> str:
    """Two cells: score and change."""
    if isinstance(score, Absent):
        text = "--" if score.what == "no value" else score.what
        return rf"\multicolumn{{2}}{{c}}{{\emph{{{text}}}}}"
    value = escape(number(score.value))
    if score.own:
        value = rf"\underline{{{value}}}"
    if score.change is None:
        return f"{value} & "
    marks = ("*" if score.significant else "") + (r"\dagger" if score.mark == "worse" else "")
    raised = f"^{{{marks}}}" if marks else ""
    return rf"{value} & ${signed(score.change).replace('−', '-')}{raised}$"


def _leaderboard(board: Leaderboard) -> tuple[list[str], list[list[Cell]]]:
    language = board.language
    label = f"{language.metric} {language.protocol}" if language else None
    header = ["", "method", "distance", "improvement", "net of control", "source / others"]
    header.append("harmed")
    if language is not None:
        header.append(language.metric)
    rows = []
    rank = 0
    for s in board.standings:
        rank += not s.control
        front = r"\textsuperscript{\ensuremath{\diamond}}" if s.pareto else ""
        mark = r"\textsuperscript{c}" if s.control else front
        harmed = f"{s.surely_harmed} surely" if s.surely_harmed else ""
        cells = [
            Cell("" if s.control else str(rank)),
            _heading(_named(s, board), mark),
            Cell(escape(number(s.distance))),
            _estimated(s.mean),
            _estimated(s.net),
            Cell(escape(signed(s.in_domain)), escape(signed(s.transfer))),
            Cell(f"{s.harmed}/{s.compared}", harmed),
        ]
        if label is not None:
            cost = s.cost.get(label)
            rise = "" if s.cost_increase is None else escape(f"{signed(s.cost_increase, 1)} %")
            cells.append(Cell(escape(number(cost[0] if cost else None)), rise))
        rows.append(cells)
    return header, rows


def _named(standing: Standing, board: Leaderboard) -> str:
    several = len({(s.run, s.model) for s in board.standings}) > 1
    return f"{standing.run}/{standing.model}: {standing.method}" if several else standing.method


def _estimated(own: Estimated | None) -> Cell:
    if own is None:
        return Cell("--")
    bounds = interval(*own.interval) if own.interval else ""
    return Cell(escape(signed(own.value)), escape(bounds))


def _text(run: str, label: str, caption: str, table: Rows) -> Iterator[str]:
    """A table of text, a few columns at a time; what is in brackets stands below."""
    header, rows = table
    for first in range(1, len(header), MOST_COLUMNS):
        at = slice(first, first + MOST_COLUMNS)
        cells = [[_heading(row[0]), *(_broken(cell) for cell in row[at])] for row in rows]
        more = f"-{first // MOST_COLUMNS + 1}" if first > 1 else ""
        yield from _tables(run, label + more, caption, [header[0], *header[at]], cells)


def _heading(name: str, mark: str = "") -> Cell:
    """A name with a mark; a long one is broken in two."""
    first, second = _halved(name) if len(name) > MOST_NAME else ("", name)
    if not first:
        return Cell(escape(second) + mark)
    return Cell(escape(first), escape(second) + mark)


def _broken(text: str) -> Cell:
    places = [at for mark in (" [", " (") if (at := text.find(mark)) > 0]
    at = min(places, default=len(text))
    return Cell(escape(text[:at]), escape(text[at:]))


def _tables(
    run: str, label: str, caption: str, header: Sequence[str], rows: Sequence[Sequence[Cell]]
) -> Iterator[str]:
    """Tables of two-line cells; headings of several words are broken in two."""
    left = sum(name in ("", "method") for name in header)
    broken = [_halved(name) for name in header]
    head = [" & ".join(escape(own) for own in line) + r" \\" for line in zip(*broken, strict=True)]
    lines = []
    for row in rows:
        own = [" & ".join(cell.top for cell in row) + r" \\"]
        if any(cell.below for cell in row):
            small = (rf"{{\scriptsize {cell.below}}}" if cell.below else "" for cell in row)
            own.append(" & ".join(small) + r" \\[2pt]")
        lines.append(own)
    spec = "l" * left + "r" * (len(header) - left)
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
    from harness.analysis.matrix_builder import build_matrix
    from harness.analysis.ranking import rank

    return latex_text(build_matrix(store), rank([store])).encode()


LATEX = ExportFormat("latex", "the same for an article (packages booktabs and graphicx)", _content)
