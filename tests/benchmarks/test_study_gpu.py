"""`benchmarks/study_gpu.sh`: the whole run on a tiny model without a GPU, and its executor."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import ray_toys
from fresh_env import REPO
from toy_plugins import TOY_SPEC, toy_registry

from harness.data.places import DataStore
from harness.running.executors import Executor
from harness.running.experiment import Experiment
from harness.running.runner import Outcome
from harness.storage.store import Store
from harness.testing import save_tiny_model

SCRIPT = REPO / "benchmarks" / "study_gpu.sh"

STUDY = (
    "seed=[0]",
    "source=[gender]",
    "hypotheses=null",
    "corpus=embedded",
    "masker=wordlist",
    "debiaser=[{use: mlm-unlearning, as: hate}]",
    "label=hateful",
    "steps=[1]",
    "stop_at=null",
    "evaluators=[crows-pairs]",
    "limits.items=2",
    "limits.passages=12",
)
"""The study, as small as it can be: one fit, and one evaluator."""


def run(folder: Path, data: Path, *words: str) -> list[str]:
    """Run the script there; its lines."""
    environment = {
        **os.environ,
        "OUT": str(folder / "out"),
        "PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join((str(REPO), str(REPO / "plugins"))),
        "HARNESS_DATA": str(data),
        "HARNESS_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    model = folder / "tiny"
    if not model.exists():
        save_tiny_model(model, context=1024)
    settings = [word for setting in STUDY for word in ("--set", setting)]
    command = ["bash", str(SCRIPT), "run", "--device", "cpu", "--minutes", "120"]
    command += ["--processes", "1", "--model", str(model), "--limit", "2", *settings, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_records_and_figures_come_back_and_a_failed_part_costs_the_others_nothing(
    tmp_path: Path, shared_data: Path
) -> None:
    parts = ("install", "study", "fit", "spread")
    data = tmp_path / "data"
    for folder in ("crows_pairs", "wikitext-2-tokenised"):
        shutil.copytree(shared_data / folder, data / folder)
    (data / "dghs").mkdir()
    (data / "dghs" / "dghs.csv").write_text("altered", "utf-8")  # read by the part fit alone
    lines = run(tmp_path, data, *parts)
    found = [re.fullmatch(r"(\S+) +\d+ s *(.*)", line) for line in lines[1:]]
    ended = {match[1]: match[2] for match in found if match}
    assert list(ended) == [*parts, "all"]
    assert ended["study"].startswith("2 measured, 0 already there, 0 failed")
    assert ended["fit"].startswith("failed")
    assert "dghs" in ended["fit"]
    assert not any(ended[name] for name in ("spread", "all"))
    out = tmp_path / "out"
    assert (out / "parts.txt").read_text("utf-8").splitlines() == lines
    figures = [json.loads(line) for line in (out / "figures.jsonl").read_text("utf-8").splitlines()]
    assert [line["case"] for line in figures] == ["spread cpu"]
    assert figures[-1]["figures"]["weights are on"] == "cpu, disk"
    with tarfile.open(out / "records.tar.gz") as packed:
        packed.extractall(tmp_path / "back", filter="data")
    assert len(list(Store.open(tmp_path / "back" / "study").record_keys())) == 2
    # a second call goes on where the first one stopped
    assert "0 measured, 2 already there" in run(tmp_path, data, "study")[1]


def test_without_exact_fp32_nothing_is_measured(tmp_path: Path, shared_data: Path) -> None:
    fails = tmp_path / "python"
    fails.write_text("#!/bin/sh\necho 'fp32: TF32 is on'\nexit 1\n", "utf-8")
    fails.chmod(0o755)
    done = subprocess.run(
        ["bash", str(SCRIPT), "run", "--device", "cpu", "fp32", "study", "bf16"],
        env={**os.environ, "OUT": str(tmp_path / "out"), "PYTHON": str(fails)},
        capture_output=True,
        text=True,
        check=True,
    )
    _, check, study, bf16, _ = done.stdout.splitlines()
    assert check.endswith("failed (1): fp32: TF32 is on")
    assert study.endswith("left out: fp32 failed")
    assert bf16.endswith("left out: fp32 failed")


def test_a_part_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    sleeps = tmp_path / "python"
    sleeps.write_text("#!/bin/sh\nsleep 60\n", "utf-8")
    sleeps.chmod(0o755)
    done = subprocess.run(
        ["bash", str(SCRIPT), "run", "--device", "cpu", "--minutes", "1", "bf16", "lora"],
        env={**os.environ, "OUT": str(tmp_path / "out"), "PYTHON": str(sleeps)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "stopped at its limit of 3 s" in done.stdout.splitlines()[1]
    assert "stopped at its limit of 3 s" in done.stdout.splitlines()[2]


def test_an_unknown_part_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", str(SCRIPT), "run", "studdy"],
        env={**os.environ, "OUT": str(tmp_path / "out")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "unknown part studdy; there are: install fp32 study" in done.stderr


# -- the processes -------------------------------------------------------------------------------


def carry_out(folder: Path, executor: Executor | None = None) -> tuple[Store, Outcome]:
    """Run the toy spec there."""
    experiment = Experiment.from_mapping(
        TOY_SPEC,
        registry=toy_registry(),
        data=DataStore(cache_dir=folder / "cache", offline=True),
        folder=folder / "run",
    )
    return experiment.store, experiment.run(executor=executor)


def values(store: Store) -> dict[str, Any]:
    """Every record with its items, without times."""
    found = {}
    for key in store.record_keys():
        record = store.record(key)
        assert record is not None
        found[key] = record.model_dump(mode="json", exclude={"created_at", "seconds", "provenance"})
    return found


def test_processes_find_what_one_process_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(REPO / "benchmarks"))
    monkeypatch.setenv("RAY_TOYS", str(tmp_path))
    import gpu_study

    alone, expected = carry_out(tmp_path / "alone")
    executor = gpu_study.Processes(2, ray_toys.mortal_registry)
    together, outcome = carry_out(tmp_path / "together", executor)
    assert outcome.measured == expected.measured > 10
    assert not outcome.failures
    assert values(together) == values(alone)
    processes = {line.split()[1] for line in (tmp_path / "trace").read_text().splitlines()}
    assert len(processes) == 2


def test_a_process_that_dies_costs_what_it_had_and_the_next_run_does_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(REPO / "benchmarks"))
    monkeypatch.setenv("RAY_TOYS", str(tmp_path))
    import gpu_study

    (tmp_path / "crash").touch()
    executor = gpu_study.Processes(2, ray_toys.mortal_registry)
    store, outcome = carry_out(tmp_path, executor)
    assert outcome.failures
    assert {reason for _, reason in outcome.failures} == {"its process died (out of memory?)"}
    assert outcome.measured > len(outcome.failures)
    _, again = carry_out(tmp_path, executor)
    assert again.measured == len(outcome.failures)
    assert not again.failures
    assert values(store) == values(carry_out(tmp_path / "alone")[0])
