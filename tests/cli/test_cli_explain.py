"""``harness explain`` takes keys and what tables show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bench import Bench
from click.testing import CliRunner

from harness.cli.main import cli
from harness.errors import StoreError


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.run(seed=[0, 1])
    return made


def explain(bench: Bench, *words: str) -> Any:
    return CliRunner().invoke(cli, ["explain", str(bench.store.folder), *words])


def inputs(output: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output[output.index("{") :])
    return found


def test_a_cell_by_its_name(bench: Bench) -> None:
    result = explain(bench, "toy-debiaser/race/seed 1", "--step", "20", "-e", "toy-reader")
    assert result.exit_code == 0, result.output
    found = inputs(result.output)
    assert (found["step"], found["seed"]) == (20, 1)
    assert found["evaluator"]["name"] == "toy-reader"
    assert found["source"]["domain"] == "race"
    key = result.output.split("result ")[1].split()[0]
    again = explain(bench, key[:10])
    assert inputs(again.output) == found


def test_the_last_step_and_the_first_evaluator_are_the_default(bench: Bench) -> None:
    found = inputs(explain(bench, "toy-debiaser/race/seed 1").output)
    assert (found["step"], found["evaluator"]["name"]) == (30, "toy-evaluator")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["toy-debiaser"], "several cells are"),
        (["nobody"], "no cell is"),
        (["toy-debiaser/race/seed 1", "--step", "7"], "has no step 7"),
        (["toy-debiaser/race/seed 1", "-e", "toy-evaluatr"], "did you mean 'toy-evaluator'"),
        ([""], "keys begin"),
    ],
)
def test_what_is_not_there(bench: Bench, words: list[str], said: str) -> None:
    result = explain(bench, *words)
    assert isinstance(result.exception, StoreError)
    assert said in str(result.exception)
