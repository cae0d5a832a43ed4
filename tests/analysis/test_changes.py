"""Changes and the influence of units, for every registered estimator, against recomputation."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.changes import Change, ChangeReader, Side
from harness.estimators import known_estimators
from harness.metrics import LOWER, TOWARDS_0, TOWARDS_50, Direction, Item, Metric, MetricDefinition
from harness.storage.item_table import ItemTable

NAMES = ("d", "e", "f", "g")


def items_of(seed: int, n: int = 60, *, clusters: bool, drop: int = 0) -> list[Item]:
    rng = np.random.default_rng(seed)
    return [
        Item(
            id=f"i{i}",
            cluster=f"c{i % 9}" if clusters else None,
            stratum="stereo" if i % 3 else "antistereo",
            values={
                "d": float(rng.integers(0, 2)),
                "e": float(rng.integers(0, 2)),
                "f": float(rng.integers(0, 2)),
                "g": float(rng.integers(0, 2)),
                "nll": float(rng.random() * 9),
                "tokens": float(rng.integers(1, 9)),
                "a": float(rng.normal(0.3, 1)),
                "b": float(rng.normal(0.0, 1)),
            },
        )
        for i in range(n)
    ][drop:]


def named(name: str) -> tuple[str, ...]:
    """The item values that an estimator reads here."""
    takes = known_estimators()[name].takes
    if name == "exp_rate":
        return ("nll", "tokens")
    if name.startswith("icat"):
        return ("d", "e", "f")
    count = takes[0] if takes else 1
    return ("a", "b", "nll", "tokens")[:count] if takes else ("d",)


def metric_of(
    name: str, base: list[Item], of: tuple[str, ...] | None = None, direction: Direction = LOWER
) -> Metric:
    definition = MetricDefinition(
        name="m", estimator=name, of=of or named(name), direction=direction
    )
    reference: tuple[float, ...] = ()
    if definition.formula().needs_base:
        reference = definition.formula().reference(definition.sample(base))
    return definition.compute_sample(definition.sample(base, reference))


def change_of(metric: Metric, before: list[Item], after: list[Item]) -> Change:
    (found,) = ChangeReader(metric).changes(
        [(ItemTable.of_items(before), ItemTable.of_items(after))]
    )
    assert found is not None
    return found


@pytest.mark.parametrize("name", sorted(known_estimators()))
@pytest.mark.parametrize("clusters", [True, False])
def test_influences_are_those_of_leaving_out_each_unit(name: str, clusters: bool) -> None:
    """Recomputed from the items themselves; what an estimator takes from a sample stays fixed."""
    before = items_of(1, clusters=clusters)
    metric = metric_of(name, before)
    # what the base's numbers add is in the change alone: see the tests of `references`
    after = before if metric.formula().needs_base else items_of(2, clusters=clusters)
    found = change_of(metric, before, after)
    sample = metric.sample(after, metric.reference)
    whole = metric.compute_sample(sample)
    assert found.after.value == pytest.approx(whole.value)
    assert found.value == pytest.approx((whole.value or 0.0) - (metric.value or 0.0))
    if clusters and name in ("did", "half_difference", "percent_balanced"):
        assert found.few == 3  # clusters of one half
        assert found.influences is None
        return
    if name in ("trimmed_mean", "preference_rescaled"):
        return  # they read the whole sample: cuts and scale are held fixed
    groups: dict[str, list[Item]] = {}
    together = metric.formula().per_cluster
    for item in after:
        groups.setdefault(item.cluster or ("all" if together else item.id), []).append(item)
    if len(groups) < 2:
        assert found.after.influences is None
        return
    without = []
    for left_out in groups.values():
        rest = [item for item in after if item not in left_out]
        value = metric.compute_sample(metric.sample(rest, metric.reference)).value
        assert value is not None
        without.append(value)
    n = len(without)
    expected = np.sqrt((n - 1) / n) * (np.mean(without) - np.array(without))
    assert found.after.influences == pytest.approx(expected)
    assert found.units == tuple(f"{k}" if clusters else f"\0{k}" for k in groups)


def test_yuens_standard_error_is_that_of_a_trimmed_mean() -> None:
    """Yuen (1974): the winsorised standard deviation over (1 - 2 trim) sqrt(n)."""
    items = items_of(3, 50, clusters=False)
    metric = metric_of("trimmed_mean", items, ("a", "b"), TOWARDS_0)
    found = change_of(metric, items, items_of(4, 50, clusters=False))
    margins = np.sort([i.values["a"] - i.values["b"] for i in items])
    winsorised = np.clip(margins, margins[5], margins[44])
    kept = 40
    variance = 49 * winsorised.var(ddof=1) / (kept * (kept - 1))
    assert found.before.value == pytest.approx(margins[5:45].mean())
    assert found.before.variance == pytest.approx(variance)


def test_many_pairs_at_once_are_as_one_by_one() -> None:
    base = items_of(5, clusters=True)
    metric = metric_of("percent", base, ("d",), TOWARDS_50)
    tables = [ItemTable.of_items(items_of(k, clusters=True)) for k in range(6, 10)]
    start = ItemTable.of_items(base)
    together = ChangeReader(metric).changes([(start, table) for table in tables])
    for table, found in zip(tables, together, strict=True):
        (alone,) = ChangeReader(metric).changes([(start, table)])
        assert found is not None
        assert alone is not None
        assert found.value == alone.value
        assert (found.after.square, found.units) == (alone.after.square, alone.units)


def test_flips_are_counted_for_decisions_over_independent_items_only() -> None:
    before, after = items_of(6, clusters=False), items_of(7, clusters=False)
    plain = change_of(metric_of("percent", before, ("d",), TOWARDS_50), before, after)
    assert plain.flips is not None
    moved = [a.values["d"] - b.values["d"] for a, b in zip(after, before, strict=True)]
    assert plain.flips == (moved.count(1.0), moved.count(-1.0))
    assert plain.value == pytest.approx(100 * sum(moved) / 60)
    two = change_of(metric_of("percent", before, ("d", "e"), TOWARDS_50), before, after)
    assert two.flips is None
    clustered = items_of(6, clusters=True), items_of(7, clusters=True)
    of_terms = change_of(metric_of("percent", clustered[0], ("d",), TOWARDS_50), *clustered)
    assert of_terms.flips is None
    assert len(of_terms.units) == 9


def test_only_shared_items_are_compared() -> None:
    items = items_of(8, clusters=False)
    metric = metric_of("percent", items, ("d",), TOWARDS_50)
    found = change_of(metric, items[:40], items[20:][::-1])
    assert (found.items, found.value, found.same) == (20, 0.0, True)
    other = [i.model_copy(update={"id": f"x{i.id}"}) for i in items]
    tables = ItemTable.of_items(items), ItemTable.of_items(other)
    assert ChangeReader(metric).changes([tables]) == [None]


def test_the_same_decisions_by_another_model_are_not_the_same_model() -> None:
    items = items_of(9, clusters=False)
    moved = [i.model_copy(update={"values": {**i.values, "a": i.values["a"] + 1}}) for i in items]
    metric = metric_of("percent", items, ("d",), TOWARDS_50)
    found = change_of(metric, items, moved)
    assert (found.value, found.same) == (0.0, False)
    assert change_of(metric, items, items).same


def test_one_unit_has_a_value_and_no_influence() -> None:
    twins = [Item(id=i, cluster="t", values={"d": 1.0}) for i in "ab"]
    found = change_of(metric_of("percent", twins, ("d",), TOWARDS_50), twins, twins)
    assert found.after.value == 100.0
    assert found.influences is None


def test_changes_are_compared_unit_by_unit() -> None:
    """The same record read twice gives equal changes; one unit that differs does not."""
    units = np.array([0.5, -0.5])
    side = Side(1.0, units, 4.0, 2 * units)
    assert side == Side(1.0, units.copy(), 4.0, 2 * units)
    assert side != Side(1.0, np.array([0.5, 0.5]), 4.0, 2 * units)
    assert side != Side(1.0, None, 4.0, 2 * units)
    assert Side(1.0, None) == Side(1.0, None)
