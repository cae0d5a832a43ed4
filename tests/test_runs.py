"""The results of a run as Python objects: they show what the commands show."""

from __future__ import annotations

import csv
import io
import json
import re
import runpy
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from command_line import text_of
from rich.console import Console
from toy_plugins import TOY_SPEC, toy_registry

from harness import DataError, DataStore, Experiment, Run, StoreError, open_run
from harness.analysis.ranking import rank
from harness.analysis.tables import Table
from harness.render.tables.cell_text import row_texts, shown_columns
from harness.testing import save_tiny_model

REPO = Path(__file__).resolve().parent.parent
RESULTS = REPO / "results"


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results with one run of the toy plugins."""
    folder = tmp_path_factory.mktemp("runs")
    data = DataStore(cache_dir=folder / "cache", offline=True)
    Experiment.from_mapping(TOY_SPEC, registry=toy_registry(), data=data, results=folder).run()
    return folder


@pytest.fixture
def run(toy: Path) -> Run:
    """The run, opened by its name."""
    return open_run(str(TOY_SPEC["name"]), results=toy, registry=toy_registry())


def cells_of(tables: list[Table]) -> list[str]:
    """Every number that the tables print, in order."""
    return [
        row_texts(table, row)[k].value
        for table in tables
        for row in table.rows
        for k in shown_columns(table)
        if k >= table.heads
    ]


class _Values(HTMLParser):
    """Collects the texts of elements of the class ``value``, outside of headings."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "span" and ("class", "value") in attrs
        if self._inside:
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[-1] += data


def values_in(html: str) -> list[str]:
    parser = _Values()
    parser.feed(html)
    return parser.texts


def test_a_run_is_opened_by_its_folder_its_name_and_packed(toy: Path, tmp_path: Path) -> None:
    name = str(TOY_SPEC["name"])
    by_name = open_run(name, results=toy)
    assert open_run(toy / name).cells == by_name.cells != ()
    packed = tmp_path / "packed"
    shutil.copytree(toy / name, packed)
    text_of("pack", str(packed))
    assert not list(packed.glob("records/*.json"))
    assert str(open_run(packed).matrix()) == str(by_name.matrix())
    with pytest.raises(StoreError, match=f"did you mean '{name}'"):
        open_run(name + "x", results=toy)


