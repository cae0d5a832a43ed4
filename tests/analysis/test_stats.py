"""Statistics against scipy, statsmodels and simulation: coverage, false positives, published p."""

from __future__ import annotations

import math

import numpy as np
import pytest
from harness.analysis.bootstrap import Resampler
from scipy import stats as scipy_stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests

from harness.analysis.corrections import adjust
from harness.analysis.interval import Interval
from harness.analysis.resampling_units import layout_of
from harness.analysis.stats import (
    bootstrap_p,
    detectable_in_draws,
    mcnemar,
    mcnemar_p,
    minimal_detectable_change,
    over_seeds,
    paired_bootstrap,
    percentile_interval,
    resample,
    seeds_p,
)
from harness.analysis.transfer import ratio
from harness.metrics import HIGHER, LOWER, TOWARDS_0, TOWARDS_50, Item, Metric, estimate
from harness.storage.item_table import ItemTable, aligned

# -- tests and corrections --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "n", "p"),
    [
        (153, 147, 262, 0.03125),
        (298, 284, 516, 0.0001220703125),
        (71, 67, 105, 0.125),
        (161, 156, 255, 0.0625),
        (577, 552, 962, 5.960464477539063e-08),
        (45, 42, 79, 0.25),
    ],
)
def test_the_papers_counts_give_the_papers_best_case_p_values(
    before: int, after: int, n: int, p: float
) -> None:
    """METHODS 1.2: counts at steps 0 and 50, nothing flipping the other way."""
    old = [1.0] * before + [0.0] * (n - before)
    new = [1.0] * after + [0.0] * (n - after)
    found = mcnemar(old, new)
    assert (found.gained, found.lost) == (0, before - after)
    assert found.p == pytest.approx(p)


@pytest.mark.parametrize(("lost_more", "most"), [(14, 44), (25, 149)])
def test_race_is_significant_only_with_few_discordant_pairs(lost_more: int, most: int) -> None:
    """METHODS 1.2: 44 discordant pairs on CrowS-Pairs, 149 on StereoSet, are the most."""

    def p(discordant: int) -> float:
        gained = (discordant - lost_more) // 2
        return mcnemar_p(gained, gained + lost_more)

    assert p(most) < 0.05
    assert p(most + 2) >= 0.05 or p(most + 1) >= 0.05


def test_stereoset_religion_is_not_different_from_chance_to_begin_with() -> None:
    """METHODS 1.2: 45 of 79 against 50 %, p = .26."""
    assert mcnemar_p(45, 79 - 45) == pytest.approx(0.26, abs=0.005)


def test_exact_mcnemar_is_that_of_scipy_and_statsmodels() -> None:
    rng = np.random.default_rng(3)
    for _ in range(60):
        gained, lost = (int(k) for k in rng.integers(0, 40, 2))
        if gained + lost == 0:
            continue
        own = mcnemar_p(gained, lost)
        binomial = scipy_stats.binomtest(gained, gained + lost, 0.5).pvalue
        table = [[5, lost], [gained, 7]]
        assert own == pytest.approx(binomial)
        assert own == pytest.approx(statsmodels_mcnemar(table, exact=True).pvalue)


def test_mcnemar_counts_both_ways_and_refuses_unequal_lists() -> None:
    found = mcnemar([1, 1, 0, 0, 1], [0, 1, 1, 0, 0])
    assert (found.gained, found.lost) == (1, 2)
    assert mcnemar([], []).p == 1.0
    with pytest.raises(ValueError, match="2 decisions before, 1 after"):
        mcnemar([1, 0], [1])


