"""The matrix of a run: directions, failed and missing cells, width."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from bench import Bench

from harness.analysis.entry import close_squares
from harness.analysis.matrix_builder import matrix_of
from harness.analysis.ranking import rank
from harness.analysis.verdict import verdict
from harness.errors import StoreError
from harness.render.console.leaderboard import print_leaderboard
from harness.render.console.matrix import print_matrix
from harness.render.console.terminal import Terminal
from harness.render.tables.plain import matrix_json


def test_mirrored_shares_are_equally_far_from_50() -> None:
    """k of n and n - k of n: their floats often are not."""
    differ = 0
    for n in range(2, 120):
        for k in range(n // 2 + 1):
            low, high = (100.0 * hits / n - 50 for hits in (k, n - k))
            assert close_squares(low**2, high**2)
            differ += low**2 != high**2
    assert differ > 100  # what made this necessary


def shown(bench: Bench, width: int = 100) -> str:
    console = Terminal(file=io.StringIO(), width=width)
    matrix, board = matrix_of(bench.store), rank([bench.store])
    print_matrix(console, matrix, verdict(matrix))
    print_leaderboard(console, board)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_sources_by_targets_with_the_base_and_controls(bench: Bench) -> None:
    bench.run()
    matrix = matrix_of(bench.store)
    assert [c.domain for c in matrix.columns] == ["gender", "race", "religion"]
    rows = {(row.cell.debiaser, row.cell.source): row for row in matrix.rows}
    assert len(rows) == 4
    entry = rows["toy-debiaser", "gender"].entries[1]
    assert entry.base is not None
    assert entry.after is not None
    assert (entry.base.value, entry.after.value) == (100.0, 0.0)  # level -1.3 at step 30
    assert entry.change == -100.0
    assert entry.improvement is None  # two items: the base is not significantly different from 50
    assert entry.p is None
    assert entry.test is not None
    assert (entry.test.gained, entry.test.lost, entry.test.p) == (0, 2, 0.5)
    unchanged = rows["toy-identity", "race"].entries[0]
    assert (unchanged.change, unchanged.evidence, unchanged.p) == (0.0, "exact", None)
    at_10 = matrix_of(bench.store, step=10)
    assert at_10.rows[0].entries[0].change == 0.0
    text = shown(bench)
    assert max(map(len, text.splitlines())) <= 100
    assert "control" in text


def test_failed_and_missing_cells_are_shown_with_their_reason(bench: Bench) -> None:
    bench.run(
        debiaser=[{"use": "toy-debiaser", "diverge_at": 20}, "toy-identity"],
        evaluators="toy-evaluator",
    )
    text = shown(bench)
    assert "failed" in text
    assert "diverged at step 20" in text
    lost = next(
        ref.key
        for cell in bench.store.index().cells
        if cell.debiaser == "toy-identity"
        for ref in cell.measures
        if ref.step == 1
    )
    (bench.store.folder / "records" / f"{lost}.json").unlink()
    assert "not run" in shown(bench)
    entries = json.loads(matrix_json(matrix_of(bench.store)))["entries"]
    assert {entry["status"] for entry in entries} == {"failed", "missing"}


def test_unknown_choices_name_the_known(bench: Bench) -> None:
    with pytest.raises(StoreError, match=r"index\.json|no measurement|cannot read"):
        matrix_of(bench.store)
    bench.run(evaluators="toy-evaluator")
    with pytest.raises(StoreError, match="did you mean 'stereotype_score'"):
        matrix_of(bench.store, metric="stereotype_scor")
