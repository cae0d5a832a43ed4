"""harness leaderboard: controls, curves at the same cost, budgets, several runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bench import Bench
from command_line import invoke, rows, text_of
from made_runs import make_run

from harness.analysis.matrix_builder import build_matrix
from harness.analysis.ranking import Leaderboard, rank
from harness.analysis.stats import percentile_interval
from harness.errors import DataError, StoreError
from harness.storage.store import Store


def board(store: Store, **options: object) -> Leaderboard:
    return rank([store], **options)  # type: ignore[arg-type]


def test_effects_net_of_a_control_are_differences_on_the_same_items(tmp_path: Path) -> None:
    store = make_run(tmp_path, maskers=["wordlist", "random"])
    plain = {s.method: s for s in board(store).standings}
    method = plain["mlm-unlearning + wordlist"]
    assert method.net_of == "identity"
    assert method.net is not None
    assert method.net.value == pytest.approx(method.improvement)
    named = {s.method: s for s in board(store, control="random").standings}
    against = named["mlm-unlearning + wordlist"]
    random = named["mlm-unlearning + random"]
    assert against.net_of == "mlm-unlearning + random"
    assert against.net is not None
    assert method.improvement is not None
    assert random.improvement is not None
    assert against.net.value == pytest.approx(method.improvement - random.improvement)
    assert random.net is None
    with pytest.raises(StoreError, match="no run here has a control 'randon'; did you mean"):
        board(store, control="randon")


def test_the_index_says_which_cells_are_controls(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    plan = bench.plan(label=["hateful", "non-hateful"], steps=[10])
    kinds = {(c.debiaser, c.label): c.control_kind for c in plan.index.cells if not c.is_base}
    assert kinds["toy-debiaser", "hateful"] is None
    assert kinds["toy-debiaser", "non-hateful"] == "texts"
    assert kinds["toy-identity", "hateful"] == "identity"


def test_curves_are_read_at_the_same_cost_and_never_beyond(tmp_path: Path) -> None:
    store = make_run(tmp_path, maskers=["wordlist", "random"])
    found = board(store)
    costs = {s.method: s.cost_increase or 0.0 for s in found.standings if not s.control}
    weak, strong = "mlm-unlearning + random", "mlm-unlearning + wordlist"
    assert costs[weak] < costs[strong]
    least = found.levels[0]
    assert 0 < least <= costs[weak]  # the mean over sources; the least is the weakest one's
    by_method = {s.method: s for s in found.standings}
    assert all(by_method[name].matched[0].value is not None for name in (weak, strong))
    beyond = {s.method: s for s in board(store, match_at=costs[strong] / 2).standings}
    assert beyond[weak].matched[0].value is None
    assert beyond[strong].matched[0].value is not None
    text = text_of("leaderboard", store.folder, "--at-perplexity-increase", costs[strong] / 2)
    assert f"fitted at once and have no curve: {weak}" in rows(text)


def test_intervals_at_the_same_cost_are_those_of_the_steps_on_either_side(tmp_path: Path) -> None:
    store = make_run(tmp_path, sources=["race"])

    def at(step: int) -> tuple[float, np.ndarray]:
        """Cost, and bootstrap values of the mean improvement, read from a matrix of that step."""
        (method,) = (s for s in board(store, step=step).standings if not s.control)
        row = build_matrix(store, step=step).rows[0]
        draws = [e.draws.improvement for e in row.entries if e.towards_target and e.draws]
        return method.cost_increase or 0.0, np.mean(draws, axis=0)

    (low, before), (high, after), (last, _) = at(10), at(20), at(30)
    assert low < high < last
    (middle,) = (
        s for s in board(store, match_at=low + 0.25 * (high - low)).standings if not s.control
    )
    expected = percentile_interval(0.75 * before + 0.25 * after)
    assert middle.matched[0].interval == pytest.approx(expected)
    (end,) = (s for s in board(store, match_at=last).standings if not s.control)
    assert end.mean is not None
    assert end.matched[0].interval == pytest.approx(end.mean.interval)
    start = percentile_interval(0.5 * before)  # the base has improved by nothing in every sample
    (half,) = (s for s in board(store, match_at=low / 2).standings if not s.control)
    assert half.matched[0].interval == pytest.approx(start)


def test_a_budget_keeps_costly_methods_out_of_the_ranking(tmp_path: Path) -> None:
    store = make_run(tmp_path, maskers=["wordlist", "random"])
    costs = {s.method: s.cost_increase or 0.0 for s in board(store).standings}
    limit = costs["mlm-unlearning + random"] + 0.01
    found = {s.method: s.in_budget for s in board(store, budget=limit).standings}
    assert found["mlm-unlearning + random"] is True
    assert found["mlm-unlearning + wordlist"] is False
    text = text_of("leaderboard", store.folder, "--max-perplexity-increase", limit)
    assert " over " in text
    assert invoke("leaderboard", store.folder, "--max-perplexity-increase", "-1").exit_code == 2


def test_the_pareto_front_is_what_no_other_method_beats(tmp_path: Path) -> None:
    store = make_run(tmp_path, maskers=["wordlist", "random"])
    ranked = [s for s in board(store).standings if not s.control]
    for own in ranked:
        beaten = any(
            (o.improvement or 0) > (own.improvement or 0)
            and (o.cost_increase or 0) < (own.cost_increase or 0)
            for o in ranked
        )
        assert not (own.pareto and beaten)
    assert any(own.pareto for own in ranked)
    assert not any(s.pareto for s in board(store).standings if s.control)


def test_several_runs_and_reported_numbers(tmp_path: Path) -> None:
    one = make_run(tmp_path, name="one")
    two = make_run(tmp_path, name="two", maskers=["random"])
    text = text_of("leaderboard", one.folder, two.folder, "--reported", "paper")
    assert "one / tiny_1" in rows(text)
    assert "two / tiny_1" in rows(text)
    ranked, reported = text.split("Reported, not measured here")
    assert "58.4" in reported
    assert "58.4" not in ranked
    result = invoke("leaderboard", one.folder, "--reported", "papr")
    assert isinstance(result.exception, DataError)
    assert "did you mean 'paper'" in str(result.exception)
