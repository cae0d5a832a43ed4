"""Statistics and tables: published p-values, directions, failed cells, width."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from bench import Bench

from harness.analysis.corrections import adjust
from harness.analysis.matrix_builder import build_matrix
from harness.analysis.ranking import build_leaderboard
from harness.analysis.stats import (
    mcnemar,
    minimal_detectable_change,
    paired_bootstrap,
)
from harness.errors import StoreError
from harness.metrics import HIGHER, LOWER, TOWARDS_50
from harness.render.console.matrix import print_leaderboard, print_matrix
from harness.render.console.terminal import Terminal
from harness.render.tables.plain import matrix_json


@pytest.mark.parametrize(
    ("fell", "p"), [(6, 0.031), (14, 0.0001), (4, 0.125), (5, 0.063), (25, 6e-8), (3, 0.25)]
)
def test_best_case_p_values_of_the_papers_changes(fell: int, p: float) -> None:
    """METHODS 1.2: no item flips the other way."""
    found = mcnemar([1.0] * fell + [0.0] * 10, [0.0] * (fell + 10))
    assert (found.gained, found.lost) == (0, fell)
    assert found.p == pytest.approx(p, rel=0.25)


@pytest.mark.parametrize(
    ("n", "points"), [(262, 5.5), (516, 3.9), (105, 8.6), (255, 5.5), (962, 2.9), (79, 9.8)]
)
def test_detectable_changes_of_the_papers_data(n: int, points: float) -> None:
    found = minimal_detectable_change(n)
    assert found is not None
    assert found == pytest.approx(points, abs=0.2)


def test_nothing_to_test_is_no_evidence() -> None:
    assert mcnemar([1.0, 0.0], [1.0, 0.0]).p == 1.0
    assert minimal_detectable_change(1) is None
    assert paired_bootstrap([1.0], [0.0], [None]) is None
    assert paired_bootstrap([1.0, 1.0], [0.0, 0.0], ["a", "a"]) is None
    assert adjust([]) == []


def test_the_false_positive_rate_is_at_most_nominal() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        before = rng.integers(0, 2, 120).astype(float)
        flips = rng.random(120) < 0.1
        after = np.where(flips, 1 - before, before)
        hits += mcnemar(before.tolist(), after.tolist()).p < 0.05
    assert hits / 400 < 0.06


def test_bootstrap_covers_and_widens_with_clusters() -> None:
    rng = np.random.default_rng(2)
    clusters = [f"term {i // 10}" for i in range(100)]
    shift = np.repeat(rng.normal(0, 1, 10), 10)
    after = (shift + rng.normal(0, 0.1, 100)).tolist()
    zero = [0.0] * 100
    alone = paired_bootstrap(zero, after, [None] * 100, seed=1)
    together = paired_bootstrap(zero, after, clusters, seed=1)
    assert alone is not None
    assert together is not None
    assert together.high - together.low > 2 * (alone.high - alone.low)
    assert paired_bootstrap(zero, after, clusters, seed=1) == together


def test_directions_say_what_is_an_improvement() -> None:
    assert TOWARDS_50.improvement(60.0, 45.0) == pytest.approx(5.0)
    assert TOWARDS_50.improvement(50.0, 45.0) == pytest.approx(-5.0)
    assert LOWER.improvement(30.0, 31.0) == pytest.approx(-1.0)
    assert HIGHER.improvement(30.0, 31.0) == pytest.approx(1.0)


def shown(bench: Bench, width: int = 100) -> str:
    console = Terminal(file=io.StringIO(), width=width)
    print_matrix(console, build_matrix(bench.store))
    print_leaderboard(console, build_leaderboard([bench.store]))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_sources_by_targets_with_the_base_and_controls(bench: Bench) -> None:
    bench.run()
    matrix = build_matrix(bench.store)
    assert [c.domain for c in matrix.columns] == ["gender", "race", "religion"]
    rows = {(row.cell.debiaser, row.cell.source): row for row in matrix.rows}
    assert len(rows) == 4
    entry = rows["toy-debiaser", "gender"].entries[1]
    assert entry.base is not None
    assert entry.after is not None
    assert (entry.base.value, entry.after.value) == (100.0, 0.0)  # level -1.3 at step 30
    assert entry.change == -100.0
    assert entry.improvement == 0.0  # as far from 50 on the other side
    assert entry.test is not None
    assert (entry.test.gained, entry.test.lost, entry.test.p) == (0, 2, 0.5)
    unchanged = rows["toy-identity", "race"].entries[0]
    assert (unchanged.change, unchanged.test.p if unchanged.test else None) == (0.0, 1.0)
    at_10 = build_matrix(bench.store, step=10)
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
    entries = json.loads(matrix_json(build_matrix(bench.store)))["entries"]
    assert {entry["status"] for entry in entries} == {"failed", "missing"}


def test_unknown_choices_name_the_known(bench: Bench) -> None:
    with pytest.raises(StoreError, match=r"index\.json|no measurement|cannot read"):
        build_matrix(bench.store)
    bench.run(evaluators="toy-evaluator")
    with pytest.raises(StoreError, match="did you mean 'stereotype_score'"):
        build_matrix(bench.store, metric="stereotype_scor")
