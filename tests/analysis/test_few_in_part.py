"""A metric that combines halves, one of which has a handful of units, is no result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from command_line import rows, text_of
from made_runs import NOW, made_key, write_measurement

from harness.analysis.effects import Effect
from harness.analysis.entry import Entry
from harness.analysis.hypothesis_tests import verdicts
from harness.analysis.leaderboard_tables import leaderboard_table
from harness.analysis.matrix_builder import matrix_of
from harness.analysis.matrix_tables import matrix_tables
from harness.analysis.power import noise_of
from harness.analysis.ranking import rank
from harness.errors import StoreError
from harness.metrics import TOWARDS_0, Item, Metric
from harness.planning.hypotheses import Hypotheses
from harness.quantities import LogProb
from harness.storage.cells import Cell, MeasureRef
from harness.storage.reader import RunReader
from harness.storage.records import RunIndex
from harness.storage.store import Store
from harness.types import Measurement

REASON = "6 units in one half: too few"

SECTION: dict[str, Any] = {
    "tests": [
        {
            "name": "falls",
            "endpoint": {"evaluator": "suite", "metric": "association"},
            "contrast": {
                "method": {"debiaser": "method"},
                "cells": [{"source": "x", "target": "uneven"}],
            },
            "side": "lower",
        }
    ]
}


def suite(domain: str, shift: float, others: int) -> Measurement:
    """Sixty pairs of one half and some of the other, all of which a model moves by a shift."""
    noise = np.random.default_rng(60).normal(1.0, 1.0, 60 + others)
    items = tuple(
        Item(
            id=f"{domain}/{i}",
            stratum="stereo" if i < 60 else "antistereo",
            values={"more": float(margin) - shift * (1 + 0.1 * (i % 3)), "less": 0.0},
        )
        for i, margin in enumerate(noise)
    )
    metric = Metric.of_items(
        "association",
        items,
        estimator="did",
        of=("more", "less"),
        direction=TOWARDS_0,
        primary=True,
    )
    score = LogProb(per="token")
    return Measurement(
        domain=domain, protocol="p", metrics=(metric,), items=items,
        quantities={"more": score, "less": score},
    )  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A method that lowers a metric of two halves, with 6 and with 20 pairs in the second."""
    found = Store(tmp_path_factory.mktemp("few") / "few")
    found.prepare()
    refs: dict[float, tuple[MeasureRef, ...]] = {}
    for shift in (0.0, 0.8):
        own = []
        for domain, others in (("uneven", 6), ("even", 20)):
            key = made_key(f"{domain}{shift}")
            write_measurement(found, key, suite(domain, shift, others))
            own.append(MeasureRef(step=5 if shift else 0, evaluator="suite", key=key))
        refs[shift] = tuple(own)
    cells = (
        Cell(model="m", measures=refs[0.0]),
        Cell(
            model="m", debiaser="method", source="x", fit_key=made_key("fit"),
            measures=refs[0.0] + refs[0.8],
        ),
    )  # fmt: skip
    spec = {"name": "few", "model": [{"use": "m"}], "hypotheses": SECTION}
    found.write_index(
        RunIndex(name="few", created_at=NOW, spec=spec, targets=("uneven", "even"), cells=cells)
    )
    return found


def entries(store: Store) -> dict[str, Entry]:
    (row,) = matrix_of(store).pooled
    return {entry.column.domain: entry for entry in row.entries}


def test_it_has_a_value_and_neither_interval_nor_test_nor_mark(store: Store) -> None:
    found = entries(store)
    few, enough = found["uneven"], found["even"]
    assert few.change == pytest.approx(-1.75, abs=0.2)
    assert (few.interval, few.p, few.mark, few.evidence) == (None, None, "same", "untested")
    assert few.improved is None or few.improved.interval is None
    assert few.note == REASON
    effect = few.effect
    assert isinstance(effect, Effect)
    assert effect.interval is None
    assert enough.interval is not None
    assert enough.evidence == "significant"
    assert not enough.few


def test_tables_say_why(store: Store) -> None:
    (table,) = matrix_tables(matrix_of(store))
    assert f"No interval, no star and no mark for uneven: {REASON}." in table.notes
    assert any(REASON in note for note in leaderboard_table(rank([store])).notes)
    assert REASON in rows(text_of("matrix", store.folder))


def test_its_hypothesis_is_inconclusive_with_the_reason(store: Store) -> None:
    (tested,) = verdicts(RunReader(store)).tests
    assert (tested.outcome, tested.p, tested.interval) == ("inconclusive", None, None)
    assert tested.reason == f"uneven: {REASON}"
    assert REASON in rows(text_of("test", store.folder))


def test_its_noise_is_not_known(store: Store) -> None:
    (hypothesis,) = Hypotheses.model_validate(SECTION).tests
    with pytest.raises(StoreError, match=REASON):
        noise_of(RunReader(store), hypothesis)
