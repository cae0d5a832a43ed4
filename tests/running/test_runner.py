"""Plan and runner on toy plugins: product, keys, resume, failures, interruption."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bench import Bench
from toy_plugins import ToyDebiaser, ToyModelPlugin

from harness.errors import StoreError
from harness.planning.plan import Plan


@pytest.fixture(autouse=True)
def _count_from_zero() -> None:
    ToyModelPlugin.loads.clear()
    ToyDebiaser.fits.clear()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_run_is_the_product_and_shares_what_is_the_same(bench: Bench) -> None:
    outcome = bench.run()
    # base: 1 evaluator shared + 1 that reads each of 2 sources;
    # unlearning: 2 sources x 3 steps x 2 evaluators; identity: 1 + 2 sources for the reader
    assert outcome.measured == (1 + 2) + 12 + (1 + 2)
    assert not outcome.failures
    assert sorted(ToyDebiaser.fits) == ["gender", "race"]
    index = bench.store.index()
    identity = [cell for cell in index.cells if cell.debiaser == "toy-identity"]
    assert len(identity) == 2
    assert len({cell.fit_key for cell in identity}) == 1


def test_narrowed_axes_leave_fewer_cells_with_the_same_keys(bench: Bench) -> None:
    axes: dict[str, object] = {
        "model": ["toy", {"use": "toy", "as": "other", "level": -2.0}],
        "masker": ["toy-masker", {"use": "toy-masker", "as": "second"}],
        "label": ["hateful", "non-hateful"],
        "seed": [0, 1],
    }
    only = {
        "models": ["other"],
        "corpora": "toy-corpus",
        "sources": ["race"],
        "labels": ["non-hateful"],
        "maskers": ["second"],
        "seeds": [1],
    }
    whole = bench.plan(**axes, debiaser=["toy-debiaser"]).index
    narrow = bench.plan(**axes, debiaser=[{"use": "toy-debiaser", **only}]).index
    (left,) = (cell for cell in narrow.cells if cell.debiaser)
    assert len([cell for cell in whole.cells if cell.debiaser]) == 2**5
    assert left in whole.cells
    assert (left.model, left.source, left.label, left.masker, left.seed) == (
        "other",
        "race",
        "non-hateful",
        "second",
        1,
    )


def test_each_debiased_cell_begins_with_the_base_it_is_compared_with(bench: Bench) -> None:
    bench.run()
    for cell in bench.store.index().cells:
        first = [ref for ref in cell.measures if ref.step == 0]
        readers = set() if cell.is_base else {"toy-reader"}
        assert {ref.evaluator for ref in first} == {"toy-evaluator"} | readers
        for ref in first:
            record = bench.store.record(ref.key)
            assert record is not None
            assert "debiaser" not in record.inputs


def test_a_second_run_computes_nothing_and_loads_no_model(bench: Bench) -> None:
    first = bench.run()
    before = bench.values()
    ToyModelPlugin.loads.clear()
    again = bench.run()
    assert (again.measured, again.reused) == (0, first.measured)
    assert ToyModelPlugin.loads == []
    assert bench.values() == before


def test_same_spec_same_records(tmp_path: Path) -> None:
    one, two = Bench(tmp_path / "one"), Bench(tmp_path / "two")
    one.run()
    two.run()
    assert one.values() == two.values()


def test_only_what_is_missing_is_done_again(bench: Bench) -> None:
    bench.run()
    lost = next(
        ref.key
        for cell in bench.store.index().cells
        if cell.source == "race" and cell.debiaser == "toy-debiaser"
        for ref in cell.measures
        if ref.step == 20
    )
    before = bench.values()
    (bench.store.folder / "records" / f"{lost}.json").unlink()
    ToyDebiaser.fits.clear()
    assert bench.run().measured == 1
    assert ToyDebiaser.fits == ["race"]
    assert bench.values() == before


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"use": "toy", "level": -2.0}},
        {"debiaser": {"use": "toy-debiaser", "rate": 0.5}},
        {"evaluators": {"use": "toy-evaluator", "version": 2}},
        {"steps": [10, 20, 40]},
        {"seed": 1},
        {"dtype": "bfloat16"},
        {"limits": {"passages": 5}},
        {"limits": {"items": 1}},
        {"label": "non-hateful"},
    ],
)
def test_everything_that_can_change_a_result_changes_its_key(
    bench: Bench, change: dict[str, object]
) -> None:
    def unlearned(plan: Plan) -> set[str]:
        return {
            task.key
            for task in plan.tasks().values()
            if task.evaluator.use == "toy-evaluator" and task.step == 10
        }

    plain = {"debiaser": "toy-debiaser", "evaluators": "toy-evaluator"}
    assert not unlearned(bench.plan(**plain)) & unlearned(bench.plan(**{**plain, **change}))


def test_the_order_of_axes_and_their_labels_do_not_change_keys(bench: Bench) -> None:
    one = bench.plan(source=["gender", "race"])
    two = bench.plan(source=["race", "gender"], model={"use": "toy", "as": "renamed"})
    assert set(one.tasks()) == set(two.tasks())


def test_divergence_costs_only_the_steps_after_it(bench: Bench) -> None:
    outcome = bench.run(debiaser={"use": "toy-debiaser", "diverge_at": 20})
    assert {reason for _, reason in outcome.failures} == {"diverged at step 20"}
    assert len(outcome.failures) == 2 * 2 * 2  # sources, steps 20 and 30, evaluators
    steps = {
        ref.step
        for cell in bench.store.index().cells
        for ref in cell.measures
        if bench.store.has_record(ref.key)
    }
    assert steps == {0, 10}


def test_a_bug_in_a_plugin_keeps_its_trace_and_the_other_cells_go_on(bench: Bench) -> None:
    outcome = bench.run(debiaser=[{"use": "toy-debiaser", "crash_at": 10}, "toy-identity"])
    assert outcome.measured == 3 + 3
    failed = next(bench.store.folder.glob("failures/*.json")).stem
    failure = bench.store.failure(failed)
    assert failure is not None
    assert failure.reason.startswith(
        "debiaser 'toy-debiaser' (entry point 'toys' of toy-distribution 1.0) failed in debias(): "
        "RuntimeError: a bug in the plugin ("
    )
    assert re.search(r"toy_plugins\.py, line \d+\)$", failure.reason)
    assert failure.trace is not None
    assert "toy_plugins.py" in failure.trace


def test_a_failure_is_tried_again_and_forgotten_when_it_succeeds(bench: Bench) -> None:
    bench.run(masker={"use": "toy-masker", "nothing": True}, debiaser="toy-debiaser")
    assert list(bench.store.folder.glob("failures/*.json"))
    outcome = bench.run(masker={"use": "toy-masker", "nothing": True}, debiaser="toy-debiaser")
    assert outcome.failures
    assert "masked nothing" in outcome.failures[0][1]


def test_nan_scores_are_a_failure_not_a_result(bench: Bench) -> None:
    outcome = bench.run(debiaser={"use": "toy-debiaser", "nan_at": 20}, evaluators="toy-evaluator")
    assert len(outcome.failures) == 4
    assert all("diverged" in reason for _, reason in outcome.failures)


def test_a_debiaser_that_changes_nothing_is_an_error(bench: Bench) -> None:
    outcome = bench.run(debiaser={"use": "toy-debiaser", "rate": 0.0})
    assert all("changed no output" in reason for _, reason in outcome.failures)
    assert len(outcome.failures) == 12


def test_a_domain_without_passages_fails_its_cells_alone(bench: Bench) -> None:
    outcome = bench.run(
        corpus={"use": "toy-corpus", "empty": "race"},
        debiaser="toy-debiaser",
        evaluators="toy-evaluator",
    )
    assert outcome.measured == 1 + 3
    assert len(outcome.failures) == 3
    assert all("no hateful passage of 'race'" in reason for _, reason in outcome.failures)


def test_interruption_keeps_what_is_finished_and_the_next_run_goes_on(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyDebiaser, "interrupt_at", 20)
    with pytest.raises(KeyboardInterrupt):
        bench.run(debiaser="toy-debiaser")
    kept = len(list(bench.store.record_keys()))
    assert kept == 3 + 2  # the base, and step 10 of the first source
    monkeypatch.undo()
    outcome = bench.run(debiaser="toy-debiaser")
    assert outcome.reused == kept
    whole = Bench(tmp_path / "whole")
    whole.run(debiaser="toy-debiaser")
    assert bench.values() == whole.values()


def test_unlearned_and_unseen_texts_never_meet(bench: Bench) -> None:
    bench.run()
    for key in bench.store.record_keys():
        record = bench.store.record(key)
        assert record is not None
        found = {m.protocol: {item.id for item in m.items} for m in record.measurements}
        if "unlearned" in found:
            assert not found["unlearned"] & found["unseen"]


def test_unwritable_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="choose another folder"):
        Bench(tmp_path).run()


def test_a_full_disk_ends_cleanly(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    bench.run(evaluators="toy-evaluator", debiaser="toy-identity")
    kept = bench.values()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device; what was finished"):
        bench.run()
    assert bench.values() == kept
    assert not list(bench.store.folder.rglob("*.partial"))
