"""Fits that stop at a dose, and the evaluator that measures it, on a tiny real model."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any, cast

import pytest

from harness.data.places import DataStore
from harness.lm.divergence import BaseDistributions
from harness.planning.spec import FASTEST_GROWTH
from harness.plugins import load_registry
from harness.replay.verification import verify
from harness.running.dose import until_dose
from harness.running.experiment import Experiment
from harness.storage.records import Record
from harness.testing import sample_passages, save_tiny_model
from harness.types import Checkpoint

STEPS = [1, 2, 3, 4, 6, 8]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("dose")
    save_tiny_model(made / "model")
    with (made / "neutral.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["text", "split"])
        for domain in ("none", "gender", "race", "religion"):
            rows.writerows([p.text, "test"] for p in sample_passages(domain, "non-hateful", "test"))
        rows.writerows([f"Page {n} of a long book.", "train"] for n in range(4))
    return made


def experiment(folder: Path, out: Path, **changes: Any) -> Experiment:
    spec: dict[str, Any] = {
        "name": "dose",
        "model": {"use": "hf", "id": str(folder / "model"), "as": "tiny"},
        "corpus": "embedded",
        "source": "gender",
        "masker": "wordlist",
        "neutral": {
            "use": "file",
            "path": str(folder / "neutral.csv"),
            "label_value": "non-hateful",
            "domain_value": "none",
            "split": "split",
        },
        "debiaser": [{"use": "mlm-unlearning", "learning_rate": 3e-3}, "identity"],
        "evaluators": ["embedded-pairs", "neutral-kl"],
        "steps": STEPS,
        "limits": {"items": 4, "passages": 8},
        **changes,
    }
    data = DataStore(cache_dir=out / "cache", offline=True)
    return Experiment.from_mapping(spec, registry=load_registry(), data=data, folder=out / "run")


def records(done: Experiment, debiaser: str, evaluator: str) -> dict[int, Record]:
    found = {}
    for cell in done.store.index().cells:
        if cell.debiaser == debiaser:
            for ref in cell.measures:
                record = done.store.record(ref.key)
                if ref.evaluator == evaluator and record is not None:
                    found[ref.step] = record
    return found


def kl(record: Record) -> float:
    value = record.measurements[0].metrics[0].value
    assert value is not None
    return value


@pytest.fixture(scope="module")
def curve(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    """KL at every step of a fit that does not stop."""
    done = experiment(folder, tmp_path_factory.mktemp("curve"))
    assert not done.run().failures
    assert kl(records(done, "identity", "neutral-kl")[1]) == 0.0
    assert not verify(done.store).differences
    found = {step: kl(r) for step, r in records(done, "mlm-unlearning", "neutral-kl").items()}
    assert found[0] == 0.0
    assert list(found.values()) == sorted(found.values())
    return found


def test_a_fit_stops_at_the_first_step_that_reaches_the_dose(
    folder: Path, curve: dict[int, float], tmp_path: Path
) -> None:
    dose = (curve[2] + curve[3]) / 2
    done = experiment(folder, tmp_path, stop_at={"kl": dose})
    assert not done.run().failures
    found = records(done, "mlm-unlearning", "neutral-kl")
    assert sorted(found) == [0, STEPS[-1]]
    log = found[STEPS[-1]].fit_log
    assert log["stopped_at_step"] == 3
    assert log["stopped_at_kl"] == pytest.approx(curve[3], rel=1e-6)
    assert kl(found[STEPS[-1]]) == pytest.approx(curve[3], rel=1e-6)
    whole = experiment(folder, tmp_path / "whole", steps=[3])
    whole.run()
    pairs = records(done, "mlm-unlearning", "embedded-pairs")[STEPS[-1]]
    same = records(whole, "mlm-unlearning", "embedded-pairs")[3]
    assert pairs.measurements == same.measurements
    assert not (done.run().measured)  # nothing is left to do


def test_a_dose_that_is_not_reached_is_a_failure_that_says_how_far_it_came(
    folder: Path, curve: dict[int, float], tmp_path: Path
) -> None:
    outcome = experiment(folder, tmp_path, stop_at={"kl": 50.0}, steps=[1, 2]).run()
    reasons = {reason for _, reason in outcome.failures}
    assert len(reasons) == 1
    assert f"a divergence of {curve[2]:.4g} nats a token by step 2, not the 50" in reasons.pop()


def test_the_dose_and_the_steps_that_are_checked_are_in_the_key(
    folder: Path, tmp_path: Path
) -> None:
    def keys(**changes: Any) -> set[str]:
        plan = experiment(folder, tmp_path, evaluators="embedded-pairs", **changes).plan()
        return {key for key, task in plan.tasks().items() if "stop_at" in task.inputs}

    one = keys(stop_at={"kl": 0.1})
    assert one
    assert one == keys(stop_at={"kl": 0.1, "windows": 40})
    assert one.isdisjoint(keys(stop_at={"kl": 0.2}))
    assert one.isdisjoint(keys(stop_at={"kl": 0.1, "tokens": 32}))
    assert one.isdisjoint(keys(stop_at={"kl": 0.1}, steps=[2, 4, 8]))


@pytest.mark.parametrize("key", ["stop_at", "evaluators"])
def test_a_plan_says_that_the_neutral_corpus_has_too_few_texts(
    folder: Path, tmp_path: Path, key: str
) -> None:
    changes: dict[str, dict[str, Any]] = {
        "stop_at": {"stop_at": {"kl": 0.1, "windows": 200}, "evaluators": "embedded-pairs"},
        "evaluators": {"evaluators": {"use": "neutral-kl", "windows": 200}},
    }
    (problem,) = experiment(folder, tmp_path, **changes[key]).survey().problems
    assert "held-out neutral texts, 200 are needed" in problem


def test_the_plain_corpus_is_the_neutral_text_where_a_spec_names_none(
    folder: Path, tmp_path: Path
) -> None:
    for changes in (
        {"stop_at": {"kl": 0.1}, "evaluators": "embedded-pairs"},
        {"evaluators": "neutral-kl"},
    ):
        (neutral,) = experiment(folder, tmp_path, neutral=[], **changes).spec.neutral
        assert load_registry().get("corpus", neutral.use).plugin.plain


def test_fits_that_stop_on_the_same_texts_share_the_base_distributions(
    folder: Path, curve: dict[int, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    worked_out = BaseDistributions.of.__func__  # type: ignore[attr-defined]

    def counted(cls: type[BaseDistributions], *args: Any, **options: Any) -> BaseDistributions:
        calls.append(options["tokens"])
        made = worked_out(cls, *args, **options)
        assert isinstance(made, BaseDistributions)
        return made

    monkeypatch.setattr(BaseDistributions, "of", classmethod(counted))
    dose = (curve[2] + curve[3]) / 2
    done = experiment(
        folder, tmp_path, stop_at={"kl": dose}, seed=[0, 1], evaluators="embedded-pairs"
    )
    assert not done.run().failures
    assert calls == [64]
    found = records(done, "mlm-unlearning", "embedded-pairs")
    assert found[STEPS[-1]].fit_log["stopped_at_step"] == 3
    wider = experiment(folder, tmp_path, stop_at={"kl": dose, "tokens": 32}, seed=[0, 1])
    wider.run()
    assert calls.count(32) == 1


@pytest.mark.parametrize("power", [0.5, 1, 2, 3, FASTEST_GROWTH])
@pytest.mark.parametrize("reached_at", [1, 2, 5.5, 21.7, 39])
def test_steps_too_early_for_the_dose_are_not_checked_and_the_first_that_reaches_it_is_found(
    folder: Path, tmp_path: Path, power: float, reached_at: float
) -> None:
    steps = tuple(range(1, 41))
    checked: list[int] = []

    class Growing:
        """Stands for the base: the divergence is a power of the step, 0.05 at ``reached_at``."""

        def divergence(self, step: int) -> float:
            checked.append(step)
            return float(0.05 * (step / reached_at) ** power)

    done = experiment(folder, tmp_path, stop_at={"kl": 0.05}, steps=list(steps))
    (fit,) = (fit for model in done.plan().models for fit in model.fits if fit.stop_at is not None)
    each = ((Checkpoint(step, cast(Any, step), {}), {}) for step in steps)
    ((found, _),) = until_dose(fit, cast(Any, Growing()), each)
    assert found.log["stopped_at_step"] == math.ceil(reached_at)
    assert checked == sorted(set(checked))
    if power >= 2 and reached_at > 20:
        assert len(checked) < reached_at / 2
