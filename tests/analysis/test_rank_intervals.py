"""Corrections of families, ratios and ranks: rates against drawn data."""

from __future__ import annotations

import numpy as np
import pytest
from rates import block, slack, two_way

from harness.analysis.corrections import CORRECTIONS, adjust
from harness.analysis.effects import BASE, combined
from harness.analysis.interval import Interval
from harness.analysis.rank_intervals import pairwise_p, rank_intervals
from harness.analysis.stats import (
    ratio_interval,
)

# -- families ----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [40, 400])
def test_corrections_keep_their_rates_in_families(family: int) -> None:
    """A tenth of the tests has an effect: BH bounds the share of false stars, Holm any of them."""
    rng = np.random.default_rng(family)
    sets, true = 400, family // 10
    shares_, any_false, found_all = [], 0, 0
    for _ in range(sets):
        p = np.concatenate([rng.random(family - true), rng.beta(0.05, 12, true)]).tolist()
        stars = [k for k, q in enumerate(adjust(p, "bh")) if q < 0.05]
        shares_.append(sum(k < family - true for k in stars) / max(1, len(stars)))
        any_false += any(q < 0.05 for q in adjust(p, "holm")[: family - true])
        found_all += sum(k >= family - true for k in stars)
    assert 0.02 < np.mean(shares_) < 0.05 + slack(sets, 0.05)
    assert 0.01 < any_false / sets < 0.05 + slack(sets, 0.05)
    assert found_all / (sets * true) > 0.3


@pytest.mark.parametrize("name", list(CORRECTIONS))
def test_the_level_of_a_correction_is_where_its_stars_begin(name: str) -> None:
    rng = np.random.default_rng(16)
    p = np.sort(np.concatenate([rng.random(36), rng.beta(0.05, 40, 4)]))
    adjusted = adjust(p.tolist(), name)
    significant = sum(q < 0.05 for q in adjusted)
    level = CORRECTIONS[name].level(0.05, 40, significant)
    assert p[significant - 1] <= level
    assert p[significant] > level or name == "holm"


# -- ratios and ranks --------------------------------------------------------------------------


def test_ratio_intervals_cover_and_are_unbounded_where_the_source_may_not_have_improved() -> None:
    rng = np.random.default_rng(19)
    held = []
    for _ in range(3000):
        top, bottom = rng.normal(2, 0.5), rng.normal(5, 0.7)
        found = ratio_interval(top, bottom, 0.25, 0.49, 0.0, 1e6)
        assert found is not None
        held.append(not found.excludes(0.4))
    assert np.mean(held) == pytest.approx(0.95, abs=slack(3000))
    assert ratio_interval(2.0, 1.0, 0.25, 0.49, 0.0, 1e6) is None


def test_rank_intervals_hold_the_true_ranks() -> None:
    """Ten methods, some alike: all true ranks are inside in 95 of 100 boards, for each method."""
    rng = np.random.default_rng(20)
    truth = np.array([0.0, 0.0, 0.05, 0.3, 0.35, 0.4, 0.8, 0.8, 1.2, 2.0])
    units = tuple(map(str, range(100)))
    held = np.zeros(10)
    widths = np.zeros(10)
    sets = 200
    for _ in range(sets):
        shared = rng.normal(0, 2, 100)
        values = truth[:, None] + shared + rng.normal(0, 1, (10, 100))
        effects = [block(v[None, :], BASE, units) for v in values]
        for k, (low, high) in enumerate(rank_intervals(effects)):
            first = 1 + int((truth < truth[k]).sum())
            last = 10 - int((truth > truth[k]).sum())
            held[k] += (
                low <= first and last <= high if first == last else low <= last and first <= high
            )
            widths[k] += high - low + 1
    assert (held / sets > 0.95 - slack(sets)).all()
    assert widths[-1] / sets < 1.2  # the last one is far from the others
    assert widths[0] / sets < 5


def test_pairwise_variances_of_ranks_are_those_of_effects() -> None:
    rng = np.random.default_rng(21)
    units = tuple(map(str, range(40)))
    effects = [
        block(two_way(rng, 1, 4, 40)[0] + k / 4, tuple(f"{k}{j}" for j in range(4)), units)
        for k in range(4)
    ]
    found = pairwise_p(effects)
    for i in range(4):
        for j in range(4):
            if i != j:
                difference = combined([(1.0, effects[i]), (-1.0, effects[j])])
                assert found[i, j] == pytest.approx(difference.p, rel=0.15, abs=0.02)


def test_an_interval_says_what_it_excludes() -> None:
    assert Interval(0.1, 0.3).excludes(0.0)
    assert not Interval(-0.1, 0.3).excludes(0.0)
