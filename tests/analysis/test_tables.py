"""Typed tables: every format shows the same cells, ranks, marks and legends."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from command_line import invoke, rows, text_of
from made_runs import make_run

from harness.analysis.comparison_tables import comparison_tables
from harness.analysis.leaderboard import Leaderboard, Standing
from harness.analysis.leaderboard_columns import BOARD_COLUMNS, BoardColumn
from harness.analysis.leaderboard_tables import board_tables
from harness.analysis.matrix_builder import matrix_of
from harness.analysis.matrix_tables import matrix_tables
from harness.analysis.ranking import rank
from harness.analysis.run_comparison import compare
from harness.analysis.step_curves import RunCurves
from harness.analysis.tables import Table
from harness.analysis.verdict import verdict
from harness.render.exports.latex import escape, latex_text
from harness.render.exports.markdown import markdown_text
from harness.render.tables.cell_text import CellText, column_title, row_texts
from harness.storage.cells import MethodNames
from harness.storage.reader import RunReader
from harness.storage.store import Store

FIVE = (10, 20, 30, 40, 50)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two methods and a control, several fits, five steps, a failed checkpoint."""
    return make_run(
        tmp_path_factory.mktemp("run"),
        maskers=("wordlist", "random"),
        seeds=(0, 1, 2),
        steps=FIVE,
        fail={("race", 50)},
        lean=0.8,
        items=80,
    )


def tables_of(run: Store) -> list[Table]:
    return [*matrix_tables(matrix_of(run)), *board_tables(rank([run]))]


def shown_cells(table: Table) -> list[tuple[str, CellText]]:
    """Method and text of each cell behind the headings."""
    return [
        (row.method, text)
        for row in table.rows
        for column, text in zip(table.columns, row_texts(table, row), strict=True)
        if column.form != "text"
    ]


class _Cells(HTMLParser):
    """The text of every table cell of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[list[str]] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th") and self.cells:
            self.cells[-1].append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.cells[-1][-1] += data


def plain(text: str) -> str:
    """Letters, digits and signs only, so that layout does not count."""
    return re.sub(r"[\s\u2009\u00a0]+", "", text)


def test_every_format_shows_every_cell(run: Store) -> None:
    """Console, Markdown, LaTeX, HTML and JSON, cell by cell."""
    matrix, board = matrix_of(run), rank([run])
    markdown = markdown_text(matrix, board)
    latex = plain(latex_text(matrix, board))
    console = plain(
        text_of("matrix", run.folder, width=100) + text_of("leaderboard", run.folder, width=100)
    )
    page = run.folder / "page.html"
    assert invoke("report", run.folder, "--out", page).exit_code == 0
    parser = _Cells()
    parser.feed(page.read_text("utf-8"))
    html = {plain(cell) for row in parser.cells for cell in row}
    listed = json.loads(text_of("leaderboard", run.folder, "--json"))["tables"]
    count = 0
    for table in tables_of(run):
        for _, text in shown_cells(table):
            if not text.main:
                continue
            count += 1
            cell = text.joined().replace("~", r"\~").replace("*", r"\*")
            assert cell.replace("[", r"\[").replace("]", r"\]") in markdown
            assert plain(text.main + text.marks) in console
            assert plain(escape(text.main)) in latex
            assert plain(escape(text.detail)) in latex
            assert any(plain(text.main) in cell for cell in html), text
            if text.detail:
                assert any(plain(text.main) in c and plain(text.detail) in c for c in html), text
    assert count >= 60
    for table, found in zip(board_tables(board), listed, strict=True):
        assert found["title"] == table.title
        for row, plain_row in zip(table.rows, found["rows"], strict=True):
            for cell, plain_cell in zip(row.cells, plain_row["cells"], strict=True):
                assert plain_cell.get("value") == pytest.approx(cell.value)
                assert plain_cell.get("rank") == cell.rank


def test_every_format_has_every_header_and_legend(run: Store) -> None:
    matrix, board = matrix_of(run), rank([run])
    texts = {
        "markdown": plain(markdown_text(matrix, board).replace("\\", "").replace("<br>", "")),
        "console": plain(text_of("matrix", run.folder) + text_of("leaderboard", run.folder)),
        "latex": plain(latex_text(matrix, board)),
    }
    for table in tables_of(run):
        for line in (*table.legend, *table.notes):
            assert plain(line) in texts["markdown"]
            assert plain(line) in texts["console"]
            assert plain(escape(line)) in texts["latex"]
        for column in table.columns:
            for word in column_title(table, column).split():
                assert plain(word) in texts["console"]
                assert plain(escape(word)) in texts["latex"]


def test_ranks_are_the_same_in_every_format_and_none_for_what_failed(tmp_path: Path) -> None:
    """One ranking: a failed method has no rank anywhere, nor has one over its budget."""
    store = make_run(
        tmp_path, methods=("good", "broken"), sources=("gender",), lean=0.9, items=200,
    )  # fmt: skip
    index = store.index()
    broken = [c for c in index.cells if c.debiaser == "broken"]
    for cell in broken:
        for ref in cell.measures:
            if ref.step > 0:
                (store.folder / "records" / f"{ref.key}.json").unlink()
    board = rank([store])
    ranks = {s.method: s.rank for s in board.standings}
    assert ranks["broken + wordlist"].value is None
    assert "no bias score is measured" in ranks["broken + wordlist"].reason
    for text in (
        markdown_text(matrix_of(store), board),
        latex_text(matrix_of(store), board),
        text_of("leaderboard", store.folder),
    ):
        lines = [line for line in text.splitlines() if "broken" in line and "not run" in line]
        assert all(not re.search(r"(^|\|)\s*\d+\s*(&|\|)", line) for line in lines)
    over = rank([store], budget=0.0)
    assert all(s.rank.value is None for s in over.standings)
    (cell,) = [
        row.cells[0]
        for table in board_tables(over)[:1]
        for row in table.rows
        if row.method == "good + wordlist"
    ]
    assert cell.text == "over"


def test_a_leaderboard_column_is_one_entry(run: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new entry of `BOARD_COLUMNS`, with a statistic of its own, shows in every format."""
    from harness.analysis import leaderboard_tables
    from harness.analysis.tables import TableCell

    def worst(standing: Standing, board: Leaderboard) -> TableCell:
        gains = [e.improvement for _, e in standing.scores if e.improvement is not None]
        return TableCell(value=min(gains))

    extra = BoardColumn("worst", "worst score", "the smallest improvement", worst, "number")
    monkeypatch.setattr(leaderboard_tables, "BOARD_COLUMNS", (*BOARD_COLUMNS, extra))
    board, matrix = rank([run]), matrix_of(run)
    (table,) = [t for t in board_tables(board) if t.key == "leaderboard"]
    position = table.column("worst")
    names = MethodNames(row.cell for row in matrix.rows)
    for shown in table.rows:
        gains = [
            entry.improvement
            for row in matrix.pooled
            if names.name(row.cell) == shown.method
            for entry in row.entries
            if entry.column in matrix.endpoints and entry.improvement is not None
        ]
        assert shown.cells[position].value == min(gains)
    for text in (
        markdown_text(matrix, board),
        latex_text(matrix, board),
        rows(text_of("leaderboard", run.folder)),
    ):
        assert "worst score: the smallest improvement" in text


