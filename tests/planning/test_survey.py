"""What ``harness plan`` says before anything runs: obstacles, and how long it will take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bench import Bench
from click.testing import CliRunner
from toy_plugins import ToyCorpus, ToyDebiaser, ToyMasker, toy_registry

from harness.cli.main import cli
from harness.errors import PluginCrashError
from harness.families import Plugin
from harness.planning.passages import Texts
from harness.planning.survey import Survey, survey
from harness.storage.store import Store


def plan(folder: Path, **changes: Any) -> Any:
    spec: dict[str, Any] = {
        "name": "x",
        "model": "smollm2-135m",
        "corpus": "embedded",
        "source": "gender",
        "masker": "wordlist",
        "debiaser": "mlm-unlearning",
        "evaluators": "embedded-pairs",
        "limits": {"passages": 4, "items": 4},
        **changes,
    }
    path = folder / "x.yaml"
    path.write_text(json.dumps(spec))
    arguments = ["--offline", "plan", str(path), "--results", str(folder / "runs")]
    return CliRunner().invoke(cli, arguments, env={"COLUMNS": "300", "OPENAI_API_KEY": ""})


def test_a_plan_without_obstacles(tmp_path: Path) -> None:
    result = plan(tmp_path)
    assert result.exit_code == 0, result.output
    assert "run time: unknown" in result.output
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": {"use": "hf", "id": "no/such-model"}}, "such-model"),
        ({"model": {"use": "hf", "id": "./nowhere"}}, "nowhere"),
        ({"model": {"use": "gguf", "path": "nowhere.gguf"}}, "nowhere.gguf"),
        ({"device": "cuda:63"}, "device 'cuda:63'"),
        ({"device": "gpu!"}, "unknown device 'gpu!'"),
        (
            {"masker": {"use": "openai", "model": "m"}},
            "masker 'openai': OPENAI_API_KEY is not set",
        ),
        ({"corpus": {"use": "file", "path": "gone.csv", "domain_value": "gender"}}, "gone.csv"),
    ],
)
def test_each_obstacle_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    result = plan(tmp_path, **changes)
    assert result.exit_code == 1, result.output
    lines = [line for line in result.output.splitlines() if "missing:" in line]
    assert any(said in line for line in lines), result.output
    assert len(lines) == len(set(lines))
    assert "Traceback" not in result.output


def look(bench: Bench, **changes: object) -> Survey:
    registry, spec = toy_registry(), bench.spec(**changes)
    texts = Texts(registry, bench.data, spec.limits)
    return survey(bench.plan(**changes), registry, bench.data, texts, bench.store)


@pytest.mark.parametrize(
    ("plugin", "method"),
    [
        (ToyMasker, "estimate"),
        (ToyMasker, "reads"),
        (ToyDebiaser, "obstacles"),
        (ToyCorpus, "reads"),
    ],
)
def test_an_exception_of_a_plugin_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin: type[Plugin[Any]], method: str
) -> None:
    def fail(self: object, *asked: object) -> object:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(plugin, method, fail)
    bench = Bench(tmp_path)
    with pytest.raises(PluginCrashError, match=rf"'{plugin.name}' .* failed in {method}\(\)"):
        look(bench)


def test_the_run_time_is_that_of_stored_results(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert look(bench).seconds is None
    bench.run()
    assert look(bench).seconds == 0.0
    for key in list(bench.store.record_keys()):
        record = bench.store.record(key)
        assert record is not None
        seconds = {"measure": 2.0, "fit": 3.0 * float(str(record.inputs["step"]))}
        bench.store.write_record(record.model_copy(update={"seconds": seconds}))
    # one more seed: unlearning has 2 fits of 30 steps, and 2 x 3 steps x 2 evaluators to measure
    more = look(bench, seed=[0, 1], debiaser="toy-debiaser")
    assert more.seconds == pytest.approx(2 * 30 * 3.0 + 12 * 2.0)
    assert look(bench, steps=[40], debiaser="toy-debiaser").seconds == pytest.approx(
        2 * 40 * 3.0 + 4 * 2.0
    )


def test_runs_beside_it_tell_too(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.run()
    bench.store = Store(tmp_path / "another")
    assert (look(bench).seconds or 0.0) > 0.0
