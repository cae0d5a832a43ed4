"""Which bias score the first screen shows."""

from __future__ import annotations

import pytest

from harness.analysis.tables import Table, TableCell, TableColumn, TableRow
from harness.render.grids import bias_tables, grids


def matrix(key: str, improvements: list[float | None], unit: str = "points") -> Table:
    """A matrix table of one method, with an improvement for each target or none defined."""
    cells = [
        TableCell(value=50.0, change=-1.0, improvement=one, mark="better" if one else "undefined")
        for one in improvements
    ]
    columns = [TableColumn(f"t{k}", f"t{k}", form="score") for k in range(len(cells))]
    return Table(
        key=key,
        title=key,
        columns=(TableColumn("method", "debiased by"), *columns),
        rows=(TableRow("method", (TableCell(text="m"), *cells), method="m", source="s"),),
        role="bias",
        unit=unit,
    )


def test_the_score_with_most_defined_targets_comes_first() -> None:
    none, one, two = (matrix(k, v) for k, v in {
        "none": [None, None, None], "one": [1.0, None, None], "two": [1.0, 2.0, None],
    }.items())  # fmt: skip
    assert [t.key for t in bias_tables([none, one, two])] == ["two", "one", "none"]


def test_then_the_one_with_most_targets_so_that_a_domain_of_your_own_is_seen() -> None:
    suite, pairs = matrix("suite", [1.0]), matrix("own-pairs", [1.0, None])
    assert [t.key for t in bias_tables([suite, pairs])] == ["own-pairs", "suite"]


def test_otherwise_the_order_of_the_matrix_stays() -> None:
    first, second = matrix("preference", [1.0, None]), matrix("stereotype_score", [None, 1.0])
    assert [t.key for t in bias_tables([first, second])] == ["preference", "stereotype_score"]


def test_a_score_in_a_unit_of_its_own_does_not_come_first() -> None:
    effect = matrix("effect-size", [0.1, 0.2], unit="")
    first, second = matrix("preference", [1.0]), matrix("stereotype_score", [None])
    shown = bias_tables([effect, second, first])
    assert [t.key for t in shown] == ["preference", "stereotype_score", "effect-size"]


@pytest.mark.parametrize(("unit", "shown"), [("points", "+0.1"), ("nats", "+0.07"), ("", "+0.07")])
def test_small_units_have_a_second_digit(unit: str, shown: str) -> None:
    (grid,) = grids(matrix("some", [0.07], unit=unit))
    assert grid.rows[0][1][0].text == shown
