"""harness matrix: rows, controls, widths, warnings, transfer, and what it reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import invoke, rows, text_of
from harness_evaluators.embedded import EmbeddedPairs
from harness_evaluators.pairs import PairConfig
from made_runs import NOW, make_run, write_measurement

from harness.analysis.matrix_builder import build_matrix
from harness.analysis.ranking import rank
from harness.analysis.transfer import transfers
from harness.errors import StoreError
from harness.metrics import Item
from harness.storage.cells import Cell, MeasureRef
from harness.storage.records import RunIndex
from harness.storage.store import Store
from harness.types import ControlKind


def with_label(store: Store, debiaser: str, label: str) -> None:
    """The cells of a debiaser once more, as the same computation under another label."""
    index = store.index()
    again = [
        cell.model_copy(update={"label": label})
        for cell in index.cells
        if cell.debiaser == debiaser
    ]
    assert again
    store.write_index(index.model_copy(update={"cells": (*index.cells, *again)}))


def test_what_reads_no_passage_is_shown_once_under_all_labels(tmp_path: Path) -> None:
    store = make_run(tmp_path, methods=["dropout"], maskers=[None], seeds=[0, 1])
    before = text_of("matrix", store.folder), text_of("leaderboard", store.folder)
    with_label(store, "dropout", "non-hateful")
    assert "non-hateful" in text_of("export", store.folder, "--format", "csv")
    assert (text_of("matrix", store.folder), text_of("leaderboard", store.folder)) == before
    assert before[0].count("dropout, 2 seeds") == 4  # two sources, columns in two blocks


def test_every_control_is_subtracted_and_none_is_cut_off(tmp_path: Path) -> None:
    kinds: dict[str, ControlKind] = {
        "a-control-of-a-long-name": "change",
        "another-control-of-a-long-name": "texts",
        "neutral-ascent-and-no-more": "change",
        "weight-noise": "change",
    }
    store = make_run(tmp_path, methods=["mlm-unlearning", *kinds], seeds=[0, 1])
    index = store.index()
    cells = [
        cell.model_copy(update={"control_kind": kinds.get(cell.debiaser or "", cell.control_kind)})
        for cell in index.cells
    ]
    store.write_index(index.model_copy(update={"cells": tuple(cells)}))
    board = rank([store])
    (method,) = (s for s in board.standings if not s.control)
    nets = {net.control: net for net in method.nets}
    assert set(nets) == {f"{name} + wordlist" for name in kinds if kinds[name] != "texts"} | {
        "identity"
    }
    table = text_of("leaderboard", store.folder, width=80).split("Net of each control")[1]
    for name, net in nets.items():
        assert rows(name) in rows(table)
        assert net.over_seeds is not None
    assert max(map(len, table.splitlines())) <= 80


# -- matrix ----------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 100])
def test_tables_fit_and_keep_every_column(tmp_path: Path, width: int) -> None:
    targets = ["gender", "race", "religion", "age", "disability", "nationality", "orientation"]
    store = make_run(tmp_path, targets=targets, maskers=["wordlist", "random"])
    for command in ("matrix", "leaderboard"):
        text = text_of(command, store.folder, width=width)
        assert max(map(len, text.splitlines())) <= width
        assert "…" not in text
    matrix = text_of("matrix", store.folder, width=width)
    for target in targets:
        assert target in matrix
    board = text_of("leaderboard", store.folder, width=width)
    assert "perplexity" in board.splitlines()[3]


def test_several_seeds_are_summarised_and_kept_apart_from_items(tmp_path: Path) -> None:
    store = make_run(tmp_path, seeds=range(5), identity=True)
    matrix = build_matrix(store)
    assert [len(row.entries[0].seeds) for row in matrix.seeds] == [5, 5]
    own = matrix.seeds[0].entries[0]
    entries = [row.entry(own.column) for row in matrix.rows if row.cell.source == "gender"]
    changes = [e.change for e in entries if e is not None and e.change is not None][:5]
    assert own.change.mean == pytest.approx(sum(changes) / 5)
    assert entries[0] is not None
    assert own.change.interval != entries[0].interval
    text = text_of("matrix", store.folder)
    assert "5 seeds" in text
    assert "±" in text
    assert "seed 4" in text_of("matrix", store.folder, "--each-seed")
    single = build_matrix(make_run(tmp_path, name="single"))
    assert single.seeds == ()


def test_holm_is_stricter_and_intervals_are_shown(tmp_path: Path) -> None:
    store = make_run(tmp_path)
    by = {c: build_matrix(store, correction=c) for c in ("bh", "holm")}
    pairs = [
        (a.adjusted_p, b.adjusted_p)
        for x, y in zip(by["bh"].rows, by["holm"].rows, strict=True)
        for a, b in zip(x.entries, y.entries, strict=True)
    ]
    assert all(a is not None and b is not None and a <= b for a, b in pairs)
    assert any(a != b for a, b in pairs)
    text = text_of("matrix", store.folder, "--correction", "holm", "--intervals")
    assert "Holm" in text
    assert "[" in text.splitlines()[5]


def test_a_step_or_metric_that_is_not_there_is_named(tmp_path: Path) -> None:
    store = make_run(tmp_path)
    result = invoke("matrix", store.folder, "--step", 15)
    assert isinstance(result.exception, StoreError)
    assert "no step 15 (known: 1, 10, 20, 30)" in str(result.exception)
    text = text_of("matrix", store.folder, "--metric", "stereotype_score_balanced")
    assert "stereotype_score_balanced (pairs, hf_nll)" in text


def skewed(folder: Path) -> Store:
    """A method that only makes the disadvantaged group's words rarer: 95 stereo, 35 antistereo."""
    store = Store(folder / "skewed")
    store.prepare()

    def record(key: str, rarer: float) -> None:
        items = []
        for i in range(260):
            stereo = i % 13 != 0
            margin = 0.3 + ((i * 37) % 100 - 50) / 50
            margin += -rarer if stereo else rarer
            items.append(
                Item(
                    id=f"i{i}",
                    stratum="stereo" if stereo else "antistereo",
                    values={
                        "more": margin,
                        "less": 0.0,
                        "prefers_stereotype": float(margin > 0),
                        "tie": 0.0,
                    },
                )
            )
        measurement = EmbeddedPairs(PairConfig()).measurement("race", "hf_nll", items)
        write_measurement(store, key, measurement)

    record("base", 0.0)
    record("after", 0.3)
    refs = [MeasureRef(step=s, evaluator="pairs", key=k) for s, k in ((0, "base"), (10, "after"))]
    cells = (
        Cell(model="m", measures=tuple(refs[:1])),
        Cell(model="m", debiaser="d", source="race", seed=0, fit_key="f", measures=tuple(refs)),
    )
    store.write_index(
        RunIndex(name="skewed", created_at=NOW, spec={}, targets=("race",), cells=cells)
    )
    return store