@pytest.mark.parametrize(("correction", "name"), [("bh", "fdr_bh"), ("holm", "holm")])
def test_corrections_are_those_of_statsmodels(correction: str, name: str) -> None:
    rng = np.random.default_rng(4)
    for size in (1, 2, 7, 200):
        p = rng.random(size) ** 3
        p[: size // 3] = p[0]  # ties
        expected = multipletests(p, method=name)[1]
        assert adjust(p.tolist(), correction) == pytest.approx(expected)  # type: ignore[arg-type]
    assert adjust([]) == []


def test_holm_keeps_the_family_wise_error_under_the_null() -> None:
    rng = np.random.default_rng(5)
    wrong = sum(min(adjust(rng.random(18).tolist(), "holm")) < 0.05 for _ in range(600))
    assert wrong / 600 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 600)


def test_false_positives_are_nominal_and_of_the_exact_test_at_most_that() -> None:
    """The exact test is discrete, so it stays below 5 %: here by no more than two points."""
    rng = np.random.default_rng(6)
    exact = boot = 0
    for k in range(SETS):
        before = rng.integers(0, 2, 200).astype(float)
        flips = rng.random(200) < 0.15
        after = np.where(flips, 1 - before, before)
        exact += mcnemar(before, after).p < 0.05
        weights = resample(200, np.random.default_rng(k), 400)
        boot += bootstrap_p((weights @ (after - before)) / 200) < 0.05
    assert 0.03 - SLACK < exact / SETS < 0.05 + SLACK
    assert abs(boot / SETS - 0.05) < SLACK


def test_corrections_hold_their_rate_under_a_mixture_of_true_and_false_effects() -> None:
    """18 cells of which 12 have no effect: BH keeps the share of false stars, Holm their chance."""
    rng = np.random.default_rng(20)
    shares, any_false = [], 0
    for _ in range(SETS):
        p = np.concatenate([rng.random(12), rng.beta(0.1, 12, 6)]).tolist()
        found = [k for k, own in enumerate(adjust(p, "bh")) if own < 0.05]
        shares.append(sum(k < 12 for k in found) / max(1, len(found)))
        any_false += any(own < 0.05 for own in adjust(p, "holm")[:12])
    assert 0.02 < np.mean(shares) < 0.05 * 12 / 18 + SLACK
    assert 0.01 < any_false / SETS < 0.05 + SLACK


# -- the bootstrap ----------------------------------------------------------------------------


SETS = 800
SLACK = 3 * math.sqrt(0.95 * 0.05 / SETS)
"""Three standard errors of a coverage of 95 % over so many data sets: 2.3 points."""