def test_a_correction_is_one_entry(run: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.analysis.corrections import CORRECTIONS, Correction

    none = Correction(
        "plain", "no", "nothing", "-", lambda p: list(p), lambda alpha, tests, found: alpha
    )
    monkeypatch.setitem(CORRECTIONS, "plain", none)
    matrix = matrix_of(run, correction="plain")
    tested = [e for row in matrix.pooled for e in row.entries if e.p is not None]
    assert tested
    assert all(e.adjusted_p == e.p for e in tested)
    (table, *_) = matrix_tables(matrix)
    assert any("after no correction" in line for line in table.legend)


def test_methods_have_one_name_everywhere(tmp_path: Path) -> None:
    """In the matrix, the leaderboard, the nets and the page."""
    store = make_run(tmp_path)
    index = store.index()
    again = [
        c.model_copy(update={"label": "non-hateful", "control_kind": "texts"})
        for c in index.cells
        if c.debiaser == "mlm-unlearning"
    ]
    renamed = [c.model_copy(update={"fit_key": f"{c.fit_key}9"}) for c in again]
    store.write_index(index.model_copy(update={"cells": (*index.cells, *renamed)}))
    name = "mlm-unlearning + wordlist (non-hateful)"
    matrix, board = matrix_of(store), rank([store])
    assert any(row.method == name for t in matrix_tables(matrix) for row in t.rows)
    assert any(s.method == name for s in board.standings)
    assert any(net.control == name for s in board.standings for net in s.nets)
    assert board.control == name


def test_comparison_tables_hold_what_the_command_shows(tmp_path: Path) -> None:
    one = make_run(tmp_path, name="one", lean=0.8)
    two = make_run(tmp_path, name="two", steps=(10, 60), lean=0.8)
    text = plain(text_of("compare", one.folder, two.folder))
    for table in comparison_tables(compare(one, two)):
        assert plain(table.title) in text
        for _, cell in shown_cells(table):
            assert plain(cell.main + cell.marks) in text
            assert plain(cell.detail) in text


def test_the_verdict_counts_what_the_tables_star(run: Store) -> None:
    """No sentence says that nothing is significant above starred cells."""
    matrix = matrix_of(run)
    found = verdict(matrix)
    stars = {"source": 0, "elsewhere": 0}
    for table in matrix_tables(matrix):
        for row in table.rows:
            for cell in row.cells[table.heads :]:
                if table.role == "bias" and row.kind == "method" and cell.significant:
                    stars["source" if cell.own else "elsewhere"] += 1
    counted = {m.where: m.better + m.worse + m.undefined for m in found.moved}
    assert counted == stars
    assert sum(stars.values()) > 0
    assert found.cost is not None
    assert found.text in rows(markdown_text(matrix, rank([run])).replace("\\", ""))


def test_a_verdict_on_several_methods_counts_methods_and_names_them(tmp_path: Path) -> None:
    """A count of scores pooled over methods is never the headline."""
    store = make_run(
        tmp_path, methods=("one", "other"), maskers=("wordlist", "random"), seeds=range(4), lean=0.9
    )
    matrix = matrix_of(store)
    found = verdict(matrix)
    starred: dict[str, set[tuple[str, str]]] = {}
    for row in matrix.pooled:
        if row.cell.control_kind is None:
            own = starred.setdefault(matrix.names.name(row.cell), set())
            for entry in row.entries:
                if entry.role == "bias" and entry.significant:
                    where = "source" if entry.column.domain == row.cell.source else "elsewhere"
                    own.add((where, entry.mark))
    assert len(starred) == found.methods == 4
    for changed in found.changed:
        assert changed.methods == 4
        for mark in ("better", "worse", "undefined"):
            names = {name for name, own in starred.items() if (changed.where, mark) in own}
            assert set(getattr(changed, mark)) == names
    assert any(changed.better for changed in found.changed)
    headline = found.text.split(". ")[0]
    assert " of 4 methods brought a bias score nearer to the ideal (one + wordlist" in headline
    assert "bias scores changed" not in headline


def test_a_rank_needs_an_improvement_over_doing_nothing(tmp_path: Path) -> None:
    """A method worse than `identity` has neither rank nor front."""
    store = make_run(tmp_path, sources=("gender",), targets=("gender",), lean=-0.9, items=200)
    board = rank([store])
    (method,) = (s for s in board.standings if not s.control)
    assert method.improvement is not None
    assert method.improvement.value < 0
    assert method.rank.value is None
    assert method.rank.reason == "no nearer to the ideal than doing nothing"
    assert not method.pareto


def test_runs_with_other_limits_are_not_ranked_together(tmp_path: Path) -> None:
    one = make_run(tmp_path, name="one", lean=0.9, maskers=("wordlist", "random"))
    two = make_run(tmp_path, name="two", lean=0.9, items=20, steps=(4,))
    board = rank([one, two])
    assert {s.rank.value for s in board.standings if s.run == "two"} == {None}
    assert all("other limits" in s.rank.reason for s in board.standings
               if s.run == "two" and not s.control)  # fmt: skip
    text = rows(text_of("leaderboard", one.folder, two.folder))
    assert "steps is [10, 20, 30] in one and [4] in two" in text
    assert "items of stereotype_score" in text
    only = rank([one, two], only_comparable=True)
    assert {s.run for s in only.standings} == {"one"}
    assert only.left_out == ("two",)
    same = rank([one, make_run(tmp_path, name="three", lean=0.9)])
    assert not same.differences


def test_one_control_a_column(tmp_path: Path) -> None:
    """The column names its control, and each value is net of just that."""
    store = make_run(tmp_path, methods=("a-method", "b-method"), lean=0.9)
    index = store.index()
    noise = [
        c.model_copy(update={"debiaser": "noise", "control_kind": "change",
                             "fit_key": f"{c.fit_key}5"})
        for c in index.cells if c.debiaser == "b-method"
    ]  # fmt: skip
    store.write_index(index.model_copy(update={"cells": (*index.cells, *noise)}))
    board = rank([store])
    assert board.control == "noise + wordlist"
    assert {s.net.control for s in board.standings if s.net} == {"noise + wordlist"}
    (table,) = [t for t in board_tables(board) if t.key == "leaderboard"]
    assert table.columns[table.column("net")].title == "net of noise + wordlist"


def test_figure_and_leaderboard_use_one_cost(tmp_path: Path) -> None:
    """The dose and other metrics of no domain are not taken for the language cost."""
    store = make_run(tmp_path, evaluators=("neutral-kl", "pairs", "wikitext2-perplexity"), lean=0.8)
    matrix = matrix_of(store)
    plot = RunCurves(RunReader(store), matrix).trade_off
    board = rank([store])
    assert plot is not None
    assert board.language is not None
    assert board.dose is not None
    assert plot.metric.startswith(f"{board.language.metric} ({board.language.evaluator}")
    assert board.dose.metric not in plot.metric
    assert verdict(matrix).cost is not None