def test_a_score_that_moves_without_its_balanced_mean_is_warned_of(tmp_path: Path) -> None:
    store = skewed(tmp_path)
    (entry,) = build_matrix(store).rows[0].entries
    assert entry.improvement is not None
    assert entry.improvement > 5
    assert entry.significant
    assert {half.name for half in entry.halves} == {"stereo", "antistereo"}
    by_name = {half.name: half.change or 0.0 for half in entry.halves}
    assert by_name["stereo"] < 0 < by_name["antistereo"]
    assert entry.warning is not None
    assert "group words may only have become rarer" in rows(text_of("matrix", store.folder))
    assert "group words may only have become rarer" in rows(text_of("leaderboard", store.folder))
    (did,) = build_matrix(store, metric="association").rows[0].entries
    assert did.change == pytest.approx(0.0)


def test_transfer_is_improvement_on_targets_over_that_on_the_source(tmp_path: Path) -> None:
    store = make_run(tmp_path)
    (own,) = [t for t in transfers(build_matrix(store)) if t.method.startswith("mlm")]
    entries = [
        (row.cell.source == e.column.domain, e.improvement or 0.0)
        for row in build_matrix(store).rows
        for e in row.entries
        if e.towards_target and row.cell.debiaser == "mlm-unlearning"
    ]
    inside = [gain for same, gain in entries if same]
    outside = [gain for same, gain in entries if not same]
    assert own.on_sources is not None
    assert own.on_sources.value == pytest.approx(sum(inside) / len(inside))
    assert own.compared == len(outside) == 4
    assert own.harmed == sum(gain < 0 for gain in outside)
    assert own.gained == sum(gain > 0 for gain in outside)
    (both,) = own.asymmetries
    by_pair = {(p.source, p.target): p.on_target.value for p in own.pairs}
    there, back = by_pair["gender", "race"], by_pair["race", "gender"]
    assert both.difference.value == pytest.approx(there - back)
    assert (own.ratio.value is None) == (own.ratio.reason is not None)
    text = text_of("matrix", store.folder)
    (line,) = [x for x in text.split("Transfer:")[1].splitlines() if x.startswith(" mlm-")]
    assert line.split()[-4:] == [
        f"{own.gained}/4", f"({own.surely_gained})", f"{own.harmed}/4", f"({own.surely_harmed})"
    ]  # fmt: skip


def test_a_matrix_reads_only_the_items_of_the_step_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_run(tmp_path, steps=range(1, 21))
    read: list[str] = []
    items = Store.item_tables

    def counted(self: Store, key: str) -> object:
        read.append(key)
        return items(self, key)

    monkeypatch.setattr(Store, "item_tables", counted)
    monkeypatch.setattr(Store, "_items", lambda *_: pytest.fail("items as objects"))
    build_matrix(store)
    assert len(read) == len(set(read))
    assert not [key for key in read if key.endswith(("-19", "-5"))]
    assert "pairs-base-0" in read