def coverage(clustered: bool, by_cluster: bool, sets: int = SETS) -> float:
    """How often the 95 % interval of a change holds the truth (0)."""
    rng = np.random.default_rng(7)
    held = 0
    for k in range(sets):
        terms = np.repeat(np.arange(40), 5)
        shift = rng.normal(0, 1, 40)[terms] if clustered else rng.normal(0, 1, 200)
        after = shift + rng.normal(0, 0.5, 200)
        names = [f"t{t}" for t in terms] if by_cluster else [None] * 200
        found = paired_bootstrap([0.0] * 200, after.tolist(), names, seed=k, draws=400)
        assert found is not None
        held += not found.excludes(0.0)
    return held / sets


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Neither less often (they would claim too much) nor more (they would hide what there is)."""
    assert abs(coverage(clustered=False, by_cluster=False) - 0.95) < SLACK
    assert abs(coverage(clustered=True, by_cluster=True) - 0.95) < SLACK


def test_ignoring_clusters_would_claim_too_much() -> None:
    assert coverage(clustered=True, by_cluster=False, sets=200) < 0.85


def test_bootstrap_agrees_with_scipys() -> None:
    rng = np.random.default_rng(8)
    change = rng.normal(0.3, 1.0, 150)
    own = paired_bootstrap([0.0] * 150, change.tolist(), [None] * 150, draws=8000)
    theirs = scipy_stats.bootstrap(
        (change,), np.mean, n_resamples=8000, method="percentile", rng=np.random.default_rng(9)
    ).confidence_interval
    assert own is not None
    assert own.low == pytest.approx(theirs.low, abs=0.02)
    assert own.high == pytest.approx(theirs.high, abs=0.02)


def test_counting_tells_what_the_interval_tells() -> None:
    """`Draws.moved` counts draws on either side of zero instead of sorting them."""
    rng = np.random.default_rng(21)
    items = items_of(rng, clusters=False)
    moved = 0
    for shift in np.linspace(-0.6, 0.6, 120):
        chosen = rng.random(60) < abs(shift)
        after = [
            item.model_copy(update={"values": {**item.values, "d": float(shift > 0)}})
            if c
            else item
            for item, c in zip(items, chosen, strict=True)
        ]
        pair = ItemTable.of_items(items), ItemTable.of_items(after)
        draws = Resampler(seed=3, draws=200).paired(made("percent", ("d",)), [pair])[0]
        assert draws is not None
        assert draws.interval is not None
        assert draws.moved == draws.interval.excludes(0.0)
        moved += draws.moved
    assert 20 < moved < 100


def test_fewer_than_two_units_give_no_interval() -> None:
    metric = made("percent", ("d",))
    one = ItemTable.of_items([Item(id="a", values={"d": 1.0})])
    twins = ItemTable.of_items([Item(id=i, cluster="t", values={"d": 1.0}) for i in "ab"])
    assert Resampler().paired(metric, [(one, one), (twins, twins)]) == [None, None]
    assert paired_bootstrap([1.0], [0.0], [None]) is None
    assert percentile_interval(np.array([])) is None
    assert percentile_interval(np.array([1.0, math.nan])) is None


def items_of(rng: np.random.Generator, clusters: bool = True) -> list[Item]:
    return [
        Item(
            id=f"i{i}",
            cluster=f"c{i % 7}" if clusters else None,
            stratum="stereo" if i % 3 else "antistereo",
            values={
                "d": float(rng.integers(0, 2)),
                "e": float(rng.integers(0, 2)),
                "f": float(rng.integers(0, 2)),
                "nll": float(rng.random() * 9),
                "tokens": float(rng.integers(1, 9)),
            },
        )
        for i in range(60)
    ]


def made(estimator: str, of: tuple[str, ...], stratum: str | None = None) -> Metric:
    return Metric.of_items(
        "m", [], estimator=estimator, of=of, direction=TOWARDS_50, stratum=stratum
    )


EVERY: list[tuple[str, tuple[str, ...]]] = [
    ("percent", ("d",)),
    ("percent", ("d", "e")),
    ("percent_macro", ("d", "e")),
    ("percent_balanced", ("d",)),
    ("mean", ("nll",)),
    ("exp_rate", ("nll", "tokens")),
    ("icat", ("d", "e", "f")),
    ("icat_micro", ("d", "e", "f")),
    ("did", ("nll", "tokens")),
]


@pytest.mark.parametrize(("estimator", "of"), EVERY)
@pytest.mark.parametrize("clusters", [True, False])
def test_sums_give_what_the_estimators_give(
    estimator: str, of: tuple[str, ...], clusters: bool
) -> None:
    items = items_of(np.random.default_rng(10), clusters)
    table = ItemTable.of_items(items)
    strata = [item.stratum for item in items]
    layout = layout_of(made(estimator, of), table.ids, table.clusters, strata)
    own = layout.sums(table.columns(of))
    whole = layout.value(own.sums.sum(axis=1), layout.counts.sum(axis=1))
    assert whole == pytest.approx(estimate(items, estimator, of).value)


def test_draws_are_those_of_resampled_items_and_the_same_for_everybody() -> None:
    rng = np.random.default_rng(11)
    before, after = items_of(rng, clusters=False), items_of(rng, clusters=False)
    old, new = ItemTable.of_items(before), ItemTable.of_items(after)
    metric = made("exp_rate", ("nll", "tokens"))
    resampler = Resampler(seed=1, draws=5)
    one, same = resampler.paired(metric, [(old, new), (old, old)])
    assert one is not None
    assert same is not None
    assert same.interval == Interval(0.0, 0.0)
    weights = resampler.weights(tuple(f"\0{item.id}" for item in before))
    for k in range(5):
        drawn = [
            item.model_copy(update={"id": f"{item.id}-{j}"})
            for item, w in zip(after, weights[k], strict=True)
            for j in range(int(w))
        ]
        expected = estimate(drawn, metric.estimator, metric.of).value
        assert one.after[k] == pytest.approx(expected)
    again = Resampler(seed=1, draws=5).paired(metric, [(old, new)])[0]
    assert again is not None
    assert (again.after == one.after).all()
    other = Resampler(seed=2, draws=5).paired(metric, [(old, new)])[0]
    assert other is not None
    assert (other.after != one.after).any()


def test_only_shared_items_are_paired() -> None:
    items = items_of(np.random.default_rng(12), clusters=False)
    old, new = ItemTable.of_items(items[:40]), ItemTable.of_items(items[20:][::-1])
    at, there = aligned(old, new)
    assert [old.ids[i] for i in at] == [new.ids[j] for j in there]
    found = Resampler().paired(made("percent", ("d",)), [(old, new)])[0]
    assert found is not None
    assert (found.items, found.interval) == (20, Interval(0.0, 0.0))


def test_perplexity_change_is_resampled_by_window() -> None:
    """Windows that all rise alike leave no doubt; windows that differ do."""
    old = [Item(id=f"w{i}", values={"nll": 30.0 + i, "tokens": 10.0}) for i in range(30)]

    def after(rise: np.ndarray) -> ItemTable:
        return ItemTable.of_items(
            Item(id=i.id, values={"nll": i.values["nll"] + 10 * r, "tokens": 10.0})
            for i, r in zip(old, rise, strict=True)
        )

    metric = made("exp_rate", ("nll", "tokens")).model_copy(update={"direction": LOWER})
    before = ItemTable.of_items(old)
    rng = np.random.default_rng(13)
    alike, noisy = Resampler().paired(
        metric, [(before, after(np.full(30, 0.05))), (before, after(rng.normal(0, 0.5, 30)))]
    )
    assert alike is not None
    assert noisy is not None
    assert (alike.after / alike.before) == pytest.approx(np.exp(0.05))
    alike_interval, noisy_interval = alike.improvement_interval, noisy.improvement_interval
    assert alike_interval is not None
    assert noisy_interval is not None
    assert alike_interval.high < 0
    assert not noisy_interval.excludes(0.0)


def test_difference_in_differences_ignores_how_rare_a_group_is() -> None:
    """A constant taken from every sentence about one group changes the halves, not the score."""
    rng = np.random.default_rng(14)

    def items(rarer: float) -> list[Item]:
        made_items = []
        for i, base in enumerate(np.random.default_rng(15).normal(0.2, 1, 80)):
            stereo = i % 4 != 0
            # the disadvantaged group stands in `more` of a stereo pair, in `less` of the other
            more = base - (rarer if stereo else 0.0)
            less = 0.0 - (0.0 if stereo else rarer)
            half = "stereo" if stereo else "antistereo"
            made_items.append(Item(id=str(i), stratum=half, values={"more": more, "less": less}))
        return made_items

    of = ("more", "less")
    plain, shifted = (estimate(items(r), "did", of) for r in (0.0, float(rng.random() + 1)))
    assert plain.value == pytest.approx(shifted.value)
    assert plain.n == 80
    one_half = [item for item in items(0.0) if item.stratum == "stereo"]
    assert estimate(one_half, "did", of).value is None
    assert TOWARDS_0.improvement(-0.5, 0.2) == pytest.approx(0.3)


# -- seeds, power, transfer ---------------------------------------------------------------------


def test_seeds_give_scipys_t_interval_and_test() -> None:
    values = [1.2, 0.4, -0.3, 0.9, 0.7]
    found = over_seeds(values)
    assert found.sd == pytest.approx(np.std(values, ddof=1))
    theirs = scipy_stats.ttest_1samp(values, 0.0)
    assert found.interval == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert seeds_p(values) == pytest.approx(theirs.pvalue)


def test_one_seed_has_no_spread() -> None:
    assert over_seeds([2.0]) == (1, 2.0, None, None)
    assert seeds_p([2.0]) is None
    assert seeds_p([0.0, 0.0]) == 1.0
    assert seeds_p([1.0, 1.0]) is None
    with pytest.raises(ValueError, match="no value"):
        over_seeds([])


def test_seed_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(16)
    found = [over_seeds(rng.normal(3, 2, 5).tolist()).interval for _ in range(1000)]
    held = sum(own is not None and not own.excludes(3.0) for own in found)
    assert held / 1000 == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 1000))


def test_the_detectable_change_is_detected_in_four_of_five_runs() -> None:
    n = 516
    points = minimal_detectable_change(n)
    assert points is not None
    rng = np.random.default_rng(17)
    share = points / 100
    found = 0
    for _ in range(2000):
        lost, gained, _ = rng.multinomial(n, [(0.1 + share) / 2, (0.1 - share) / 2, 0.9])
        found += mcnemar_p(int(gained), int(lost)) < 0.05
    # the exact test sees a little less than the normal approximation promises
    assert found / 2000 == pytest.approx(0.78, abs=3 * math.sqrt(0.8 * 0.2 / 2000))


def test_the_detectable_change_of_a_perplexity_is_seen_in_four_of_five_runs() -> None:
    """Of a mean over windows with a known spread: 2.8 standard errors."""
    rng = np.random.default_rng(22)
    seen = 0
    bounds = []
    for k in range(600):
        noise = rng.normal(0, 1, 60)
        weights = resample(60, np.random.default_rng(k), 300)
        points = detectable_in_draws(weights @ noise / 60, 60)
        assert points is not None
        bounds.append(points)
        seen += bootstrap_p(weights @ (noise + 2.8 / math.sqrt(60)) / 60) < 0.05
    assert np.mean(bounds) == pytest.approx(2.8 / math.sqrt(60), rel=0.02)
    assert seen / 600 == pytest.approx(0.8, abs=3 * math.sqrt(0.8 * 0.2 / 600))
    assert detectable_in_draws(np.zeros(300), 60) is None
    assert detectable_in_draws(np.array([math.nan]), 60) is None


def test_a_ratio_is_undefined_where_the_source_did_not_surely_improve() -> None:
    rng = np.random.default_rng(18)
    target = rng.normal(1.0, 0.3, 2000)
    sure, unsure = rng.normal(4.0, 0.5, 2000), rng.normal(0.3, 1.0, 2000)
    found = ratio(1.0, 4.0, target, sure)
    assert found.value == 0.25
    assert found.interval is not None
    assert found.interval.low < 0.25 < found.interval.high
    assert ratio(1.0, 0.3, target, unsure)[:2] == (None, None)
    assert "may not have improved" in (ratio(1.0, 0.3, target, unsure).reason or "")
    assert "got worse" in (ratio(1.0, -4.0, target, -sure).reason or "")
    assert ratio(1.0, 4.0, None, sure).value is None


def test_ratio_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Improvements of 2 on the target and 5 on the source, known up to noise."""
    rng = np.random.default_rng(19)
    held = 0
    for _ in range(1000):
        t, s = rng.normal(2, 0.5), rng.normal(5, 0.7)
        found = ratio(t, s, rng.normal(t, 0.5, 800), rng.normal(s, 0.7, 800))
        assert found.interval is not None
        held += not found.interval.excludes(0.4)
    assert held / 1000 == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 1000))


def test_directions_of_arrays_are_those_of_numbers() -> None:
    from harness.analysis.bootstrap import distance

    values = np.array([40.0, 50.0, 61.0])
    for direction in (HIGHER, LOWER, TOWARDS_50):
        assert distance(direction, values).tolist() == [direction.distance(v) for v in values]
