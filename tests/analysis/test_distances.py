"""Distances to the ideal, and improvements: bias, variance and coverage against drawn data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from rates import jackknife_of_means, slack
from scipy import stats as scipy_stats

from harness.analysis.effects import BASE, Block, Distance, Effect, mean_distance, nearer
from harness.analysis.stats import (
    influence,
    share_interval,
    squared_distance,
    t_quantile,
)
from harness.arrays import Floats


def shares(rng: np.random.Generator, rate: float, sets: int, items: int) -> Floats:
    """Decisions in percent less 50, shape ``(sets, items)``."""
    return 100.0 * (rng.random((sets, items)) < rate / 100.0) - 50.0


@pytest.mark.parametrize("rate", [50, 51, 55, 65])
@pytest.mark.parametrize("items", [8, 20, 80, 262])
def test_the_squared_distance_is_unbiased(rate: int, items: int) -> None:
    """The distance itself is folded: at 50 it would always be above zero."""
    sets = 20000 if items < 100 else 6000
    values = shares(np.random.default_rng(rate + items), rate, sets, items)
    estimate, _ = squared_distance(values.mean(axis=1), jackknife_of_means(values))
    p = values.mean(axis=1) / 100.0 + 0.5
    assert estimate == pytest.approx(1e4 * ((p - 0.5) ** 2 - p * (1 - p) / (items - 1)), abs=1e-6)
    error = estimate.std() / math.sqrt(sets)
    assert estimate.mean() == pytest.approx((rate - 50.0) ** 2, abs=4 * error)
    if rate == 50:
        folded = np.abs(values.mean(axis=1))
        assert folded.mean() ** 2 > estimate.mean() + 8 * error


def test_the_squared_distance_of_a_mean_is_the_square_less_its_sampling_variance() -> None:
    values = np.random.default_rng(15).normal(0.4, 2.0, (5, 30))
    estimate, influences = squared_distance(values.mean(axis=1), jackknife_of_means(values))
    expected = values.mean(axis=1) ** 2 - values.var(axis=1, ddof=1) / 30
    assert estimate == pytest.approx(expected)
    one = values[0]
    without = np.array(
        [m.mean() ** 2 - m.var(ddof=1) / 29 for m in (np.delete(one, k) for k in range(30))]
    )
    assert influences[0] == pytest.approx(influence(without[None, :])[0])


def distance(values: Floats, fits: tuple[str, ...], units: tuple[str, ...]) -> Distance:
    """Distance of one score, from deviations of shape ``(items,)``."""
    influences = jackknife_of_means(values)
    estimate, spread = squared_distance(values.mean(), influences)
    square = Effect((Block(fits, units, np.array([float(estimate)]), spread[None, :]),))
    signed = Effect((Block(fits, units, np.array([float(values.mean())]), influences[None, :]),))
    return Distance(square, {units: float((influences**2).sum())}, signed)


@pytest.mark.parametrize(
    ("base", "after", "items", "cells"),
    [(65, 60, 80, 1), (65, 60, 262, 1), (65, 60, 262, 6), (65, 50, 262, 6), (55, 55, 262, 6),
     (65, 40, 262, 6), (55, 50, 262, 6)],
)  # fmt: skip
def test_intervals_of_improvement_cover(base: int, after: int, items: int, cells: int) -> None:
    """For single scores and means of six, where the base differs significantly from the ideal."""
    rng = np.random.default_rng(base + after + items + cells)
    held, improvements = [], []
    for _ in range(250):
        before, later = [], []
        for cell in range(cells):
            units = tuple(f"{cell}/{k}" for k in range(items))
            uniform = rng.random(items)
            again = np.where(rng.random(items) < 0.1, rng.random(items), uniform)
            before.append(distance(100.0 * (uniform < base / 100) - 50.0, BASE, units))
            later.append(distance(100.0 * (again < after / 100) - 50.0, ("f",), units))
        one, two = mean_distance(before), mean_distance(later)
        if not one.distinguishable:
            continue
        found = nearer(one, two)
        assert found.interval is not None
        truth = abs(base - 50) - abs(after - 50)
        held.append(not found.interval.excludes(truth))
        improvements.append(found.value)
    assert np.mean(held) > 0.95 - slack(len(held)) - 0.01
    if base == 65:  # else only the larger bases differ significantly from the ideal
        assert np.mean(improvements) == pytest.approx(truth, abs=1.2)


def scores(
    rng: np.random.Generator, base: float, after: float, items: int, clustered: bool
) -> tuple[Distance, Distance]:
    """A base and a model on the same items, or on a fifth as many clusters of five."""
    size = 5 if clustered else 1
    groups = items // size
    shared = rng.normal(0, 0.6, (groups, 1)) if clustered else 0.0
    own = shared + rng.normal(0, 0.8 if clustered else 1.0, (groups, size))
    again = 0.95 * own + 0.31 * rng.normal(0, 1, (groups, size))
    units = tuple(map(str, range(groups)))
    one, two = (
        (100.0 * (margin + scipy_stats.norm.ppf(rate / 100.0) > 0) - 50.0).mean(axis=1)
        for margin, rate in ((own, base), (again, after))
    )
    return distance(one, BASE, units), distance(two, ("f",), units)


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize(("base", "after"), [
    (50, 50), (51, 55), (55, 50), (55, 60), (65, 60), (65, 50), (65, 40),
])  # fmt: skip
def test_the_interval_of_a_single_improvement_covers_where_it_is_shown(
    base: int, after: int, clustered: bool
) -> None:
    """The base differs significantly from the ideal. By the delta method it was .72 to .92."""
    truth = abs(base - 50) - abs(after - 50)
    for items in (20, 80, 200) if not clustered else (80, 200):
        rng = np.random.default_rng(base + after + items)
        held: list[bool] = []
        for _ in range(1200):
            one, two = scores(rng, base, after, items, clustered)
            if one.distinguishable:
                found = nearer(one, two, selected=True).interval
                if found is not None:  # no item decides otherwise: nothing is shown
                    held.append(not found.excludes(truth))
            if len(held) == 80:
                break
        assert len(held) > 20
        assert np.mean(held) > 0.93 - slack(len(held), 0.93)


@pytest.mark.parametrize(("base", "after"), [(65, 60), (65, 50), (65, 40), (55, 45)])
def test_without_a_selection_the_interval_of_a_distance_is_no_wider_than_it_must_be(
    base: int, after: int
) -> None:
    """The ideal itself, where distances have their kink, costs no coverage either."""
    rng = np.random.default_rng(base + after)
    truth, held = abs(base - 50) - abs(after - 50), []
    for _ in range(500):
        found = nearer(*scores(rng, base, after, 200, clustered=False)).interval
        assert found is not None
        held.append(not found.excludes(truth))
    assert 0.95 - slack(500) - 0.01 < np.mean(held) < 0.95 + slack(500)


def test_on_one_side_of_the_ideal_the_interval_is_that_of_the_change() -> None:
    rng = np.random.default_rng(31)
    before = rng.normal(6.0, 1.0, 90)
    after = before - rng.normal(1.0, 0.5, 90)
    units = tuple(map(str, range(90)))
    one, two = distance(before, BASE, units), distance(after, ("f",), units)
    theirs = scipy_stats.ttest_1samp(before - after, 0.0).confidence_interval(0.95)
    for selected in (False, True):
        assert nearer(one, two, selected=selected).interval == pytest.approx(tuple(theirs))


def test_a_score_that_no_unit_moved_has_no_interval() -> None:
    values = shares(np.random.default_rng(34), 70, 1, 90)[0]
    units = tuple(map(str, range(90)))
    one, two = distance(values, BASE, units), distance(values.copy(), ("f",), units)
    found = nearer(one, two, selected=True)
    assert (found.value, found.interval) == (0.0, None)


def test_a_base_that_is_barely_selected_says_less_than_it_seems_to() -> None:
    """The limits given the selection, against the conditional distribution itself."""
    units = tuple(map(str, range(400)))
    noise = np.random.default_rng(32).normal(0, 1, 400)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    one = distance(noise * 20.0 + 2.1, BASE, units)  # 2.1 standard errors above
    gone = distance(np.zeros(400), ("f",), units)  # no distance and no noise: base alone
    plain = nearer(one, gone).interval
    given = nearer(one, gone, selected=True).interval
    assert plain is not None
    assert given is not None
    assert plain == pytest.approx((2.1 - t_quantile(399.0), 2.1 + t_quantile(399.0)), rel=1e-6)
    cut, error = t_quantile(399.0), t_quantile(399.0) / t_quantile(1e9)

    def at_least(mean: float) -> float:
        """The chance of 2.1 or more, of numbers beyond the cut on either side."""
        above = scipy_stats.norm.sf(2.1, mean, error)
        return float(
            above
            / (scipy_stats.norm.sf(cut, mean, error) + scipy_stats.norm.cdf(-cut, mean, error))
        )

    assert at_least(given.low) == pytest.approx(0.025, abs=2e-3)
    assert at_least(given.high) == pytest.approx(0.975, abs=2e-3)
    assert given.low < plain.low


@pytest.mark.parametrize("spread", [0.0, 1.5])
def test_a_root_mean_square_over_fits_has_an_interval_that_covers(spread: float) -> None:
    rng = np.random.default_rng(33)
    truth, held = 5.0 - math.hypot(0.5, spread), []
    units, fits = tuple(map(str, range(120))), tuple("abcd")
    for _ in range(400):
        own = rng.normal(0, 10, 120)
        one = distance(5.0 + own, BASE, units)
        later = 0.5 + 0.9 * own + rng.normal(0, 4, (4, 120)) + rng.normal(0, spread, (4, 1))
        influences = jackknife_of_means(later)
        squares, parts = squared_distance(later.mean(axis=1), influences)
        two = Distance(
            Effect((Block(fits, units, squares, parts),)),
            {units: float((influences**2).sum(axis=1).mean())},
            Effect((Block(fits, units, later.mean(axis=1), influences),)),
        )
        found = nearer(one, two)
        assert found.covers == "items and fits"
        assert found.interval is not None
        held.append(not found.interval.excludes(truth))
    assert np.mean(held) > 0.93 - slack(400, 0.93)


@pytest.mark.parametrize("items", [20, 80, 200])
@pytest.mark.parametrize("rate", [0.5, 0.51, 0.55, 0.65, 0.99])
def test_the_interval_of_a_share_is_scipys_and_covers(items: int, rate: float) -> None:
    weights = scipy_stats.binom.pmf(np.arange(items + 1), items, rate)
    found = [share_interval(k, items) for k in range(items + 1)]
    inside = np.array([not own.excludes(100 * rate) for own in found])
    assert (0.9 if rate > 0.9 else 0.93) < weights[inside].sum() < 0.985
    for k in (0, items // 3, items):
        theirs = scipy_stats.binomtest(k, items).proportion_ci(method="wilson")
        assert found[k] == pytest.approx((100 * theirs.low, 100 * theirs.high), abs=1e-9)


@pytest.mark.parametrize("items", [20, 80, 262])
@pytest.mark.parametrize("cells", [1, 6])
def test_a_base_at_the_ideal_cannot_be_told_from_it(items: int, cells: int) -> None:
    rng = np.random.default_rng(items + cells)
    told = 0
    for _ in range(400):
        scores = [
            distance(shares(rng, 50, 1, items)[0], BASE, tuple(f"{c}/{k}" for k in range(items)))
            for c in range(cells)
        ]
        told += mean_distance(scores).distinguishable
    assert told / 400 == pytest.approx(0.05, abs=slack(400, 0.05) + 0.01)
    far = [
        distance(shares(rng, 70, 1, 262)[0], BASE, tuple(f"{c}/{k}" for k in range(262)))
        for c in range(cells)
    ]
    assert mean_distance(far).distinguishable
