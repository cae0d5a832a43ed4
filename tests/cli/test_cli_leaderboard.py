"""harness leaderboard: controls, curves at the same cost, budgets, several runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import Bench
from command_line import invoke, rows, text_of
from made_runs import make_run

from harness.analysis.ranking import Leaderboard, Standing, rank
from harness.errors import DataError, StoreError
from harness.storage.store import Store


def board(store: Store, **options: object) -> Leaderboard:
    return rank([store], **options)  # type: ignore[arg-type]


FIVE = (10, 20, 30, 40, 50)


def test_effects_net_of_a_control_are_differences_on_the_same_items(tmp_path: Path) -> None:
    store = make_run(tmp_path, maskers=["wordlist", "random"], lean=0.9)
    found = board(store)
    assert found.control == "identity"
    plain = {s.method: s for s in found.standings}
    method = plain["mlm-unlearning + wordlist"]
    assert method.net is not None
    assert method.improvement is not None
    assert method.net.effect.value == pytest.approx(method.improvement.value)
    named = {s.method: s for s in board(store, control="random").standings}
    against = named["mlm-unlearning + wordlist"]
    random = named["mlm-unlearning + random"]
    assert against.net is not None
    assert against.net.control == "mlm-unlearning + random"
    assert random.improvement is not None
    difference = method.improvement.value - random.improvement.value
    assert against.net.effect.value == pytest.approx(difference)
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
    steps = range(5, 55, 5)
    store = make_run(tmp_path, maskers=["wordlist", "random"], steps=steps, lean=0.9)
    found = board(store)
    costs = {s.method: s.cost or 0.0 for s in found.standings if not s.control}
    weak, strong = "mlm-unlearning + random", "mlm-unlearning + wordlist"
    assert costs[weak] < costs[strong]
    least = found.levels[0]
    assert 0 < least <= costs[weak]  # the mean over sources; the least is the weakest one's
    by_method = {s.method: s for s in found.standings}
    assert by_method[weak].matched[0].gain is not None
    assert by_method[strong].matched[0].gain is not None
    beyond = {s.method: s for s in board(store, match_at=costs[strong] / 2).standings}
    assert beyond[weak].matched[0].gain is None
    assert beyond[strong].matched[0].gain is not None
    text = text_of("leaderboard", store.folder, "--at-perplexity-increase", costs[strong] / 2)
    assert f"Not measured at 4 steps around any of these: {weak}" in rows(text)


@pytest.mark.parametrize("steps", [(50,), (25, 50), (20, 35, 50)])
def test_a_curve_of_fewer_than_four_steps_is_not_read(tmp_path: Path, steps: list[int]) -> None:
    """With one checkpoint, "at the same language ability" would be a line through the origin."""
    store = make_run(tmp_path, maskers=["wordlist", "random"], steps=steps, lean=0.9)
    assert board(store).levels == ()
    found = board(store, match_at=1.0)
    assert all(s.matched[0].gain is None for s in found.standings)
    assert "At the same language ability" not in text_of(
        "leaderboard", store.folder, "--at-perplexity-increase", 1.0
    )


def test_a_cost_below_the_first_checkpoint_is_not_read(tmp_path: Path) -> None:
    store = make_run(tmp_path, sources=["race"], steps=FIVE, lean=0.9)
    first = next(s.cost for s in board(store, step=10).standings if not s.control)
    assert first is not None
    below = next(s for s in board(store, match_at=first * 0.9).standings if not s.control)
    at = next(s for s in board(store, match_at=first).standings if not s.control)
    assert below.matched[0].gain is None
    assert at.matched[0].gain is not None


def test_values_at_the_same_cost_are_those_of_the_steps_on_either_side(tmp_path: Path) -> None:
    store = make_run(tmp_path, sources=["race"], steps=FIVE, lean=0.9)

    def at(step: int) -> Standing:
        (method,) = (s for s in board(store, step=step).standings if not s.control)
        return method

    low, high, last = at(10), at(20), at(50)
    assert low.cost is not None
    assert high.cost is not None
    assert low.distance is not None
    assert high.distance is not None
    assert low.base_distance is not None
    quarter = low.cost + 0.25 * (high.cost - low.cost)
    (middle,) = (s for s in board(store, match_at=quarter).standings if not s.control)
    square = 0.75 * low.distance.square.value + 0.25 * high.distance.square.value
    gain = middle.matched[0].gain
    assert gain is not None
    assert gain.value == pytest.approx(low.base_distance.value - square**0.5)
    assert gain.interval is not None
    (end,) = (s for s in board(store, match_at=last.cost).standings if not s.control)
    assert last.improvement is not None
    assert end.matched[0].gain is not None
    assert end.matched[0].gain.value == pytest.approx(last.improvement.value)
    assert end.matched[0].gain.interval == pytest.approx(last.improvement.interval)


def test_a_budget_keeps_costly_methods_out_of_the_ranking(tmp_path: Path) -> None:
    store = make_run(tmp_path, maskers=["wordlist", "random"])
    costs = {s.method: s.cost or 0.0 for s in board(store).standings}
    limit = costs["mlm-unlearning + random"] + 0.01
    found = {s.method: s.in_budget for s in board(store, budget=limit).standings}
    assert found["mlm-unlearning + random"] is True
    assert found["mlm-unlearning + wordlist"] is False
    text = text_of("leaderboard", store.folder, "--max-perplexity-increase", limit)
    assert " over " in text
    assert invoke("leaderboard", store.folder, "--max-perplexity-increase", "-1").exit_code == 2


def test_the_pareto_front_is_what_improves_and_no_other_method_beats(tmp_path: Path) -> None:
    store = make_run(tmp_path, maskers=["wordlist", "random"], lean=0.9)
    ranked = [s for s in board(store).standings if not s.control]
    assert all(s.improvement is not None and s.cost is not None for s in ranked)
    points = {s.method: (s.improvement.value, s.cost) for s in ranked if s.improvement and s.cost}
    for own in ranked:
        gain, cost = points[own.method]
        beaten = any(more > gain and less < cost for more, less in points.values())
        assert not (own.pareto and beaten)
        assert gain > 0 or not own.pareto
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


def test_methods_are_compared_where_their_curves_cross_one_dose(tmp_path: Path) -> None:
    """The dose is the divergence from the base; it is read between measured steps only."""
    store = make_run(
        tmp_path,
        maskers=["wordlist", "random"],
        steps=range(5, 55, 5),
        evaluators=("pairs", "neutral-kl", "wikitext2-perplexity"),
        lean=0.9,
    )
    found = board(store)
    assert found.dose is not None
    assert found.dose.metric == "kl"
    assert found.language is not None
    assert found.language.metric == "perplexity"  # the dose is no language metric
    assert found.doses
    by_method = {s.method: s for s in found.standings}
    strong, weak = (by_method[f"mlm-unlearning + {m}"] for m in ("wordlist", "random"))
    assert strong.dose is not None
    assert weak.dose is not None
    assert weak.dose < strong.dose
    assert found.doses[0] <= weak.dose * 1.3
    for standing in (strong, weak):
        assert standing.dosed[0].gain is not None
        assert standing.dosed[0].net is not None or found.control == "identity"
    text = rows(text_of("leaderboard", store.folder, "--at-dose", found.doses[0]))
    assert "At the same dose" in text
    assert "nats a token from the base" in text
    matrix = rows(text_of("matrix", store.folder))
    assert "kl (neutral-kl, base_to_model), step 50, no ideal" in matrix
    nothing = board(store, dose_at=100.0)
    assert all(s.dosed[0].gain is None for s in nothing.standings)
