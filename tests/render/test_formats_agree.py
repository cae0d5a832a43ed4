"""One table, five formats: the same numbers, marks and words in every cell.

The expected numbers are formatted here from the typed cells, by nothing that the formats use; each
format's output is parsed back and compared row by row.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from made_runs import make_run

from harness.analysis.leaderboard_tables import board_tables
from harness.analysis.matrix_builder import matrix_of
from harness.analysis.matrix_tables import matrix_tables
from harness.analysis.ranking import rank
from harness.analysis.tables import Table, TableCell, TableColumn, TableRow
from harness.cli.main import cli
from harness.storage.store import Store

SHAPES: dict[str, dict[str, Any]] = {
    "controls": {"maskers": ("wordlist", "random"), "fail": {("race", 30)}, "lean": 0.8},
    "several fits": {"seeds": range(4), "maskers": ("wordlist", "random"), "lean": 0.8},
    "base at its ideal": {"lean": 0.0, "sources": ("gender",)},
    "failures": {"fail": {("race", 30)}, "lean": 0.8, "steps": (20, 30)},
}


@pytest.fixture(scope="module", params=SHAPES)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_run(tmp_path_factory.mktemp("agree"), **SHAPES[request.param])


@pytest.fixture(scope="module")
def tables(run: Store) -> list[Table]:
    found = [*matrix_tables(matrix_of(run)), *board_tables(rank([run]))]
    assert {"matrix", "leaderboard"} <= {table.key for table in found}
    return [table for table in found if table.rows]


# -- what a cell must say --------------------------------------------------------------------


def plain(text: str) -> str:
    """A text with ordinary minus signs and without the signs that mark no number."""
    return text.replace("−", "-").replace("±", " ").replace("+", "").replace("–", " ")


def numbers(text: str) -> list[str]:
    return re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", plain(text))


def fixed(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def expected(row: TableRow, cell: TableCell, column: TableColumn) -> tuple[list[str], list[str]]:
    """The numbers of a cell and those of its interval, from the typed cell alone."""
    if cell.absent or column.form == "text":
        return [], []
    if column.form == "rank":
        found = [cell.rank] if cell.rank is not None else []
        span = [] if cell.rank_low is None else [cell.rank_low, cell.rank_high]
        if found and cell.rank_low == cell.rank_high:
            span = []
        return [str(n) for n in (*found, *span)], []
    if column.form == "count":
        counts = [cell.count, cell.total, cell.certain if cell.total is not None else None]
        return [str(n) for n in counts if n is not None], []
    main = [cell.value, cell.change if column.form in ("score", "cost") else None]
    if column.form in ("score", "effect", "cost") and (
        column.form == "effect" or cell.change is not None
    ):
        main.append(cell.spread)
    digits = column.digits
    detail = cell.interval if row.kind != "detectable" and cell.interval is not None else ()
    if column.form in ("score", "cost") and cell.change is None:
        detail = ()
    return [fixed(v, digits) for v in main if v is not None], [fixed(v, digits) for v in detail]


MARKS = {"better": "✓", "worse": "✗", "undefined": "~", "same": ""}


def marks(cell: TableCell, column: TableColumn) -> str:
    if cell.absent or column.form not in ("score", "effect"):
        return ""
    if column.form == "score" and cell.change is None:
        return ""
    return MARKS[cell.mark] + ("*" if cell.significant else "")


def body(table: Table) -> Iterator[tuple[TableRow, list[tuple[TableCell, TableColumn]]]]:
    for row in table.rows:
        pairs = zip(row.cells, table.columns, strict=True)
        yield row, [pair for k, pair in enumerate(pairs) if k >= table.heads]


def export(run: Store, name: str) -> str:
    result = CliRunner().invoke(cli, ["export", str(run.folder), "--format", name])
    assert result.exit_code == 0, result.output
    return result.stdout


# -- the formats -----------------------------------------------------------------------------


def test_csv_has_every_digit_of_every_cell(run: Store, tables: list[Table]) -> None:
    rows = csv.DictReader(io.StringIO(export(run, "cells")))
    for table in tables:
        for row, cells in body(table):
            for cell, _ in cells:
                found = next(rows)
                assert (found["table"], found["method"], found["source"]) == (
                    table.key, row.method, row.source,
                )  # fmt: skip
                low, high = cell.interval if cell.interval is not None else (None, None)
                for name, value in (
                    *((n, getattr(cell, n)) for n in ("value", "change", "p", "improvement")),
                    ("interval_low", low), ("interval_high", high),
                ):  # fmt: skip
                    assert found[name] == ("" if value is None else repr(float(value)))
                assert found["mark"] == cell.mark
                assert found["absent"] == cell.absent
    assert next(rows, None) is None


def test_markdown_says_the_same(run: Store, tables: list[Table]) -> None:
    text = export(run, "markdown").replace(r"\|", "")
    blocks = [
        [re.sub(r"</?u>|\\", "", line) for line in block.splitlines()]
        for block in text.split("\n\n")
        if block.startswith("|")
    ]
    assert len(blocks) == len(tables)
    for table, (header, _, *lines) in zip(tables, blocks, strict=True):
        assert len(lines) == len(table.rows)
        width = len(table.columns) - table.heads
        assert header.count("|") - 1 >= width
        for (row, cells), line in zip(body(table), lines, strict=True):
            shown = [part.strip() for part in line.strip("|").split("|")]
            assert row.method in shown[0] + shown[1]
            for (cell, column), part in zip(cells, shown[-width:], strict=True):
                main, detail = expected(row, cell, column)
                assert numbers(part) == [*main, *detail], (row.method, column.title)
                assert marks(cell, column) in part
                assert cell.absent in part


def test_the_page_says_the_same(run: Store, tables: list[Table]) -> None:
    out = run.folder / "page.html"
    result = CliRunner().invoke(cli, ["report", str(run.folder), "--out", str(out)])
    assert result.exit_code == 0, result.output
    text = out.read_text("utf-8")
    parts = [
        text.split(f'<section id="{name}"')[1].split("</section>")[0].split("<details>")[0]
        for name in ("matrix", "leaderboard")
    ]
    found = [table for part in parts for table in HtmlTables.of(part)]
    assert len(found) == len(tables)
    for table, lines in zip(tables, found, strict=True):
        width = len(table.columns) - table.heads
        assert len(lines) == len(table.rows)
        for (row, cells), shown in zip(body(table), lines, strict=True):
            assert row.method in " ".join(shown[:2])
            for (cell, column), part in zip(cells, shown[-width:], strict=True):
                main, detail = expected(row, cell, column)
                words = re.sub(r"p [=<] [\d.]+", "", part)
                assert numbers(words) == [*main, *detail], (row.method, column.title)
                assert marks(cell, column) in part
                assert cell.absent in part


class HtmlTables(HTMLParser):
    """The body cells of the tables of a piece of HTML, as texts."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self._in_body = self._in_cell = False

    @classmethod
    def of(cls, text: str) -> list[list[list[str]]]:
        parser = cls()
        parser.feed(text)
        return parser.tables

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tbody":
            self.tables.append([])
            self._in_body = True
        elif tag == "tr" and self._in_body:
            self.tables[-1].append([])
        elif tag in ("td", "th") and self._in_body:
            self.tables[-1][-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "tbody":
            self._in_body = False
        elif tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.tables[-1][-1][-1] += data


def by_row(table: Table) -> list[tuple[list[str], list[str], str]]:
    """Numbers of the cells, those of the intervals, and marks of each row."""
    found = []
    for row, cells in body(table):
        both = [expected(row, cell, column) for cell, column in cells]
        found.append(
            (
                [n for main, _ in both for n in main],
                [n for _, detail in both for n in detail],
                "".join(marks(cell, column) for cell, column in cells),
            )
        )
    return found


def test_latex_says_the_same(run: Store, tables: list[Table]) -> None:
    text = export(run, "latex")
    labels = re.findall(r"\\label\{tab:made-run-([a-z0-9-]+)\}", text)
    bodies = re.findall(r"\\midrule\n(.*?)\\bottomrule", text, re.DOTALL)
    assert len(labels) == len(bodies)
    order = 0
    for table in tables:
        order += table.key == "matrix"
        name = str(order) if table.key == "matrix" else table.key
        own = [b for k, b in zip(labels, bodies, strict=True) if re.fullmatch(rf"{name}(-\d+)*", k)]
        assert own, labels
        rows = latex_rows(own)
        want = by_row(table)
        heads = [k for k in range(table.heads) if table.columns[k].form == "rank"]
        ranks = [
            [n for k in heads for n in expected(r, r.cells[k], table.columns[k])[0]]
            for r in table.rows
        ]
        main = [n for row, found in zip(ranks, want, strict=True) for n in (*row, *found[0])]
        detail = [n for found in want for n in found[1]]
        assert sorted(n for line in rows for n in numbers(line)) == sorted(
            [*main, *detail, *repeated(ranks, len(own), len(table.rows))]
        )


def repeated(ranks: Sequence[Sequence[str]], parts: int, rows: int) -> list[str]:
    """Ranks stand in each part of a table that is split by its columns."""
    per_part = -(-rows // 15)
    return [n for row in ranks for n in row] * (parts // per_part - 1)


def latex_rows(bodies: Sequence[str]) -> list[str]:
    """Lines of LaTeX without the names that head them, and without commands."""
    found = []
    for line in "\n".join(bodies).splitlines():
        text = re.sub(r"\\textsuperscript\{[^{}]*\}|\\\\(\[2pt\])?|\\midrule", "", line)
        cells = text.split(" & ")
        parts = [re.sub(r"from [\w-]+(, step \d+)?|step \d+", "", cell) for cell in cells]
        parts = [p for p in parts if "wordlist" not in p and "random" not in p]
        parts = [re.sub(r"tiny\\?_1|\d+ fits?", "", p) for p in parts]
        shown = " ".join(parts)
        shown = re.sub(r"\\ensuremath\{-\}", "-", shown)
        found.append(re.sub(r"\\[a-zA-Z]+|[{}$^\\%]", " ", shown))
    return found


@pytest.mark.parametrize("width", [300])
def test_the_console_says_the_same(run: Store, tables: list[Table], width: int) -> None:
    env = {"COLUMNS": str(width)}
    shown = CliRunner().invoke(cli, ["matrix", str(run.folder), "--intervals"], env=env)
    board = CliRunner().invoke(cli, ["leaderboard", str(run.folder)], env=env)
    assert shown.exit_code == board.exit_code == 0, shown.output + board.output
    text = {"matrix": shown.output, "other": board.output}
    for table in tables:
        lines = console_rows(text["matrix" if table.key == "matrix" else "other"], table)
        want = by_row(table)
        assert len(lines) == len(want), table.title
        for row, (main, detail, found), (first, second) in zip(table.rows, want, lines,
                                                               strict=True):  # fmt: skip
            ranks = [n for k in range(table.heads) if table.columns[k].form == "rank"
                     for n in expected(row, row.cells[k], table.columns[k])[0]]  # fmt: skip
            assert numbers(first) == [*ranks, *main], row.method
            assert numbers(second) == detail, row.method
            assert "".join(re.findall(r"[✓✗~*]", first)) == found


def console_rows(text: str, table: Table) -> list[tuple[str, str]]:
    """The lines of a table without the names that head them, each with the line below it."""
    lines = text.splitlines()
    titles = [k for k, line in enumerate(lines) if line.startswith(table.title)]
    title = next(k for k in titles if lines[k + 1] == "")
    start = next(k for k in range(title, len(lines)) if "───" in lines[k]) + 1
    end = next(k for k in range(start, len(lines)) if not lines[k].strip())
    found: list[tuple[str, str]] = []
    for line in lines[start:end]:
        row = table.rows[len(found)] if len(found) < len(table.rows) else None
        if row is None or row.method not in line:
            found[-1] = (found[-1][0], f"{found[-1][1]} {line}")
            continue
        head, _, rest = line.partition(row.method)
        rest = re.sub(r"^(\s*◆)?(\s*control)?", "", rest)
        if table.key == "matrix":
            step = rf"(\s+{row.step})?" if table.several_steps else ""
            rest = re.sub(rf"^\s*{re.escape(row.source)}{step}(?=\s)", "", rest)
        found.append((f"{head} {rest}", ""))
    return found


def test_the_grids_of_console_and_page_are_the_same(run: Store, tmp_path: Path) -> None:
    shown = CliRunner().invoke(cli, ["matrix", str(run.folder), "--short"], env={"COLUMNS": "300"})
    out = tmp_path / "page.html"
    CliRunner().invoke(cli, ["report", str(run.folder), "--out", str(out)])
    answer = out.read_text("utf-8").split('<section id="answer"')[1].split("</section>")[0]
    answer = answer.split("<details>")[0]
    grid = [cell for table in HtmlTables.of(answer) for row in table for cell in row[1:]]
    printed = shown.output.split("from \\ to", 1)[1].split("bold and *")[0]
    words = re.findall(r"~?[+−]?\d+\.\d\*?|failed|not run", printed)
    assert sorted(words) == sorted(cell.replace("\u2009", "") for cell in grid if cell != "–")
