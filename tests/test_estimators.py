"""Estimators: one object behind the estimate, the bootstrap and the check of stored numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from made_runs import write_measurement
from scipy import stats

from harness.analysis.changes import ChangeReader
from harness.arrays import Floats
from harness.errors import PluginError
from harness.estimators import (
    BUILT_IN,
    Estimator,
    Sample,
    estimate_sample,
    find_estimator,
    install,
    known_estimators,
    value_of,
)
from harness.hookspecs import hookimpl
from harness.metrics import (
    HIGHER,
    LOWER,
    TOWARDS_0,
    TOWARDS_50,
    Direction,
    Item,
    Metric,
    MetricDefinition,
    estimate,
)
from harness.plugins import Origin, build_registry
from harness.replay.verification import verify
from harness.storage.item_table import ItemTable
from harness.storage.records import RunIndex
from harness.storage.store import Store
from harness.types import Measurement

ORIGIN = Origin("third-party", "third-party", "1.0")


def items(n: int = 60, seed: int = 0) -> list[Item]:
    """Items with two scores, two decisions, clusters of different sizes and two strata."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        a, b, c, d = rng.standard_t(3, 4)
        found.append(
            Item(
                id=f"i{i}",
                cluster=f"c{int(rng.integers(0, 7))}",
                stratum="stereo" if rng.random() < 0.7 else "antistereo",
                values={
                    "a": a, "b": b, "c": c, "d": d, "hit": float(a > b), "other": float(a > c),
                    "nll": float(rng.random() * 9), "tokens": float(rng.integers(1, 9)),
                },
            )
        )  # fmt: skip
    return found


def column(rows: Sequence[Item], name: str) -> Floats:
    return np.array([row.values[name] for row in rows])


def margins(rows: Sequence[Item]) -> Floats:
    return column(rows, "a") - column(rows, "b")


def by(rows: Sequence[Item], key: str) -> list[list[Item]]:
    groups: dict[Any, list[Item]] = {}
    for row in rows:
        groups.setdefault(getattr(row, key), []).append(row)
    return list(groups.values())


def macro(rows: Sequence[Item], *names: str) -> float:
    shares = [np.mean([row.values[n] for row in g for n in names]) for g in by(rows, "cluster")]
    return float(100 * np.mean(shares))


def icat(ss: float, lm: float) -> float:
    return lm * min(ss, 100 - ss) / 50


FORMULAS: dict[str, tuple[tuple[str, ...], Callable[[list[Item]], float]]] = {
    "percent": (("hit", "other"), lambda r: 50 * (column(r, "hit") + column(r, "other")).mean()),
    "percent_macro": (("hit", "other"), lambda r: macro(r, "hit", "other")),
    "percent_balanced": (
        ("hit",),
        lambda r: float(np.mean([100 * column(g, "hit").mean() for g in by(r, "stratum")])),
    ),
    "mean": (("a",), lambda r: float(column(r, "a").mean())),
    "exp_rate": (
        ("nll", "tokens"), lambda r: math.exp(column(r, "nll").sum() / column(r, "tokens").sum())
    ),
    "icat": (("hit", "other", "hit"), lambda r: icat(macro(r, "hit"), macro(r, "other", "hit"))),
    "icat_micro": (
        ("hit", "other"),
        lambda r: icat(100 * column(r, "hit").mean(), 100 * column(r, "other").mean()),
    ),
    "did": (("a", "b"), lambda r: float(sum(margins(g).mean() for g in by(r, "stratum")))),
    "mean_difference": (
        ("a", "b", "c", "d"),
        lambda r: float((margins(r) - column(r, "c") + column(r, "d")).mean()),
    ),
    "trimmed_mean": (("a", "b"), lambda r: float(stats.trim_mean(margins(r), 0.1))),
    "preference_rescaled": (
        ("a", "b"),
        lambda r: float(
            100 * np.mean(1 / (1 + np.exp(-margins(r) / np.median(np.abs(margins(r))))))
        ),
    ),
}  # fmt: skip
"""Each estimator written out once more, from its definition."""

BASED = {estimator.name for estimator in BUILT_IN if estimator.needs_base}


def test_every_built_in_estimator_has_a_formula_here() -> None:
    assert FORMULAS.keys() | BASED == {estimator.name for estimator in BUILT_IN}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("n", [2, 9, 10, 61])
