"""What is computed for many entries or tables at once is what is computed for each alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_runs import make_run

from harness.analysis.improvements import improvements
from harness.analysis.matrix_builder import matrix_of
from harness.analysis.resampling_units import Layouts, paired_sums
from harness.metrics import TOWARDS_50, Item, Metric
from harness.storage.item_table import Fields, ItemTable
from harness.storage.reader import RunReader


def test_improvements_of_many_entries_are_those_of_each(tmp_path: Path) -> None:
    reader = RunReader(make_run(tmp_path, fail={("race", 30)}))
    matrix = matrix_of(reader)
    entries = [entry for row in (*matrix.rows, *matrix.pooled) for entry in row.entries]
    found = improvements(entries)
    again = matrix_of(RunReader(reader.store))
    alone = [e.improved for row in (*again.rows, *again.pooled) for e in row.entries]
    assert found == alone
    assert any(one is not None and one.interval is not None for one in found)


def test_a_matrix_without_pooled_rows_has_the_same_other_rows(tmp_path: Path) -> None:
    reader = RunReader(make_run(tmp_path))
    whole, rows = matrix_of(reader), matrix_of(reader, pooled=False)
    assert rows.pooled == ()
    assert rows.rows == whole.rows
    assert [e.adjusted_p for r in rows.rows for e in r.entries] == [
        e.adjusted_p for r in whole.rows for e in r.entries
    ]


def _table(numbers: np.ndarray, strata: tuple[str | None, ...] = ("a", "b", "b")) -> ItemTable:
    return ItemTable.of_items(
        Item(
            id=f"i{k}",
            cluster=f"c{k // 4}",
            stratum=strata[k % len(strata)],
            values={"x": float(x), "y": -float(x)},
        )
        for k, x in enumerate(numbers)
    )


@pytest.mark.parametrize("stratum", [None, "a", "b", "none has it"])
def test_tables_of_the_same_items_are_summed_as_each_pair_alone(stratum: str | None) -> None:
    rng = np.random.default_rng(0)
    base = _table(rng.normal(size=24))
    metric = Metric(
        name="m", estimator="mean", of=("x",), direction=TOWARDS_50, stratum=stratum,
        value=None, n=0,
    )  # fmt: skip
    layouts = Layouts(metric)
    others = [_table(rng.normal(size=24)) for _ in range(3)]
    found = [layouts.paired(base, other) for other in others]
    for other, sums in zip(others, found, strict=True):
        alone = paired_sums(metric, base, other)
        if alone is None or sums is None:
            assert alone is sums is None
            assert stratum == "none has it"
            continue
        assert sums[0].layout is sums[1].layout is found[0][0].layout  # type: ignore[index]
        assert sums[0].layout.units == alone[0].layout.units
        assert sums[0].layout.items == alone[0].layout.items
        for mine, reference in zip(sums, alone, strict=True):
            np.testing.assert_array_equal(mine.sums, reference.sums)
            np.testing.assert_array_equal(mine.layout.counts, reference.layout.counts)


@pytest.mark.parametrize(
    "values",
    [
        [{"x": 1.0, "y": 2}, {"y": 4.0, "x": 3.0}],
        [{"x": 1.0}, {"x": 3.0}],
        [{"x": 1.0, "y": 2.0}, {"x": 3.0}],
        [{"x": 1.0}, {"z": 5.0, "x": 3.0}],
        [{"x": 1.0, "y": 2.0}, {"x": 3.0, "z": 5.0}],
        [],
    ],
)
def test_a_table_has_every_value_by_name(values: list[dict[str, float]]) -> None:
    items = [{"id": str(k), "values": own} for k, own in enumerate(values)]
    table = ItemTable.of_json(items)
    assert table.names() == list(dict.fromkeys(name for own in values for name in own))
    for name in ("x", "y", "z", "absent"):
        expected = [own.get(name, np.nan) for own in values]
        np.testing.assert_array_equal(table.column(name), expected)
        assert table.complete([name]) == (not np.isnan(expected).any())


@pytest.mark.parametrize("bad", [True, "1", None, [1.0]])
def test_a_table_takes_only_numbers(bad: object) -> None:
    for values in ([{"x": 1.0, "y": bad}], [{"x": bad}], [{"x": 1.0, "y": 2.0}, {"x": bad}]):
        with pytest.raises(TypeError, match="a value is of the type"):
            ItemTable.of_json([{"id": str(k), "values": own} for k, own in enumerate(values)])


def test_tables_share_equal_fields() -> None:
    known: dict[Fields, Fields] = {}
    one, two, other = _table(np.ones(6)), _table(np.zeros(6)), _table(np.ones(6), ("a",))
    for table in (one, two, other):
        table.share(known)
    assert one.ids is two.ids
    assert one.strata is two.strata
    assert other.strata == ("a",) * 6
