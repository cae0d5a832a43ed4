"""harness matrix: rows, controls, widths, warnings, transfer, and what it reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import invoke, rows, text_of
from harness_evaluators.embedded import EmbeddedPairs
from harness_evaluators.pairs import PairConfig
from made_runs import NOW, made_key, make_run, write_measurement

from harness.analysis.matrix_builder import Entry, matrix_of
from harness.analysis.ranking import rank
from harness.analysis.transfer import transfers
from harness.analysis.verdict import verdict
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
    assert before[0].count("dropout, 2 fits") >= 2  # two sources


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
        assert name.split(" + ")[0] in rows(table)
        assert net.over_fits is not None or name == "identity"
    assert max(map(len, table.splitlines())) <= 80


# -- matrix ----------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 100, 140])
def test_tables_fit_and_keep_every_column(tmp_path: Path, width: int) -> None:
    targets = ["gender", "race", "religion", "age", "disability", "nationality", "orientation"]
    store = make_run(tmp_path, targets=targets, maskers=["wordlist", "random"])
    for command in (["matrix"], ["matrix", "--p-values"], ["leaderboard"]):
        text = text_of(command[0], store.folder, *command[1:], width=width)
        assert max(map(len, text.splitlines())) <= width
        assert "…" not in text
        tables = text.split("#: rank by distance")[0]
        assert "none" not in tables.split()  # no score is called after a domain that is none
        assert "wikitext2-perplexity" in text or command == ["leaderboard"]
        assert "perplexity" in rows(text)
    matrix = text_of("matrix", store.folder, width=width)
    for target in targets:
        assert target in matrix


@pytest.mark.parametrize("width", [80, 140])
def test_the_grids_of_many_domains_fit_and_cut_no_name(tmp_path: Path, width: int) -> None:
    domains = ("gender", "race", "religion", "age", "disability", "nationality",
               "physical-appearance", "socioeconomic", "sexual-orientation")  # fmt: skip
    store = make_run(tmp_path, sources=domains, targets=domains, lean=0.9, identity=False)
    text = text_of("matrix", store.folder, "--short", width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for name in domains:
        assert all(part in text for part in name.split("-"))
    grid = [line for line in text.splitlines() if line.strip().startswith("physical-appearance ")]
    shown = sum(len(line.split()) - 1 for line in grid)
    assert shown == len(domains)


def test_the_width_of_the_terminal_is_used(tmp_path: Path) -> None:
    targets = [f"domain-{letter}" for letter in "abcdefgh"]
    store = make_run(tmp_path, sources=targets[:1], targets=targets)
    lines = {
        width: text_of("matrix", store.folder, width=width).splitlines()
        for width in (80, 100, 140, 200)
    }
    parts = {w: sum("debiased by" in line for line in found) for w, found in lines.items()}
    assert parts[80] > parts[140] >= parts[200]
    assert max(map(len, lines[140])) > 110


def test_the_first_screen_fits_one_screen(tmp_path: Path) -> None:
    store = make_run(tmp_path, maskers=["wordlist", "random"])
    text = text_of("matrix", store.folder, "--short", width=80)
    assert len(text.splitlines()) <= 40
    matrix = matrix_of(store)
    assert rows(verdict(matrix).text) in rows(text)
    assert "debiased by" not in text


def test_p_values_are_shown_when_asked_for(tmp_path: Path) -> None:
    store = make_run(tmp_path)
    adjusted = [e.adjusted_p for row in matrix_of(store).pooled for e in row.entries]
    text = text_of("matrix", store.folder, "--p-values")
    assert "p = " not in text_of("matrix", store.folder)
    for p in adjusted:
        if p is not None:
            assert ("p < 0.001" if p < 0.001 else f"p = {p:.3f}") in text
    both = invoke("matrix", store.folder, "--p-values", "--intervals")
    assert both.exit_code == 2
    assert "one of --intervals and --p-values" in both.output


def test_several_seeds_are_summarised_and_kept_apart_from_items(tmp_path: Path) -> None:
    store = make_run(tmp_path, seeds=range(5), identity=True)
    matrix = matrix_of(store)
    assert [row.fits for row in matrix.pooled] == [5, 5, 1]
    pooled = matrix.pooled[0].entries[0]
    entries = [row.entry(pooled.column) for row in matrix.rows if row.cell.source == "gender"]
    changes = [e.change for e in entries if e is not None and e.change is not None][:5]
    assert pooled.change == pytest.approx(sum(changes) / 5)
    assert pooled.spread is not None
    assert pooled.spread.sd == pytest.approx(float(np.std(changes, ddof=1)))
    assert entries[0] is not None
    assert pooled.covers == "items and fits"
    assert pooled.interval != entries[0].interval
    text = text_of("matrix", store.folder)
    assert "5 fits" in text
    assert "±" in text
    assert "seed 4" in text_of("matrix", store.folder, "--each-seed")
    single = matrix_of(make_run(tmp_path, name="single"))
    assert not single.several_fits


def test_holm_is_stricter_and_intervals_are_shown(tmp_path: Path) -> None:
    store = make_run(tmp_path)
    by = {c: matrix_of(store, correction=c) for c in ("bh", "holm")}
    pairs = [
        (a.adjusted_p, b.adjusted_p)
        for x, y in zip(by["bh"].rows, by["holm"].rows, strict=True)
        for a, b in zip(x.entries, y.entries, strict=True)
    ]
    tested = [(a, b) for a, b in pairs if a is not None and b is not None]
    assert len(tested) == len([a for a, _ in pairs if a is not None]) > 4
    assert all(a <= b for a, b in tested)
    assert any(a != b for a, b in tested)
    text = text_of("matrix", store.folder, "--correction", "holm", "--intervals")
    assert "Holm" in text
    assert any("[" in line for line in text.splitlines()[:16])


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
        write_measurement(store, made_key(key), measurement)

    record("base", 0.0)
    record("after", 0.3)
    refs = [
        MeasureRef(step=s, evaluator="pairs", key=made_key(k))
        for s, k in ((0, "base"), (10, "after"))
    ]
    cells = (
        Cell(model="m", measures=tuple(refs[:1])),
        Cell(model="m", debiaser="d", source="race", seed=0, fit_key="f0", measures=tuple(refs)),
    )
    store.write_index(
        RunIndex(name="skewed", created_at=NOW, spec={}, targets=("race",), cells=cells)
    )
    return store


def test_a_score_that_moves_without_its_balanced_mean_is_warned_of(tmp_path: Path) -> None:
    store = skewed(tmp_path)
    (entry,) = matrix_of(store, metric="stereotype_score").rows[0].entries
    assert entry.improvement is not None
    assert entry.improvement > 5
    assert entry.significant
    assert {half.name for half in entry.halves} == {"stereo", "antistereo"}
    by_name = {half.name: half.change or 0.0 for half in entry.halves}
    assert by_name["stereo"] < 0 < by_name["antistereo"]
    assert entry.warning is not None
    assert "group words may only have become rarer" in rows(text_of("matrix", store.folder))
    assert "group words may only have become rarer" in rows(text_of("leaderboard", store.folder))
    (did,) = matrix_of(store, metric="association").rows[0].entries
    assert did.change == pytest.approx(0.0)


def test_transfer_is_improvement_on_targets_over_that_on_the_source(tmp_path: Path) -> None:
    store = make_run(tmp_path, lean=0.9, items=120)
    matrix = matrix_of(store)
    (own,) = [t for t in transfers(matrix) if t.method.startswith("mlm")]
    pairs = [
        (row.cell.source == e.column.domain, e)
        for row in matrix.pooled
        for e in row.entries
        if e.towards_target and row.cell.debiaser == "mlm-unlearning"
    ]

    def distance(entries: list[Entry], side: str) -> float:
        """Root mean square of p - 1/2 less p(1 - p)/(n - 1), in points."""
        squares = []
        for e in entries:
            metric = e.base if side == "before" else e.after
            assert metric is not None
            p = (metric.value or 0.0) / 100.0
            squares.append(1e4 * ((p - 0.5) ** 2 - p * (1 - p) / (metric.n - 1)))
        return float(np.sqrt(np.mean(squares)))

    inside = [e for same, e in pairs if same]
    outside = [e for same, e in pairs if not same]
    assert own.on_sources is not None
    assert own.on_targets is not None
    source = distance(inside, "before") - distance(inside, "after")
    target = distance(outside, "before") - distance(outside, "after")
    assert own.on_sources.value == pytest.approx(source)
    assert own.on_targets.value == pytest.approx(target)
    assert own.ratio.value == pytest.approx(target / source)
    assert own.compared == len(outside) == 4
    assert own.harmed == sum(e.mark == "worse" for e in outside)
    assert own.gained == sum(e.mark == "better" for e in outside) > 0
    (both,) = own.asymmetries
    by_pair = {(p.source, p.target): p.on_target for p in own.pairs}
    there, back = by_pair["gender", "race"], by_pair["race", "gender"]
    assert there is not None
    assert back is not None
    assert both.difference.value == pytest.approx(there.value - back.value)
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

    def counted(self: Store, key: str, sha256: str | None = None) -> object:
        read.append(key)
        return items(self, key, sha256)

    def bare(self: Store, key: str, *, items: bool = True) -> object:
        assert not items, "items as objects"
        return record(self, key, items=False)

    record = Store.record
    monkeypatch.setattr(Store, "item_tables", counted)
    monkeypatch.setattr(Store, "record", bare)
    matrix_of(store)
    assert len(read) == len(set(read))
    shown = {
        ref.key
        for cell in store.index().cells
        for ref in cell.measures
        if ref.step in (0, max(cell.steps))
    }
    assert set(read) <= shown
    assert made_key("pairs-base-0") in read