def test_text_is_what_the_commands_print(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    folder = str(run.folder)
    assert str(run.matrix()) == text_of("matrix", folder).rstrip("\n")
    assert repr(run.leaderboard()) == text_of("leaderboard", folder).rstrip("\n")
    assert json.loads(run.matrix().json()) == json.loads(text_of("matrix", folder, "--json"))
    cell = run.cells[0].replace(" / ", "/")
    shown = text_of("show", folder, cell, "--no-text", "--limit", "10")
    assert str(run.changes(cell)) == shown.rstrip("\n")


@pytest.mark.parametrize("width", [60, 100, 180])
def test_rich_shows_the_same_text_in_colour_at_any_width(run: Run, width: int) -> None:
    for result in (run.matrix(), run.leaderboard(), run.changes(run.cells[0])):
        console = Console(file=io.StringIO(), width=width, record=True, color_system=None)
        console.print(result)
        plain = console.export_text(clear=False)
        assert (
            max(map(len, plain.splitlines())) <= width or result.__class__.__name__ != "RunMatrix"
        )
        colour = Console(file=io.StringIO(), width=width, force_terminal=True, _environ={})
        colour.print(result)
        assert isinstance(colour.file, io.StringIO)
        escapes = re.compile(r"\x1b\[[0-9;]*m")
        assert escapes.search(colour.file.getvalue())
        assert escapes.sub("", colour.file.getvalue()).split() == plain.split()


def test_the_ranking_and_the_figures_read_the_matrix_that_is_there(run: Run) -> None:
    assert run.matrix().data is run.matrix().data
    assert run.matrix(correction="holm").data is not run.matrix().data
    assert repr(run.leaderboard().data) == repr(rank([run.store]))


def test_a_notebook_shows_every_cell_of_the_tables() -> None:
    run = open_run(RESULTS / "study-smollm2")
    matrix, board = run.matrix(), run.leaderboard()
    html = matrix._repr_html_()
    assert html is not None
    assert [v for v in values_in(html) if v in set(cells_of(matrix.tables()))]
    for tables, shown in ((matrix.tables(), html), (board.tables(), board._repr_html_())):
        assert shown is not None
        found = values_in(shown)
        for value in cells_of(tables):
            assert value in found
    assert re.search(r'<td class="(better|worse)-\d', html)  # coloured


def test_the_style_of_a_notebook_stays_inside_its_element(run: Run) -> None:
    html = run.matrix()._repr_html_()
    assert html is not None
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert style.strip().startswith(".harness-view {")
    assert style.count("{") == style.count("}")
    depth, outside = 0, ""
    for letter in style:
        depth += (letter == "{") - (letter == "}")
        outside += letter if depth == 0 and letter not in "{}" else ""
    assert outside.split() == [".harness-view"]
    assert ":root" not in style
    assert "<script" not in html


def test_without_jinja_a_notebook_shows_text(run: Run) -> None:
    code = (
        "import sys; sys.modules['jinja2'] = None\n"
        "from harness import open_run\n"
        f"matrix = open_run({str(run.folder)!r}).matrix()\n"
        "assert matrix._repr_html_() is None and 'debiased by' in repr(matrix)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_changes_are_the_items_that_differ(run: Run) -> None:
    for cell in run.cells:
        changes = run.changes(cell)
        items = run.items(cell)
        differing = [item for item in items if item["flipped"] or (
            item["flipped"] is None and item["change"] != 0
        )]  # fmt: skip
        assert len(changes) == len(differing)
        key = ("evaluator", "protocol", "target", "metric", "id")
        assert {tuple(row[k] for k in key) for row in changes.rows()} == {
            tuple(row[k] for k in key) for row in differing
        }
        for item in items:
            assert item["change"] == pytest.approx(item["after"] - item["before"])


def test_sentences_are_read_again_and_their_lack_costs_no_scores(tmp_path: Path) -> None:
    run = open_run(RESULTS / "study-smollm2", data=DataStore(cache_dir=tmp_path, offline=True))
    cell = next(cell for cell in run.cells if "hate" in cell)
    changes = run.changes(cell, sentences=True)
    assert len(changes) > 0
    shown = changes.texts.keys() | changes.missing.keys()
    assert {
        (c.column.evaluator, c.column.domain) for c in changes.data.columns if c.changed
    } == shown
    assert re.search(r"before +after +moved", str(changes))


def test_a_data_frame_has_the_rows_of_the_csv(run: Run) -> None:
    pandas = pytest.importorskip("pandas")
    frame = run.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    rows = list(csv.DictReader(io.StringIO(text_of("export", str(run.folder)))))
    assert list(frame.columns) == list(rows[0])
    assert len(frame) == len(rows)
    assert [str(v) for v in frame["target"]] == [row["target"] for row in rows]
    known = [(v, row["value"]) for v, row in zip(frame["value"], rows, strict=True) if row["value"]]
    assert all(v == float(text) for v, text in known)


def test_without_pandas_one_line_says_what_to_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(DataError, match="pip install pandas"):
        run.to_pandas()


def test_in_a_notebook_text_is_returned_and_not_displayed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("rich.jupyter.display", lambda *shown: pytest.fail("displayed"))
    assert "debiased by" in repr(run.matrix())
    png = run.figure(next(iter(run.figures)).name)._repr_png_()
    assert png is not None
    assert png.startswith(b"\x89PNG")


def test_figures_are_objects(run: Run) -> None:
    names = [figure.name for figure in run.figures]
    assert names
    figure = run.figure(names[0])
    assert figure.files(("svg",))["svg"].startswith(b"<?xml")
    assert type(figure.matplotlib()).__module__ == "matplotlib.figure"
    with pytest.raises(DataError, match=f"known: {re.escape(names[0])}"):
        run.figure("nope")


def test_the_notebook_is_current_and_its_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cells are those of the script, were executed without an error, and run again."""
    notebook = json.loads((REPO / "docs" / "notebook.ipynb").read_text("utf-8"))
    module = runpy.run_path(str(REPO / "docs" / "_site" / "notebook.py"))
    stored = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    assert stored == module["cells"]()
    outputs = [out for cell in notebook["cells"] for out in cell.get("outputs", ())]
    assert {out["output_type"] for out in outputs} == {"stream", "execute_result"}
    assert {out["name"] for out in outputs if out["output_type"] == "stream"} == {"stdout"}
    kinds = [set(out["data"]) for out in outputs if "data" in out]
    assert kinds == [{"text/html", "text/plain"}] * 3 + [{"image/png", "text/plain"}]
    assert 'class="harness-view"' in "".join(outputs[2]["data"]["text/html"])
    monkeypatch.chdir(tmp_path)
    save_tiny_model(tmp_path / "tiny")  # in place of the real model, which takes 40 s of CPU
    smaller = {
        "    source=": '    model={"use": "hf", "id": "tiny"},\n    source=',
        '"embedded-perplexity"': '{"use": "embedded-perplexity", "window": 32}',
    }
    code = "\n\n".join(source for kind, source in stored if kind == "code")
    for before, after in smaller.items():
        assert code.count(before) == 1
        code = code.replace(before, after)
    names: dict[str, Any] = {}
    exec(compile(code, "notebook", "exec"), names)
    assert not names["outcome"].failures
    assert names["rows"]
