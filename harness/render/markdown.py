"""The matrix and the leaderboard as GitHub-flavoured Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.leaderboard import Standing
from harness.matrix import Matrix
from harness.render.sheets import (
    LEADERBOARD_NOTE,
    Absent,
    Score,
    interval,
    leaderboard_table,
    matrix_note,
    matrix_sheets,
    number,
    signed,
)

MARKS = {"better": " ▲", "worse": " ▼", "same": ""}


def markdown_text(matrix: Matrix, standings: Sequence[Standing]) -> str:
    """A document: the matrix of each metric, the leaderboard, notes and failures."""
    parts = [f"# {_escape(matrix.name)}", "## Transfer matrix"]
    for sheet in matrix_sheets(matrix):
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
        parts.append(f"**{_escape(sheet.title)}**, {sheet.direction}")
        parts.append(_table([_escape(name) for name in header], rows, left=2))
    parts.append(
        _escape(matrix_note(matrix))
        + "; ▲ nearer to the ideal, ▼ further from it; underlined: source and target the same."
    )
    parts += [_escape(note) for note in matrix.notes]
    if matrix.failures:
        parts.append("## Failed")
        parts.append(
            "\n".join(f"- {_escape(title)}: {_escape(reason)}" for title, reason in matrix.failures)
        )
    header, cells = leaderboard_table(standings)
    parts.append("## Leaderboard")
    parts.append(
        _table([_escape(h) for h in header], [[_escape(c) for c in r] for r in cells], left=2)
    )
    parts.append(_escape(LEADERBOARD_NOTE) + ".")
    return "\n\n".join(parts) + "\n"


def _cell(score: Score | Absent) -> str:
    if isinstance(score, Absent):
        return "–" if score.what == "no value" else score.what
    if score.change is None:
        return number(score.value)
    inside = " ".join(filter(None, (signed(score.change), interval(score.low, score.high))))
    star = r"\*" if score.significant else ""
    text = f"{number(score.value)} ({inside}){MARKS[score.mark]}{star}"
    return f"<u>{text}</u>" if score.own else text


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> str:
    """A pipe table; the first ``left`` columns are flush left, the others flush right."""
    rule = ["---" if i < left else "---:" for i in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def _escape(text: str) -> str:
    """Make a text safe in a table and free of accidental markup."""
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", " ".join(text.split()))
