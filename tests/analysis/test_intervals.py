"""Intervals and tests by simulation, from both sides, and against scipy, statsmodels and Owen.

A rate "from both sides" must be near its nominal value: too few hits claim too much, too many hide
what there is. Data sets are simulated all at once, as arrays.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from rates import block, covered, jackknife_of_means, slack, two_way
from scipy import stats as scipy_stats

from harness.analysis.effects import BASE, Block, Effect, combined
from harness.analysis.stats import (
    FEWEST_FITS,
    crossed_blocks,
    detectable_change,
    detectable_share_change,
    influence,
    mcnemar_p,
    over_fits,
    share_change_interval,
    t_interval,
    t_p,
)

# -- units -------------------------------------------------------------------------------------

SETS = 4000


@pytest.mark.parametrize("units", [2, 3, 8, 20, 200])
def test_t_over_units_keeps_its_rates_whatever_their_number(units: int) -> None:
    """The percentile bootstrap had false-positive rates of .48, .29, .12 and .07 here."""
    changes = np.random.default_rng(units).normal(0, 1, (SETS, units))
    influences = jackknife_of_means(changes)
    variance = (influences**2).sum(axis=1)
    p_values = t_p(changes.mean(axis=1), variance, units - 1.0)
    assert np.mean(p_values < 0.05) == pytest.approx(0.05, abs=slack(SETS))
    inside = covered(changes.mean(axis=1), variance, units - 1.0)
    assert inside.mean() == pytest.approx(0.95, abs=slack(SETS))
    theirs = scipy_stats.ttest_1samp(changes[:50], 0.0, axis=1)
    assert p_values[:50] == pytest.approx(theirs.pvalue)
    low, high = theirs.confidence_interval(0.95)
    interval = t_interval(changes[0].mean(), variance[0], units - 1.0)
    assert interval == pytest.approx((low[0], high[0]))


@pytest.mark.parametrize("clusters", [8, 20, 60])
def test_clusters_are_the_units(clusters: int) -> None:
    """Items of a cluster move together: units are clusters, and items would claim too much."""
    rng = np.random.default_rng(clusters)
    shared = rng.normal(0, 1, (SETS, clusters, 1))
    changes = shared + rng.normal(0, 1, (SETS, clusters, 5))
    by_cluster = jackknife_of_means(changes.mean(axis=2))
    variance = (by_cluster**2).sum(axis=1)
    inside = covered(changes.mean(axis=(1, 2)), variance, clusters - 1.0)
    assert inside.mean() == pytest.approx(0.95, abs=slack(SETS))
    by_item = jackknife_of_means(changes.reshape(SETS, -1))
    variance = (by_item**2).sum(axis=1)
    ignored = covered(changes.mean(axis=(1, 2)), variance, clusters * 5 - 1.0)
    assert ignored.mean() < 0.85


def test_the_variance_over_clusters_is_statsmodels_cluster_robust_one() -> None:
    rng = np.random.default_rng(3)
    for sizes in ([5] * 12, rng.integers(4, 9, 40).tolist()):
        group = np.repeat(np.arange(len(sizes)), sizes)
        changes = rng.normal(0, 1, len(sizes))[group] + rng.normal(0, 1, len(group))
        fitted = sm.OLS(changes, np.ones(len(group))).fit(
            cov_type="cluster", cov_kwds={"groups": group}
        )
        sums = np.bincount(group, weights=changes)
        counts = np.bincount(group)
        without = (sums.sum() - sums) / (counts.sum() - counts)
        own = float((influence(without) ** 2).sum())
        # equal clusters: the same; else the jackknife is the slightly larger one
        exact = len(set(sizes)) == 1
        assert own == pytest.approx(float(fitted.cov_params()[0][0]), rel=1e-9 if exact else 0.06)


@pytest.mark.parametrize("units", [8, 20])
def test_heavy_tails_and_skew_do_not_raise_false_positives_by_much(units: int) -> None:
    rng = np.random.default_rng(units)
    for changes in (
        rng.standard_t(3, (SETS, units)),
        rng.exponential(1.0, (SETS, units)) - rng.exponential(1.0, (SETS, units)),
    ):
        variance = (jackknife_of_means(changes) ** 2).sum(axis=1)
        rate = np.mean(t_p(changes.mean(axis=1), variance, units - 1.0) < 0.05)
        assert 0.03 - slack(SETS) < rate < 0.05 + slack(SETS)


def test_a_change_without_variance() -> None:
    assert float(t_p(0.0, 0.0, 9.0)) == 1.0
    assert float(t_p(0.3, 0.0, 9.0)) == 0.0


# -- shares ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("items", "flips", "drift"), [
    (20, 0.1, 0.0), (80, 0.1, 0.0), (262, 0.02, 0.0), (262, 0.13, 0.05), (516, 0.2, -0.1),
])  # fmt: skip
def test_the_interval_of_a_share_covers_its_change(items: int, flips: float, drift: float) -> None:
    up, down = (flips + drift) / 2, (flips - drift) / 2
    counts = np.random.default_rng(items).multinomial(items, [up, down, 1 - flips], 2000)
    held = [not share_change_interval(int(g), int(k), items).excludes(100 * drift)
            for g, k, _ in counts]  # fmt: skip
    assert 0.94 - slack(2000) < np.mean(held) < 0.995


def test_no_flip_is_no_certainty() -> None:
    found = share_change_interval(0, 0, 262)
    assert found.low == -found.high < -0.5
    assert share_change_interval(8, 0, 8).high <= 100.0
    mirrored = share_change_interval(3, 9, 100)
    assert share_change_interval(9, 3, 100) == pytest.approx((-mirrored.high, -mirrored.low))


# -- items and fits ----------------------------------------------------------------------------


@pytest.mark.parametrize("items", [10, 80, 262])
@pytest.mark.parametrize("fits", [3, 4, 6])
def test_crossed_intervals_cover(fits: int, items: int) -> None:
    sets = 1500
    changes = two_way(np.random.default_rng(fits * items), sets, fits, items)
    variance, df = crossed_blocks(changes.mean(axis=2), jackknife_of_means(changes))
    inside = covered(changes.mean(axis=(1, 2)), variance, df)
    assert 0.93 - slack(sets) < inside.mean() < 0.975


@pytest.mark.parametrize("spread", [0.0, 0.05, 1.0])
def test_crossed_intervals_cover_whatever_the_share_of_the_fits(spread: float) -> None:
    sets = 1500
    changes = two_way(np.random.default_rng(7), sets, 5, 60, spread)
    variance, df = crossed_blocks(changes.mean(axis=2), jackknife_of_means(changes))
    inside = covered(changes.mean(axis=(1, 2)), variance, df)
    assert 0.93 - slack(sets) < inside.mean() < 0.985


def test_items_or_fits_alone_would_claim_too_much() -> None:
    sets = 1500
    changes = two_way(np.random.default_rng(8), sets, 5, 80)
    mean = changes.mean(axis=(1, 2))
    items = (jackknife_of_means(changes.mean(axis=1)) ** 2).sum(axis=1)
    fits = changes.mean(axis=2).var(axis=1, ddof=1) / 5
    assert covered(mean, items, 79.0).mean() < 0.9
    assert covered(mean, fits, 4.0).mean() < 0.85


def test_with_two_fits_the_interval_is_over_items_alone() -> None:
    changes = two_way(np.random.default_rng(9), 3, FEWEST_FITS - 1, 50)
    variance, df = crossed_blocks(changes.mean(axis=2), jackknife_of_means(changes))
    items = (jackknife_of_means(changes.mean(axis=1)) ** 2).sum(axis=1)
    assert variance == pytest.approx(items)
    assert df.tolist() == [49.0] * 3


def test_the_crossed_variance_is_that_of_owens_bootstrap() -> None:
    """Owen (2007): resample items and fits independently; it is a little too large by design."""
    rng = np.random.default_rng(10)
    changes = rng.normal(0, 1, (1, 40, 120)) * 0.0
    changes = changes + rng.normal(0, 0.8, (1, 1, 120)) + rng.normal(0, 0.3, (1, 40, 1))
    changes = changes + rng.normal(0, 1.0, (1, 40, 120))
    variance, _ = crossed_blocks(changes.mean(axis=2), jackknife_of_means(changes))
    fits = rng.multinomial(40, [1 / 40] * 40, 3000) / 40
    items = rng.multinomial(120, [1 / 120] * 120, 3000) / 120
    drawn = np.einsum("sf,fi,si->s", fits, changes[0], items)
    residual = 1.0 / (40 * 120)
    assert drawn.var() == pytest.approx(float(variance[0]) + 2 * residual, rel=0.12)


def test_an_effect_has_the_variance_of_its_block() -> None:
    changes = two_way(np.random.default_rng(11), 4, 5, 30)
    influences = jackknife_of_means(changes)
    variance, df = crossed_blocks(changes.mean(axis=2), influences)
    units = tuple(f"i{k}" for k in range(30))
    for k in range(4):
        effect = Effect((Block(tuple("abcde"), units, changes[k].mean(axis=1), influences[k]),))
        assert effect.variance is not None
        assert float(effect.variance.value) == pytest.approx(float(variance[k]))
        assert float(effect.variance.df) == pytest.approx(float(df[k]))
        assert effect.covers == "items and fits"


def test_what_a_method_and_its_control_share_cancels() -> None:
    """On the same items only what differs is uncertain; on other items both are."""
    rng = np.random.default_rng(12)
    shared = rng.normal(0, 5, (1, 60))
    units = tuple(f"i{k}" for k in range(60))
    method = shared + rng.normal(0.5, 1, (5, 60))
    control = shared + rng.normal(0.0, 1, (5, 60))
    one, two = block(method, tuple("abcde"), units), block(control, tuple("vwxyz"), units)
    paired = combined([(1.0, one), (-1.0, two)])
    apart = combined(
        [(1.0, one), (-1.0, block(control, tuple("vwxyz"), tuple("j" + u for u in units)))]
    )
    assert paired.variance is not None
    assert apart.variance is not None
    assert float(paired.variance.value) < 0.1 * float(apart.variance.value)
    nothing = combined([(1.0, one), (-1.0, one)])
    assert nothing.value == 0.0
    assert nothing.variance is not None
    assert float(nothing.variance.value) == 0.0


def test_overlapping_sets_of_units_are_added_unit_by_unit() -> None:
    rng = np.random.default_rng(13)
    values = rng.normal(0, 1, (1, 40))
    names = tuple(f"i{k}" for k in range(40))
    whole = block(values, BASE, names)
    part = block(values[:, :25], BASE, names[:25])
    both = combined([(0.5, whole), (0.5, part)])
    assert both.variance is not None
    assert whole.variance is not None
    assert part.variance is not None
    independent = 0.25 * float(whole.variance.value) + 0.25 * float(part.variance.value)
    assert float(both.variance.value) > 1.3 * independent


@pytest.mark.parametrize("units", [2, 3, 7])
def test_an_effect_of_a_handful_of_units_has_no_interval(units: int) -> None:
    values = np.random.default_rng(14).normal(0, 1, (1, units))
    found = block(values, BASE, tuple(map(str, range(units))))
    assert found.variance is None
    assert found.interval is None
    assert found.p is None
    assert block(np.random.default_rng(14).normal(0, 1, (1, 8)), BASE, tuple("abcdefgh")).interval


def test_fits_alone_are_scipys_t() -> None:
    values = [1.2, 0.4, -0.3, 0.9, 0.7]
    found = over_fits(values)
    theirs = scipy_stats.ttest_1samp(values, 0.0)
    assert found.sd == pytest.approx(np.std(values, ddof=1))
    assert found.interval == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert over_fits([2.0]) == (1, 2.0, None, None)
    with pytest.raises(ValueError, match="no value"):
        over_fits([])


# -- what a design can see ---------------------------------------------------------------------


@pytest.mark.parametrize(("items", "flips"), [(262, 0.13), (516, 0.1), (962, 0.26)])
@pytest.mark.parametrize("level", [0.05, 0.05 / 42])
def test_a_detectable_share_is_found_in_four_of_five_runs(
    items: int, flips: float, level: float
) -> None:
    points = detectable_share_change(items, flips, alpha=level)
    share = points / 100
    rng = np.random.default_rng(items)
    counts = rng.multinomial(items, [(flips + share) / 2, (flips - share) / 2, 1 - flips], 1500)
    found = np.mean([mcnemar_p(int(g), int(k)) < level for g, k, _ in counts])
    # the exact test is a little more cautious than the normal approximation
    assert found == pytest.approx(0.77, abs=slack(1500, 0.8) + 0.02)
    root = math.sqrt(flips)
    za, zb = scipy_stats.norm.ppf(1 - level / 2), scipy_stats.norm.ppf(0.8)
    assert za * root + zb * math.sqrt(flips - share**2) == pytest.approx(share * math.sqrt(items))


@pytest.mark.parametrize("units", [8, 20, 200])
def test_a_detectable_mean_is_found_in_four_of_five_runs(units: int) -> None:
    rng = np.random.default_rng(units)
    change = detectable_change(1.0 / units, units - 1.0)
    values = rng.normal(change, 1.0, (SETS, units))
    variance = (jackknife_of_means(values) ** 2).sum(axis=1)
    found = np.mean(t_p(values.mean(axis=1), variance, units - 1.0) < 0.05)
    assert found == pytest.approx(0.8, abs=slack(SETS, 0.8) + 0.02)
