"""The matrix and the leaderboard as GitHub-flavoured Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.analysis.leaderboard import Leaderboard
from harness.analysis.matrix import Matrix
from harness.render.exports.export_format import ExportFormat, ExportOptions
from harness.render.safe_text import one_line
from harness.render.tables.leaderboard_table import (
    LEADERBOARD_NOTE,
    NETS_NOTE,
    SEEDS_NOTE,
    Rows,
    controls_note,
    leaderboard_table,
    matched_note,
    matched_table,
    nets_table,
    seeds_table,
)
from harness.render.tables.matrix_table import ANY_NOTE, Absent, Score, matrix_note, matrix_sheets
from harness.render.tables.numbers import interval, number, signed
from harness.render.tables.rows import SMALLEST
from harness.storage.store import Store

MARKS = {"better": " ▲", "worse": " ▼", "same": ""}


def markdown_text(matrix: Matrix, board: Leaderboard) -> str:
    """A document: the matrix of each metric, the leaderboard, notes and failures."""
    parts = [f"# {_escape(matrix.name)}", "## Transfer matrix"]
    sheets = matrix_sheets(matrix)
    for sheet in sheets:
        header = ["debiased by", "from", "step", *sheet.targets]
        rows = [
            [
                _escape(line.method) + (" *(control)*" if line.control else ""),
                _escape(line.source),
                str(line.step),
                *(_cell(score) for score in line.scores),
            ]
            for line in sheet.lines
        ]
        if any(sheet.smallest):
            least = [f"±{number(own)}" if own else "" for own in sheet.smallest]
            rows.append([SMALLEST, "", "", *least])
        parts.append(f"**{_escape(sheet.title)}**, {sheet.direction}")
        parts.append(_table([_escape(name) for name in header], rows, left=2))
    parts.append(
        _escape(matrix_note(matrix))
        + "; ▲ nearer to the ideal, ▼ further from it; underlined: source and target the same"
        + (f"; {ANY_NOTE}." if any(sheet.anywhere for sheet in sheets) else ".")
    )
    parts += [_escape(note) for note in matrix.notes]
    if matrix.failures:
        parts.append("## Failed")
        parts.append(
            "\n".join(f"- {_escape(title)}: {_escape(reason)}" for title, reason in matrix.failures)
        )
    parts.append("## Leaderboard")
    parts.append(_board(leaderboard_table(board), left=2))
    notes = [LEADERBOARD_NOTE, controls_note(board)]
    parts.append(_escape("; ".join(note for note in notes if note)) + ".")
    for title, table, note in (
        ("Net of each control", nets_table(board), NETS_NOTE),
        ("Over seeds", seeds_table(board), SEEDS_NOTE),
        ("At the same language ability", matched_table(board), matched_note(board)),
    ):
        if table is not None:
            parts += [f"### {title}", _board(table, left=1), _escape(note) + "."]
    return "\n\n".join(parts) + "\n"


def _board(table: Rows, *, left: int) -> str:
    header, rows = table
    escaped = [[_escape(cell) for cell in row] for row in rows]
    return _table([_escape(name) for name in header], escaped, left=left)


def _cell(score: Score | Absent) -> str:
    if isinstance(score, Absent):
        return "–" if score.what == "no value" else score.what
    if score.change is None:
        return number(score.value)
    change = signed(score.change) + (f" ± {number(score.sd)}" if score.sd is not None else "")
    inside = " ".join(filter(None, (change, interval(score.low, score.high))))
    star = r"\*" if score.significant else ""
    text = f"{number(score.value)} ({inside}){MARKS[score.mark]}{star}"
    return f"<u>{text}</u>" if score.own else text


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> str:
    """A pipe table; the first ``left`` columns are flush left, the others flush right."""
    rule = ["---" if i < left else "---:" for i in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def _escape(text: str) -> str:
    """Make a text safe in a table and free of accidental markup."""
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", one_line(text))


def _content(store: Store, options: ExportOptions) -> bytes:
    from harness.analysis.matrix_builder import build_matrix
    from harness.analysis.ranking import rank

    return markdown_text(build_matrix(store), rank([store])).encode()


MARKDOWN = ExportFormat(
    "markdown", "the matrix and the leaderboard as GitHub-flavoured tables", _content
)
