"""What other items would do to the numbers that a metric takes from the base model."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from harness.analysis.changes import Change, ChangeReader
from harness.analysis.stats import t_quantile
from harness.arrays import Floats
from harness.metrics import TOWARDS_50, MetricDefinition
from harness.storage.item_table import ItemTable

PREFERENCE = MetricDefinition(
    name="preference", estimator="preference", of=("a", "b"), direction=TOWARDS_50
)
SHIFT, NOISE = 0.9, 0.3
"""The model's margins are those of the base less a shift, plus noise."""


def table_of(margins: Floats, clusters: list[str | None] | None = None) -> ItemTable:
    values = [{"a": float(margin), "b": 0.0} for margin in margins]
    none: list[str | None] = [None] * len(values)
    return ItemTable([f"i{k}" for k in range(len(values))], clusters or none, none, values)


def margins(rng: np.random.Generator, items: int) -> tuple[Floats, Floats]:
    before = rng.normal(0.6, 1.0, items)
    return before, before - SHIFT + rng.normal(0, NOISE, items)


def change_of(before: ItemTable, after: ItemTable) -> Change:
    sample = before.sample(PREFERENCE.of)
    reference = PREFERENCE.formula().reference(sample)
    metric = PREFERENCE.compute_sample(after.sample(PREFERENCE.of, reference=reference))
    (found,) = ChangeReader(metric).changes([(before, after)])
    assert found is not None
    return found


def sigmoid(margin: Floats, unit: float) -> Floats:
    shares: Floats = 50.0 + 50.0 * np.tanh(margin / (2.0 * unit))
    return shares


@pytest.mark.parametrize("items", [20, 80, 200])
@pytest.mark.parametrize("size", [1, 2])
def test_the_interval_of_a_preferences_change_covers(items: int, size: int) -> None:
    """With the base's unit taken as known, it covered .79 to .88 of large changes."""
    rng = np.random.default_rng(items)
    before, after = margins(rng, 400_000)
    unit = float(np.median(np.abs(before)))
    truth = float(sigmoid(after, unit).mean() - sigmoid(before, unit).mean())
    clusters = [f"c{k // size}" for k in range(items)] if size > 1 else None
    held, sets = 0, 250
    for _ in range(sets):
        old, new = margins(rng, items)
        found = change_of(table_of(old, clusters), table_of(new, clusters))
        assert found.influences is not None
        error = math.sqrt(float((found.influences**2).sum()))
        held += abs(found.value - truth) <= t_quantile(len(found.units) - 1.0) * error
    assert 0.93 - 3 * 0.016 < held / sets < 0.995


def test_the_influence_of_a_median_is_the_textbooks() -> None:
    """(1/2 - [|m| < median]) / density, times how the change depends on the unit."""
    old, new = margins(np.random.default_rng(5), 3000)
    found = change_of(table_of(old), table_of(new))
    assert found.influences is not None
    unit = float(np.median(np.abs(old)))
    density = scipy_stats.norm.pdf(unit, 0.6) + scipy_stats.norm.pdf(-unit, 0.6)
    of_unit = np.where(np.abs(old) < unit, -0.5, 0.5) / density
    step = 1e-4

    def change(at: float) -> float:
        return float(sigmoid(new, at).mean() - sigmoid(old, at).mean())

    slope = (change(unit + step) - change(unit - step)) / (2 * step)
    own = sigmoid(new, unit) - sigmoid(old, unit)
    expected = (own - own.mean() + slope * (of_unit - of_unit.mean())) / 3000
    assert np.std(found.influences - expected) < 0.1 * np.std(expected)
    without = math.sqrt(float(((own - own.mean()) ** 2).sum())) / 3000
    with_unit = math.sqrt(float((found.influences**2).sum()))
    assert with_unit == pytest.approx(math.sqrt(float((expected**2).sum())), rel=0.08)
    assert with_unit > 1.1 * without


def test_a_base_and_itself_do_not_depend_on_the_unit() -> None:
    old, _ = margins(np.random.default_rng(6), 50)
    table = table_of(old)
    found = change_of(table, table)
    assert found.influences is not None
    assert not found.influences.any()
    unit = float(np.median(np.abs(old)))
    assert found.before.variance == pytest.approx(sigmoid(old, unit).var(ddof=1) / 50)


def test_numbers_of_other_items_are_taken_as_they_are() -> None:
    """A unit of other items than those compared: nothing says how it depends on these."""
    old, new = margins(np.random.default_rng(7), 60)
    before, after = table_of(old), table_of(new)
    metric = PREFERENCE.compute_sample(after.sample(PREFERENCE.of, reference=(2.0,)))
    (found,) = ChangeReader(metric).changes([(before, after)])
    assert found is not None
    own = sigmoid(new, 2.0) - sigmoid(old, 2.0)
    assert found.influences is not None
    assert float((found.influences**2).sum()) == pytest.approx(own.var(ddof=1) / 60)
