"""Fits that stopped at a dose are shown at the step where they stopped, with the dose."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_runs import make_run

from harness.analysis.matrix_builder import matrix_of
from harness.analysis.matrix_tables import matrix_tables
from harness.analysis.run_comparison import compare
from harness.analysis.step_curves import RunCurves
from harness.cli.main import cli
from harness.render.tables.cell_text import full_title
from harness.storage.reader import RunReader, Stop, shown_step, stopped_step
from harness.storage.store import Store

STOPS = {("gender", 0): 41, ("gender", 1): 57, ("race", 0): 63, ("race", 1): 63}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("stopped")
    return make_run(folder, steps=(120,), seeds=(0, 1), stops=STOPS, lean=0.9)


def shown(*words: str, width: int = 100) -> str:
    result = CliRunner(env={"COLUMNS": str(width)}).invoke(cli, [*words])
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_steps_in_words() -> None:
    assert shown_step(120, []) == "120"
    assert shown_step(120, [Stop(41, 0.05), Stop(57, 0.05)]) == "41–57"
    assert shown_step(120, [Stop(41, 0.05), None]) == "41–120"
    assert stopped_step(120, Stop(41, 0.0512)) == "step 41 (stopped at 0.0512 nats a token)"
    assert stopped_step(120, None) == "step 120"


def test_the_matrix_says_where_each_row_stopped(run: Store) -> None:
    matrix = matrix_of(run)
    by_source = {row.cell.source: row for row in matrix.pooled if row.cell.debiaser != "identity"}
    assert [stop.step for stop in by_source["gender"].stops] == [41, 57]
    assert by_source["gender"].shown_step == "41–57"
    assert by_source["race"].shown_step == "63"
    (table, *_) = matrix_tables(matrix)
    assert table.several_steps
    assert "120" not in full_title(table)
    assert [row.shown_step for row in table.rows if row.kind == "method"] == ["41–57", "63"]
    words = "stopped (stop_at): 41–63, at a divergence from the base of 0.0541 to 0.0563 nats"
    assert words in " ".join(table.notes)
    (alone,) = {row.shown_step for row in matrix.rows if row.cell.seed == 1
                and row.cell.source == "gender"}  # fmt: skip
    assert alone == "57"


def test_a_run_that_stops_nowhere_is_shown_as_before(tmp_path: Path) -> None:
    (table, *_) = matrix_tables(matrix_of(make_run(tmp_path)))
    assert full_title(table).count("step 30") == 1
    assert not [note for note in table.notes if "stop_at" in note]


@pytest.mark.parametrize("width", [80, 140])
def test_no_command_shows_the_last_step_of_the_spec(run: Store, width: int) -> None:
    folder = str(run.folder)
    matrix = shown("matrix", folder, width=width)
    assert "stopped at step 41–63" in matrix
    assert "41–57" in matrix
    board = shown("leaderboard", folder, width=width)
    assert "41–63" in board
    assert "0.0541 to 0.0563 nats a token" in board
    items = shown("show", folder, "gender/seed 0", "--no-text", width=width)
    assert "step 41 (stopped at 0.0541 nats a token)" in items
    explained = shown("explain", folder, "gender/seed 1", width=width)
    assert "step 57 (stopped at 0.0557 nats a token)" in explained
    for text in (matrix, board, items, explained.partition("{")[0]):
        assert "120" not in text


def test_exports_have_both_steps(run: Store) -> None:
    rows = list(csv.DictReader(io.StringIO(CliRunner().invoke(
        cli, ["export", str(run.folder)]).stdout)))  # fmt: skip
    fits = [row for row in rows if row["source"] == "gender" and row["seed"] == "1"]
    assert {row["step"] for row in fits} == {"120"}  # how the results are stored
    assert {row["stopped_at_step"] for row in fits} == {"57"}
    assert {row["stopped_at_kl"] for row in fits} == {"0.0557"}
    assert {row["stopped_at_step"] for row in rows if row["debiaser"] == "identity"} == {""}
    cells = csv.DictReader(io.StringIO(shown_csv(run, "cells")))
    steps = {row["step"] for row in cells if row["source"] == "gender" and row["kind"] == "method"}
    assert steps == {"41–57"}
    entries = json.loads(shown("matrix", str(run.folder), "--json"))["pooled"]
    assert [stop["step"] for stop in entries[0]["stopped_at"]] == [41, 57]


def shown_csv(run: Store, name: str) -> str:
    result = CliRunner().invoke(cli, ["export", str(run.folder), "--format", name])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_curves_end_where_the_fits_stopped(run: Store) -> None:
    reader = RunReader(run)
    curves = RunCurves(reader, matrix_of(run))
    ends = {c.group: c.points[-1].step for p in curves.bias_panels["gender"] for c in p.curves}
    assert ends == {"gender": 49, "race": 63}  # the mean over seeds
    assert curves.trade_off is not None
    assert {way[-1][0] for fit, way in curves.trade_off.paths if not fit.control} == {49, 63}


def test_means_over_sources_are_at_the_mean_step(tmp_path: Path) -> None:
    methods = [f"method-{k}" for k in range(6)]  # more curves than can be told apart
    store = make_run(tmp_path, steps=(120,), methods=methods, stops=STOPS, lean=0.9)
    plot = RunCurves(RunReader(store), matrix_of(store)).trade_off
    assert plot is not None
    assert plot.merged
    paths = {fit.method: way for fit, way in plot.paths if not fit.control}
    assert len(paths) == len(methods)
    assert {way[-1][0] for way in paths.values()} == {(41 + 63) // 2}


def test_a_comparison_names_the_steps_of_both(run: Store, tmp_path: Path) -> None:
    other = make_run(tmp_path, steps=(120,), seeds=(0, 1), lean=0.9)
    cells = {cell.title: cell for cell in compare(run, other).cells}
    cell = next(own for title, own in cells.items() if "race" in title and "seed 0" in title)
    assert cell.first_step == "step 63 (stopped at 0.0563 nats a token)"
    assert cell.second_step == "step 120"
