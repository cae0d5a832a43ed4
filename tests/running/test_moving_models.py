"""One commit of a model is resolved, keyed and loaded, whatever its branch does meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner
from pydantic import Field, JsonValue
from toy_plugins import TOY_SPEC, ToyModel, ToyPlugin

from harness.cli.main import cli
from harness.data.places import DataStore
from harness.errors import ModelError
from harness.families import NOT_IN_KEY, Model, PluginConfig
from harness.hookspecs import hookimpl
from harness.lm.handle import LanguageModel
from harness.plugins import Origin, Registry, build_registry
from harness.running.experiment import Experiment
from harness.types import LoadRequest


class HubConfig(PluginConfig):
    """Which commit."""

    revision: str | None = Field(None, description="a commit", json_schema_extra=NOT_IN_KEY)


class HubModel(Model[HubConfig]):
    """A model of a hub whose branch can move."""

    name = "hub"
    summary = "A model of a hub whose branch can move."
    reference = "tests"
    branch: ClassVar[str | None] = "aaa"
    loaded: ClassVar[list[str]] = []
    levels: ClassVar[Mapping[str, float]] = {"aaa": -1.0, "bbb": -2.0}

    def _commit(self) -> str:
        commit = self.config.revision or self.branch
        if commit is None:
            raise ModelError("the hub cannot be reached")
        return commit

    def pinned(self) -> HubConfig:
        return HubConfig(revision=self._commit())

    def fingerprint(self, data: DataStore) -> Mapping[str, JsonValue]:
        return {"commit": self._commit()}

    def load(self, request: LoadRequest) -> LanguageModel:
        self.loaded.append(self._commit())
        return ToyModel(self.levels[self._commit()])


class WithHub(ToyPlugin):
    """The toys, and the model of the hub."""

    @hookimpl
    def harness_models(self) -> list[type[Model[Any]]]:
        return [HubModel]


def registry() -> Registry:
    return build_registry([(WithHub(), Origin("toys", "toys", "1"))], strict=True)


def experiment(folder: Path, **config: str) -> Experiment:
    spec = {**TOY_SPEC, "model": {"use": "hub", **config}, "evaluators": "toy-evaluator"}
    data = DataStore(cache_dir=folder / "cache", offline=True)
    return Experiment.from_mapping(spec, registry=registry(), data=data, folder=folder / "run")


@pytest.fixture(autouse=True)
def _at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HubModel, "branch", "aaa")
    HubModel.loaded.clear()


def test_a_branch_that_moves_after_planning_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = experiment(tmp_path / "moving")
    moving.plan()
    monkeypatch.setattr(HubModel, "branch", "bbb")
    assert not moving.run().failures
    assert set(HubModel.loaded) == {"aaa"}
    for key in moving.store.record_keys():
        record = moving.store.record(key)
        assert record is not None
        assert record.inputs["model"]["fingerprint"] == {"commit": "aaa"}  # type: ignore[index,call-overload]
    still = experiment(tmp_path / "still", revision="aaa")
    still.run()
    assert set(still.store.record_keys()) == set(moving.store.record_keys())


def test_the_next_run_notices_that_the_branch_has_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.running.reporting import Reporter

    class Listening(Reporter):
        said: ClassVar[list[str]] = []

        def note(self, message: str) -> None:
            self.said.append(message)

    first = experiment(tmp_path).run()
    monkeypatch.setattr(HubModel, "branch", "bbb")
    again = experiment(tmp_path).run(reporter=Listening())
    assert (again.measured, again.reused) == (first.measured, 0)
    assert any(
        "stale" in line and "fingerprint.commit changed from aaa to bbb" in line
        for line in Listening.said
    )
    assert set(HubModel.loaded) == {"aaa", "bbb"}


def test_a_model_that_cannot_be_resolved_fails_its_cells_with_one_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HubModel, "branch", None)
    outcome = experiment(tmp_path).run()
    assert outcome.measured == 0
    assert {reason for _, reason in outcome.failures} == {"the hub cannot be reached"}


def test_a_run_in_which_everything_fails_ends_with_9_and_each_reason_once(tmp_path: Path) -> None:
    spec = tmp_path / "x.yaml"
    spec.write_text(
        "model: {use: hf, id: ./nowhere}\ncorpus: embedded\nsource: [gender, race]\n"
        "masker: wordlist\ndebiaser: mlm-unlearning\nevaluators: embedded-pairs\n"
    )
    result = CliRunner().invoke(
        cli, ["--offline", "run", str(spec), "--results", str(tmp_path)], env={"COLUMNS": "300"}
    )
    assert result.exit_code == 9, result.output
    assert "Traceback" not in result.output
    assert "all measurements failed" in result.output
    reason = next(line for line in result.output.splitlines() if "[1/" in line).split(": ", 1)[1]
    assert result.output.count(reason) <= 2  # once, and once more with how often it came again