def test_the_value_is_the_formula(name: str, n: int) -> None:
    of, formula = FORMULAS[name]
    rows = items(n, seed=3)  # from 2 items on, both strata have one
    assert len(by(rows, "stratum")) == 2
    assert estimate(rows, name, of).value == pytest.approx(formula(rows), rel=1e-12)


def based(name: str, rows: list[Item], base: list[Item]) -> float | None:
    definition = MetricDefinition(name="m", estimator=name, of=("a", "b"), direction=TOWARDS_50)
    reference = definition.formula().reference(definition.sample(base))
    return definition.compute_sample(definition.sample(rows, reference)).value


def test_preference_takes_its_unit_from_the_base_and_scale_its_spread() -> None:
    base, rows = items(80, seed=4), items(80, seed=5)
    unit = np.median(np.abs(margins(base)))
    expected = 100 * np.mean(1 / (1 + np.exp(-margins(rows) / unit)))
    assert based("preference", rows, base) == pytest.approx(expected)
    spread = np.std(margins(rows)) / np.std(margins(base))
    assert based("scale", rows, base) == pytest.approx(spread)
    assert based("scale", base, base) == pytest.approx(1.0)
    rescaled = estimate(base, "preference_rescaled", ("a", "b")).value
    assert based("preference", base, base) == rescaled


def test_a_change_of_temperature_moves_preference_and_scale_and_not_the_rescaled_one() -> None:
    base = items(80, seed=6)
    cooled = [
        row.model_copy(update={"values": {k: v / 2 for k, v in row.values.items()}}) for row in base
    ]
    plain, halved = based("preference", base, base), based("preference", cooled, base)
    assert plain is not None
    assert halved is not None
    assert abs(halved - 50) < abs(plain - 50)
    assert based("scale", cooled, base) == pytest.approx(0.5)
    rescaled = [estimate(r, "preference_rescaled", ("a", "b")).value for r in (base, cooled)]
    assert rescaled[0] == pytest.approx(rescaled[1])


def test_preference_of_a_model_without_margins_is_the_sign() -> None:
    rows = [Item(id=str(i), values={"a": float(i > 0), "b": 0.0}) for i in range(4)]
    assert based("preference", rows, [rows[0]]) == pytest.approx(100 * (0.5 + 3) / 4)


def test_the_trimmed_means_pseudo_values_carry_yuens_standard_error() -> None:
    """A t statistic of the pseudo-values is Yuen's, as scipy computes it for two samples."""
    rows = items(50, seed=7)
    sample = MetricDefinition(
        name="m", estimator="trimmed_mean", of=("a", "b"), direction=TOWARDS_0
    ).sample(rows)
    (values,) = find_estimator("trimmed_mean").components(sample)
    far = np.full(50, 0.0) + np.arange(50) * 1e-9  # a second sample without variance
    yuen = stats.ttest_ind(margins(rows), far, equal_var=False, trim=0.1)
    own = (values.mean() - stats.trim_mean(far, 0.1)) / stats.sem(values)
    assert own == pytest.approx(float(yuen.statistic), rel=1e-6)


@pytest.mark.parametrize("name", sorted(known_estimators()))
def test_there_is_one_answer_without_items(name: str) -> None:
    estimator = find_estimator(name)
    k = (estimator.takes or (2,))[0]
    empty = Sample(np.empty((0, k)), [], [], [], (1.0, 0.0))
    assert estimate_sample(estimator, empty) == (None, 0, None)


def test_overflow_and_division_by_zero_have_one_answer() -> None:
    """The estimate has no value, and neither has a resample."""
    for nll, tokens in ((1e6, 1.0), (1.0, 0.0), (math.inf, 1.0)):
        rows = [Item(id=str(i), values={"nll": nll, "tokens": tokens}) for i in range(3)]
        assert estimate(rows, "exp_rate", ("nll", "tokens")).value is None
        metric = Metric.of_items(
            "ppl", rows, estimator="exp_rate", of=("nll", "tokens"), direction=LOWER
        )
        table = ItemTable.of_items(rows)
        assert ChangeReader(metric).changes([(table, table)]) == [None]


def test_a_metric_says_what_its_estimator_cannot_do() -> None:
    for estimator, of, message in (
        ("percnt", ("hit",), "unknown estimator 'percnt'; did you mean 'percent'"),
        ("mean", ("a", "b"), "estimator 'mean' reads 1 item values, not 2"),
        ("preference", ("a", "b"), "return its definition from Evaluator.metrics()"),
    ):
        with pytest.raises(PluginError, match=message.replace("(", r"\(").replace(")", r"\)")):
            Metric.of_items("m", items(4), estimator=estimator, of=of, direction=HIGHER)


