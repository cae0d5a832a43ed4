"""Exports: tidy rows that agree with the records, tables that escape, golden files.

``HARNESS_WRITE_GOLDEN=1 pytest tests/render/test_export.py`` writes the golden files anew.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_runs import make_run

from harness.analysis import long_table
from harness.analysis.long_table import COLUMNS, tidy_rows
from harness.analysis.matrix_builder import matrix_of
from harness.analysis.ranking import rank
from harness.cli.main import cli
from harness.errors import HarnessError, StoreError
from harness.render.exports import FORMATS as TEXT_FORMATS
from harness.render.exports.latex import escape, latex_text
from harness.render.exports.markdown import markdown_text
from harness.storage.store import Store

GOLDEN = Path(__file__).parent / "golden"
AWKWARD = "50%_lr & #1 ~ {x} $y^2$ \\z <b>|"
FORMATS = {
    "csv": "run.csv",
    "parquet": "run.parquet",
    "json": "run.json",
    "markdown": "run.md",
    "latex": "run.tex",
    "cells": "run-cells.csv",
}


@pytest.fixture
def run(tmp_path: Path) -> Store:
    """Two sources, three steps, a control, a failed checkpoint."""
    return make_run(tmp_path, name="golden_run", fail={("race", 30)})


def export(store: Store, kind: str, out: Path | None = None, *more: str) -> bytes:
    words = ["export", str(store.folder), "--format", kind, *more]
    if out is not None:
        words += ["--out", str(out)]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    return out.read_bytes() if out is not None else result.stdout_bytes


def test_spreadsheets_run_no_cell_as_a_formula(tmp_path: Path) -> None:
    names = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "plain"]
    store = make_run(tmp_path, methods=names, maskers=[None], sources=["gender"], steps=[10])
    by_name = {
        safe: {row["debiaser"] for row in csv.DictReader(io.StringIO(text))} - {""}
        for safe, text in (
            (True, export(store, "csv").decode()),
            (False, export(store, "csv", None, "--no-spreadsheet-safe").decode()),
        )
    }
    assert by_name[False] == {*names, "identity"}
    assert by_name[True] == {"identity", "plain", *(f"'{name}" for name in names[:-1])}
    rows = [*csv.DictReader(io.StringIO(export(store, "csv").decode()))]
    assert any(row["change"].startswith("-") for row in rows)  # numbers stay numbers


def test_an_unknown_format_is_one_line_that_names_the_known_ones(run: Store) -> None:
    result = CliRunner().invoke(cli, ["export", str(run.folder), "--format", "cvs"])
    assert result.exit_code == 2
    assert "no format 'cvs'; did you mean 'csv'?" in result.output
    shown = CliRunner().invoke(cli, ["export", "--help"]).output
    for name, known in TEXT_FORMATS.items():
        assert name in shown
        assert known.summary in " ".join(shown.split())


# -- tidy rows -------------------------------------------------------------------------------


def test_each_stored_number_is_one_row(run: Store) -> None:
    rows = tidy_rows(run)
    keys = [(r.identity, r.step, r.evaluator, r.protocol, r.target, r.metric) for r in rows]
    assert len(set(keys)) == len(keys)
    numbers = {}
    for cell in run.index().cells:
        for ref in cell.measures:
            record = run.record(ref.key)
            if ref.step == 0 and not cell.is_base:
                continue  # the base it is compared with: one row, the base's own
            for m in record.measurements if record else ():
                for metric in m.metrics:
                    key = (cell.identity, ref.step, ref.evaluator)
                    numbers[(*key, m.protocol, m.domain, metric.name)] = metric
    found = {key: row for key, row in zip(keys, rows, strict=True) if row.status == "measured"}
    assert set(found) == set(numbers)
    for key, metric in numbers.items():
        row = found[key]
        assert (row.n, row.numerator) == (metric.n, metric.numerator)
        assert row.value == pytest.approx(metric.value, rel=1e-11)


def test_a_row_says_what_it_is_compared_with(run: Store) -> None:
    rows = tidy_rows(run)
    base = {
        (r.evaluator, r.protocol, r.target, r.metric): r
        for r in rows
        if r.identity.debiaser is None
    }
    for row in rows:
        if row.identity.debiaser is None:
            assert (row.step, row.base_value, row.change) == (0, None, None)
        elif row.status == "measured" and row.value is not None:
            against = base[row.evaluator, row.protocol, row.target, row.metric].value
            assert row.base_value == against
            assert row.change == pytest.approx(row.value - (against or 0.0), abs=1e-9)
    matrix = matrix_of(run, step=20)
    entry = next(e for r in matrix.rows for e in r.entries if r.step == 20 and e.adjusted_p)
    assert any(
        r.step == 20 and r.p_corrected == pytest.approx(entry.adjusted_p, rel=1e-9) for r in rows
    )


def test_failures_are_rows_with_their_reason(run: Store) -> None:
    failed = [row for row in tidy_rows(run) if row.status == "failed"]
    assert {(row.identity.source, row.step) for row in failed} == {("race", 30)}
    assert {row.failed_reason for row in failed} == {"diverged: loss is nan"}
    assert all(row.value is None and row.base_value is not None for row in failed)


def test_several_processes_find_the_same_rows(run: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = tidy_rows(run)
    assert len({row.step for row in alone}) > 2
    monkeypatch.setattr(long_table, "MANY", 1)
    assert tidy_rows(run, processes=2) == alone


def test_several_processes_report_a_damaged_run_like_one(
    run: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = next(ref.key for cell in run.index().cells for ref in cell.measures if ref.step == 20)
    run.path("items", key).write_bytes(b"damaged")
    monkeypatch.setattr(long_table, "MANY", 1)
    messages = []
    for processes in (1, 2):
        with pytest.raises(StoreError) as caught:
            tidy_rows(run, processes=processes)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_csv_json_and_parquet_hold_the_same(run: Store, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    rows = [list(row.values().values()) for row in tidy_rows(run)]
    from_json = json.loads(export(run, "json"))
    assert from_json["fields"] == list(COLUMNS)
    assert [list(row.values()) for row in from_json["rows"]] == rows
    export(run, "parquet", tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert [list(row.values()) for row in table.to_pylist()] == rows
    kinds = {name: str(table.schema.field(name).type) for name in ("step", "p", "control", "run")}
    assert kinds == {"step": "int64", "p": "double", "control": "bool", "run": "string"}
    header, *lines = csv.reader(io.StringIO(export(run, "csv").decode()))
    assert header == list(COLUMNS)
    assert lines == [["" if cell is None else str(cell) for cell in row] for row in rows]


# -- golden files ----------------------------------------------------------------------------


def close(found: object, expected: object) -> bool:
    """Equal, numbers to nine digits: p-values may differ in the last one between machines."""
    if isinstance(found, float) and isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=1e-9)
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(close(found[k], expected[k]) for k in found)
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(close, found, expected))
    return found == expected


def parsed(kind: str, path: Path) -> object:
    """Content for comparison: bytes of Parquet differ between versions of the library."""
    if kind == "parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        return [table.schema.to_string(), table.to_pylist()]
    text = path.read_bytes().decode()
    if kind == "json":
        return json.loads(text)
    if kind == "csv":
        number = re.compile(r"-?\d+\.\d+(e-\d+)?")
        return [
            [float(cell) if number.fullmatch(cell) else cell for cell in row]
            for row in csv.reader(io.StringIO(text))
        ]
    return text.splitlines()


@pytest.mark.parametrize("kind", FORMATS)
def test_golden(run: Store, tmp_path: Path, kind: str) -> None:
    made = tmp_path / FORMATS[kind]
    export(run, kind, made)
    golden = GOLDEN / FORMATS[kind]
    if os.environ.get("HARNESS_WRITE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        shutil.copyfile(made, golden)
    assert close(parsed(kind, made), parsed(kind, golden))


# -- Markdown and LaTeX ----------------------------------------------------------------------


def test_markdown_tables_are_rectangular_whatever_the_names(tmp_path: Path) -> None:
    store = make_run(tmp_path, name="a|b", methods=["x|y_z*", "<script>"], fail={("race", 30)})
    text = markdown_text(matrix_of(store), rank([store]))
    assert "<script>" not in text
    assert "## Failed" in text
    tables = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    assert len(tables) == 3  # two matrices and the leaderboard
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1


def tabulars(text: str) -> list[tuple[str, list[str]]]:
    """Column specification and rows of each tabular."""
    found = []
    for spec, body in re.findall(
        r"\\begin\{tabular\}\{@\{\}([^\n]*)@\{\}\}\n(.*?)\\end\{tabular\}", text, re.DOTALL
    ):
        rows = [
            line
            for line in body.splitlines()
            if not re.fullmatch(r"(\\(top|mid|bottom)rule|\\cmidrule.*)", line)
        ]
        found.append((re.sub(r"@?\{[^}]*\}", "", spec), rows))
    return found


def width(row: str) -> int:
    """Columns that a row of a tabular spans."""
    spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", row)]
    return len(re.findall(r"(?<!\\)&", row)) + 1 + sum(n - 1 for n in spans)


def test_latex_is_well_formed_whatever_the_names(tmp_path: Path) -> None:
    store = make_run(tmp_path, name="a_b", methods=[AWKWARD, "plain"], fail={("race", 30)})
    text = latex_text(matrix_of(store), rank([store]))
    begun = re.findall(r"\\begin\{(\w+)\}", text)
    assert sorted(begun) == sorted(re.findall(r"\\end\{(\w+)\}", text))
    assert begun.count("table") >= 3  # two matrices and the leaderboard
    body = text[text.index(r"\begin{table}") :]
    code = "\n".join(line for line in body.splitlines() if not line.startswith("%"))
    assert text.isascii()
    bare = re.sub(r"\\[\\{}_%&#$]", "", code)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    outside_math = re.sub(r"\$[^$]*\$", "", bare)
    assert not re.search(r"[_%#~^]", outside_math)
    for spec, rows in tabulars(text):
        assert rows
        for row in rows:
            assert width(row) == len(spec), row
            assert re.search(r"\\\\(\[\w+\])?$", row), row
    labels = re.findall(r"\\label\{([^}]*)\}", text)
    assert len(labels) == len(set(labels))


def test_latex_escapes_every_special_character() -> None:
    assert escape(r"a_b % & # $ { } ~ ^ \ ") == (
        r"a\_b \% \& \# \$ \{ \} \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )
    assert escape("−1.5 – †") == r"\ensuremath{-}1.5 -- \ensuremath{\dagger}"
    assert escape("a\nb\x07\u4e2d") == "a b ?"


LATEX = shutil.which("pdflatex")
MEASURING = r"""
\documentclass{article}\usepackage{booktabs,graphicx}
\newcommand{\fitline}[1]{\sbox0{#1}\typeout{TABLE \the\wd0 of \the\linewidth}%
  \ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi}
\begin{document}\input{tables}\end{document}
"""
SHAPES = {
    "awkward": {"methods": [AWKWARD], "fail": {("race", 30)}},
    "many": {
        "methods": [f"a-method-of-a-long-name-{i}" for i in range(18)],
        "sources": ("gender", "race", "religion"),
        "steps": [20],
    },
    "seeds": {"maskers": ("wordlist", "random"), "seeds": range(5), "sources": ("gender",)},
    "wide": {"targets": ["gender", "race", "religion", "age", "disability", "nationality"]},
}


@pytest.mark.skipif(
    LATEX is None and os.environ.get("HARNESS_REQUIRE_LATEX") != "1",
    reason="pdflatex is not installed; test_latex_is_well_formed_… checks the structure without it",
)
@pytest.mark.parametrize("shape", SHAPES)
def test_latex_compiles_and_fits_an_article(tmp_path: Path, shape: str) -> None:
    assert LATEX is not None, "HARNESS_REQUIRE_LATEX=1, but pdflatex is not installed"
    store = make_run(tmp_path, name="a_b", **SHAPES[shape])  # type: ignore[arg-type]
    (tmp_path / "tables.tex").write_bytes(export(store, "latex"))
    (tmp_path / "page.tex").write_text(MEASURING.lstrip())
    result = subprocess.run(
        [LATEX, "-interaction=nonstopmode", "-halt-on-error", "page.tex"],
        cwd=tmp_path,
        capture_output=True,
    )
    log = result.stdout.decode(errors="replace")
    assert result.returncode == 0, log[-2000:]
    assert (tmp_path / "page.pdf").stat().st_size > 10_000
    assert "Overfull" not in log
    assert "Float too large" not in log
    shares = [float(a) / float(b) for a, b in re.findall(r"TABLE ([\d.]+)pt ?of ([\d.]+)pt", log)]
    assert len(shares) >= 3
    assert max(shares) < 1.25  # what is shrunk stays legible: footnotesize by no more than a fifth
    plain = (tmp_path / "page.tex").read_text().split("\\newcommand")[0]
    (tmp_path / "plain.tex").write_text(plain + "\\begin{document}\\input{tables}\\end{document}\n")
    command = [LATEX, "-interaction=nonstopmode", "-halt-on-error", "plain.tex"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 0


# -- command ---------------------------------------------------------------------------------


def test_mistakes_are_one_line(run: Store, tmp_path: Path) -> None:
    runner = CliRunner()
    bare = runner.invoke(cli, ["export", str(run.folder), "--format", "parquet"])
    assert bare.exit_code == 2
    assert "name a file with --out" in bare.output
    nowhere = runner.invoke(
        cli, ["export", str(run.folder), "--out", str(tmp_path / "no" / "such" / "x.csv")]
    )
    assert isinstance(nowhere.exception, HarnessError)
    assert "cannot write: No such file" in str(nowhere.exception)
    unknown = runner.invoke(cli, ["export", str(run.folder), "--format", "xlsx"])
    assert unknown.exit_code == 2
