"""Statistics against scipy, statsmodels and simulation: coverage, false positives, published p."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests

from harness.analysis.corrections import adjust
from harness.analysis.resampling_units import layout_of
from harness.analysis.stats import mcnemar_p
from harness.metrics import TOWARDS_50, Item, Metric, estimate
from harness.storage.item_table import ItemTable

SETS = 800
SLACK = 3 * math.sqrt(0.95 * 0.05 / SETS)
"""Three standard errors of a rate of 5 % over so many data sets: 2.3 points."""

# -- tests and corrections --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "p"),
    [
        (153, 147, 0.03125),
        (298, 284, 0.0001220703125),
        (71, 67, 0.125),
        (161, 156, 0.0625),
        (577, 552, 5.960464477539063e-08),
        (45, 42, 0.25),
    ],
)
def test_the_papers_counts_give_the_papers_best_case_p_values(
    before: int, after: int, p: float
) -> None:
    """METHODS 1.2: counts at steps 0 and 50, nothing flipping the other way."""
    assert mcnemar_p(0, before - after) == pytest.approx(p)


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


# -- sums over units --------------------------------------------------------------------------


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