# -- an estimator of a plugin ----------------------------------------------------------------


class RootMeanSquare(Estimator):
    """A third-party estimator."""

    name = "root_mean_square"
    summary = "Root of the mean square of one value."
    takes = (1,)

    def components(self, sample: Sample) -> Floats:
        return np.asarray(sample.values.T**2)

    def value(self, sums: Floats, counts: Floats) -> Floats:
        return np.asarray(np.sqrt(sums[0] / counts[0]))


def module(answer: Any) -> Any:
    def harness_estimators() -> Any:
        return answer

    return SimpleNamespace(harness_estimators=hookimpl(harness_estimators))


def test_a_plugins_estimator_is_used_by_estimate_bootstrap_and_verify(tmp_path: Path) -> None:
    assert build_registry([(module([RootMeanSquare()]), ORIGIN)], strict=True).failures == ()
    before, after = items(40, seed=8), items(40, seed=9)
    metric = Metric.of_items(
        "rms", after, estimator="root_mean_square", of=("a",), direction=LOWER, primary=True
    )
    assert metric.value == pytest.approx(float(np.sqrt(np.mean(column(after, "a") ** 2))))
    tables = ItemTable.of_items(before), ItemTable.of_items(after)
    (change,) = ChangeReader(metric).changes([tables])
    assert change is not None
    assert change.after.value == pytest.approx(metric.value)
    clusters = list(dict.fromkeys(row.cluster for row in after))
    without = np.array(
        [
            np.sqrt(np.mean(column([r for r in after if r.cluster != left_out], "a") ** 2))
            for left_out in clusters
        ]
    )
    n = len(clusters)
    expected = np.sqrt((n - 1) / n) * (without.mean() - without)
    assert change.after.influences == pytest.approx(expected)
    store = Store(tmp_path / "run")
    store.prepare()
    store.write_index(
        RunIndex(name="r", created_at="2026-01-01T00:00:00+00:00", spec={}, targets=(), cells=())
    )
    measurement = Measurement(domain="gender", protocol="p", metrics=(metric,), items=tuple(after))
    write_measurement(store, "0" * 64, measurement)
    found = [d.what for d in verify(store).differences if "is the hash" not in d.what]
    assert all("hash of the stored inputs" in what for what in found)
    wrong = metric.model_copy(update={"value": 1.0})
    write_measurement(store, "1" * 64, measurement.model_copy(update={"metrics": (wrong,)}))
    assert any("value is 1.0" in d.what for d in verify(store).differences)


def test_wrong_answers_to_the_hook_cost_one_clear_line() -> None:
    class Other(RootMeanSquare):
        name = "percent"

    class Nameless(RootMeanSquare):
        name = " "

    for answer, message in (
        ([RootMeanSquare], "return an object: RootMeanSquare()"),
        (["rms"], "'rms', which is not an Estimator"),
        ("rms", "must return a list of estimators, not str"),
        ([Nameless()], "Nameless.name must be a non-empty string"),
    ):
        (failure,) = build_registry([(module(answer), ORIGIN)]).failures
        assert message in str(failure)
    with pytest.raises(PluginError, match="two estimators are called 'percent'"):
        build_registry([(module([Other()]), ORIGIN)])
    install([RootMeanSquare()])  # the same class again is no clash


# -- which way is good -----------------------------------------------------------------------


def test_roles_follow_from_direction_and_rank_unless_they_are_given() -> None:
    def role(direction: Direction, **options: Any) -> str | None:
        return MetricDefinition(
            name="m", estimator="mean", of=("a",), direction=direction, **options
        ).role

    assert role(TOWARDS_0) == "bias"
    assert role(LOWER, primary=True) == "language"
    assert role(HIGHER) == "diagnostic"
    assert role(TOWARDS_50, role="diagnostic") == "diagnostic"


def test_value_of_is_nan_wherever_a_value_is_not_finite() -> None:
    sums = np.array([[1.0, 1.0, 1e9], [0.0, 1.0, 1.0]])
    found = value_of(find_estimator("exp_rate"), sums, np.ones((1, 3)))
    assert np.isnan(found).tolist() == [True, False, True]
