"""How far results move between mask rules: simulated from both sides, and read from a run."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from made_runs import make_run

from harness.analysis.effects import Block, Effect
from harness.analysis.mask_rules import RuleSpread, mask_rules, rule_table, spread_over_rules
from harness.analysis.matrix_builder import matrix_of

ITEMS, FITS = 60, 4


def _effects(
    rng: np.random.Generator, rules: int, *, rule_sd: float, fit_sd: float, items: int = ITEMS
) -> dict[str, Effect]:
    """Changes under some rules: a rule's own part, a fit's, an item's, an item's under a rule."""
    shared = rng.normal(0, 2.0, items)
    effects = {}
    for r in range(rules):
        rule = rng.normal(0, rule_sd)
        of_items = shared + rng.normal(0, 1.0, items)
        fits = rng.normal(0, fit_sd, FITS)
        changes = rule + of_items + fits[:, None] + rng.normal(0, 1.0, (FITS, items))
        values = changes.mean(axis=1)
        influences = (changes - values[:, None]) / math.sqrt(items * (items - 1))
        names = tuple(f"{r}-{f}" for f in range(FITS))
        units = tuple(map(str, range(items)))
        effects[f"rule{r}"] = Effect((Block(names, units, values, influences),))
    return effects


def _many(rule_sd: float, fit_sd: float) -> list[RuleSpread]:
    rng = np.random.default_rng(3)
    return [spread_over_rules(_effects(rng, 3, rule_sd=rule_sd, fit_sd=fit_sd)) for _ in range(400)]


def test_spreads_are_those_of_the_simulation() -> None:
    spreads = _many(rule_sd=1.5, fit_sd=0.5)
    rules = math.sqrt(sum((s.between_rules or 0.0) ** 2 for s in spreads) / len(spreads))
    fits = math.sqrt(sum((s.between_fits or 0.0) ** 2 for s in spreads) / len(spreads))
    assert rules == pytest.approx(1.5, rel=0.1)
    residual = 1.0 / ITEMS  # of items under a fit
    assert fits == pytest.approx(math.sqrt(0.5**2 + residual), rel=0.05)


def test_rules_that_do_nothing_are_not_found() -> None:
    spreads = _many(rule_sd=0.0, fit_sd=0.5)
    found = sum(any(pair.significant for pair in s.pairs) for s in spreads) / len(spreads)
    assert found < 0.075  # Holm over the three pairs: at most 5 %
    assert np.median([s.between_rules for s in spreads]) < 0.2


def test_intervals_cover_the_true_difference() -> None:
    rng = np.random.default_rng(4)
    covered, total = 0, 0
    for _ in range(400):
        for pair in spread_over_rules(_effects(rng, 2, rule_sd=0.0, fit_sd=0.5)).pairs:
            interval = pair.difference.interval
            assert interval is not None
            assert pair.difference.covers == "items and fits"
            covered += interval.low <= 0 <= interval.high
            total += 1
    assert 0.92 <= covered / total <= 0.985


def test_pairs_and_the_widest_of_them() -> None:
    rng = np.random.default_rng(5)
    effects = _effects(rng, 3, rule_sd=5.0, fit_sd=0.1)
    spread = spread_over_rules(effects)
    assert [(p.first, p.second) for p in spread.pairs] == [
        ("rule0", "rule1"),
        ("rule0", "rule2"),
        ("rule1", "rule2"),
    ]
    values = {name: effect.value for name, effect in effects.items()}
    assert spread.rules == values
    assert abs(spread.widest.difference.value) == pytest.approx(
        max(values.values()) - min(values.values())
    )
    assert spread.ratio is not None
    assert spread.ratio > 5
    for pair in spread.pairs:
        assert pair.difference.value == pytest.approx(values[pair.first] - values[pair.second])


def test_one_fit_each_says_nothing_about_fits() -> None:
    block = Block(("f",), tuple(map(str, range(20))), np.array([1.0]), np.full((1, 20), 0.1))
    one = Effect((block,))
    other = Effect((Block(("g",), block.units, np.array([2.0]), -np.full((1, 20), 0.1)),))
    spread = spread_over_rules({"a": one, "b": other})
    assert spread.between_fits is None
    assert spread.ratio is None
    assert spread.widest.difference.covers == "items"


def test_a_single_rule_is_no_comparison() -> None:
    rng = np.random.default_rng(6)
    with pytest.raises(ValueError, match="two of them"):
        spread_over_rules(_effects(rng, 1, rule_sd=0, fit_sd=1))


def test_rows_of_a_run(tmp_path: Path) -> None:
    store = make_run(
        tmp_path, maskers=("attribute", "harm", "both"), seeds=(0, 1, 2), steps=(10, 20)
    )
    matrix = matrix_of(store)
    rows = mask_rules(matrix)
    columns = len(matrix.columns)
    assert len(rows) == 2 * columns  # two sources, one method; `identity` has no masker
    for row in rows:
        assert list(row.spread.rules) == ["attribute", "harm", "both"]
        # The made run gives the same numbers under every masker, and moves them with the seed.
        assert all(pair.difference.value == 0 for pair in row.spread.pairs)
        assert row.spread.between_rules == 0
        assert row.spread.between_fits is not None
        by_fit = [
            entry.effect.blocks[0].values.std(ddof=1)
            for pooled in matrix.pooled
            if pooled.cell.source == row.cell.source
            and (entry := pooled.entry(row.column)) is not None
            and entry.effect is not None
            and pooled.cell.masker is not None
        ]
        assert row.spread.between_fits == pytest.approx(np.sqrt(np.mean(np.square(by_fit))))
    table = rule_table(matrix)
    assert table is not None
    assert len(table.rows) == len(rows)
    assert all(len(line.cells) == len(table.columns) for line in table.rows)
    assert rule_table(matrix_of(make_run(tmp_path, name="one-rule"))) is None
