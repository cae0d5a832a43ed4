"""The Python API: an experiment from a spec, and the public namespace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from toy_plugins import TOY_SPEC, toy_registry

import harness
from harness import DataStore, Experiment, SpecError


def toy_experiment(folder: Path, **changes: object) -> Experiment:
    return Experiment.from_mapping(
        {**TOY_SPEC, **changes},
        registry=toy_registry(),
        data=DataStore(cache_dir=folder / "cache", offline=True),
        results=folder,
    )


def test_an_experiment_plans_runs_and_resumes(tmp_path: Path) -> None:
    experiment = toy_experiment(tmp_path)
    tasks = experiment.plan().tasks()
    assert sum(work.there for work in experiment.survey().work) == 0
    outcome = experiment.run()
    assert outcome.measured == len(tasks)
    assert experiment.folder == tmp_path / str(TOY_SPEC["name"])
    again = toy_experiment(tmp_path)
    assert sum(work.there for work in again.survey().work) == len(tasks)
    assert again.run().measured == 0


def test_overrides_are_values_by_key(tmp_path: Path) -> None:
    experiment = Experiment.from_spec(
        "quickstart", results=tmp_path, name="mine", **{"limits.items": 7, "seed": [3]}
    )
    assert experiment.spec.limits.items == 7
    assert experiment.spec.seed == (3,)
    assert experiment.folder == tmp_path / "mine"


def test_a_mistake_names_its_key(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="unknown key 'modle'; did you mean 'model'"):
        toy_experiment(tmp_path, modle="x")


def test_the_default_data_folder_is_that_of_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    experiment = Experiment.from_mapping(TOY_SPEC, registry=toy_registry())
    assert experiment.data.data_dir == tmp_path


def test_every_public_name_exists_and_is_declared_for_type_checkers() -> None:
    source = Path(str(harness.__file__)).read_text("utf-8")
    for name in harness.__all__:
        assert getattr(harness, name) is not None
        assert name == "__version__" or f"import {name} as {name}\n" in source
    assert set(dir(harness)) == set(harness.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Debaiser'"):
        _ = harness.Debaiser


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, harness; from harness import Debiaser, hookimpl; "
        "print([m for m in ('torch', 'transformers', 'datasets', 'scipy', 'rich') "
        "if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
