"""The matrix and the leaderboard as LaTeX tables; they need the package booktabs and no other."""

from __future__ import annotations

from collections.abc import Sequence

from harness.leaderboard import Standing
from harness.matrix import Matrix
from harness.render.sheets import (
    LEADERBOARD_NOTE,
    Absent,
    Line,
    Score,
    Sheet,
    interval,
    leaderboard_table,
    matrix_note,
    matrix_sheets,
    number,
    signed,
)

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
    "[": "{[}",
    "]": "{]}",
}

HEAD = r"""% Tables of the run %s, made by `harness export --format latex`.
% In the preamble: \usepackage{booktabs}
"""


def latex_text(matrix: Matrix, standings: Sequence[Standing]) -> str:
    """Table environments to be read by ``\\input``: one a metric, then the leaderboard."""
    parts = [HEAD.replace("%s", " ".join(matrix.name.split()))]
    note = (
        matrix_note(matrix) + "; † further from the ideal; underlined: source and target the same."
    )
    for number_, sheet in enumerate(matrix_sheets(matrix), 1):
        parts.append(_matrix(matrix.name, sheet, number_, note))
    parts.append(_leaderboard(matrix.name, standings))
    for title, reason in matrix.failures:
        parts.append(f"% failed: {_one_line(title)}: {_one_line(reason)}\n")
    return "\n".join(parts)


def escape(text: str) -> str:
    """Make a text safe in LaTeX's text mode; what plain LaTeX lacks becomes a question mark."""
    marked = _one_line(text).replace("†", "\0")
    found = "".join(_SPECIAL.get(c, c if c.isascii() or c in _LATIN else "?") for c in marked)
    return found.replace("\0", r"\ensuremath{\dagger}")


_LATIN = "äöüÄÖÜßàâçéèêëîïôùûñóíáú"


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _matrix(run: str, sheet: Sheet, order: int, note: str) -> str:
    """Two columns a target: the score, and its change with the interval below it."""
    targets = sheet.targets
    spec = "lll" + "rr" * len(targets)
    heads = " & ".join(rf"\multicolumn{{2}}{{c}}{{{escape(target)}}}" for target in targets)
    rules = "".join(rf"\cmidrule(lr){{{4 + 2 * i}-{5 + 2 * i}}}" for i in range(len(targets)))
    below = " & ".join(["score & change"] * len(targets))
    body: list[str] = []
    for line in sheet.lines:
        body += _lines(line)
        if line.base:
            body.append(r"\midrule")
    while body and body[-1] == r"\midrule":
        body.pop()
    return "\n".join(
        [
            r"\begin{table}[t]",
            r"\centering\footnotesize",
            rf"\caption{{{escape(run)}: {escape(sheet.title)}, {escape(sheet.direction)}. "
            rf"{escape(note)}}}",
            rf"\label{{tab:{_label(run)}-{order}}}",
            r"\setlength{\tabcolsep}{3pt}",
            rf"\begin{{tabular}}{{@{{}}{spec}@{{}}}}",
            r"\toprule",
            rf" &  &  & {heads} \\",
            rules,
            rf"debiased by & from & step & {below} \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _lines(line: Line) -> list[str]:
    name = escape(line.method) + (r" \emph{control}" if line.control else "")
    scores = " & ".join(_cell(score) for score in line.scores)
    found = [rf"{name} & {escape(line.source)} & {line.step} & {scores} \\"]
    bounds = [
        interval(score.low, score.high) if isinstance(score, Score) else "" for score in line.scores
    ]
    if any(bounds):
        cells = " & ".join(
            rf" & {{\scriptsize {escape(bound)}}}" if bound else " & " for bound in bounds
        )
        found.append(rf" &  &  & {cells} \\[2pt]")
    return found


def _cell(score: Score | Absent) -> str:
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


def _leaderboard(run: str, standings: Sequence[Standing]) -> str:
    header, rows = leaderboard_table(standings, intervals=False)
    spec = "rp{30mm}" + "r" * (len(header) - 2)
    return "\n".join(
        [
            r"\begin{table}[t]",
            r"\centering\footnotesize",
            rf"\caption{{{escape(run)}: leaderboard. {escape(LEADERBOARD_NOTE)}.}}",
            rf"\label{{tab:{_label(run)}-leaderboard}}",
            r"\setlength{\tabcolsep}{3pt}",
            rf"\begin{{tabular}}{{@{{}}{spec}@{{}}}}",
            r"\toprule",
            " & ".join(escape(name) for name in header) + r" \\",
            r"\midrule",
            *(_standing(row) for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _standing(cells: Sequence[str]) -> str:
    rank, method, *rest = (escape(cell) for cell in cells)
    return " & ".join([rank, rf"\raggedright {method}", *rest]) + r" \\"


def _label(run: str) -> str:
    return "".join(c if c.isalnum() and c.isascii() else "-" for c in run)
