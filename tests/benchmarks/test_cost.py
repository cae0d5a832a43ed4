"""The estimates of docs/scaling.md: formulas, and that the page says what the command prints."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from fresh_env import REPO


@pytest.fixture(scope="module")
def cost() -> ModuleType:
    """benchmarks/cost.py, imported as the command finds it: beside what it imports."""
    found = importlib.util.spec_from_file_location("cost", REPO / "benchmarks" / "cost.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["cost"] = module  # dataclasses look their module up
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(REPO / "benchmarks"))
        found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    """Round numbers in place of what was counted."""
    tokens = {
        "crows-pairs": 4e4,
        "stereoset": 3e4,
        "wikitext2": 3e5,
        "passage": 30,
        "fit step": 200,
    }
    return {"tokens": tokens}


def test_a_case_worked_out_by_hand(cost: ModuleType, facts: dict[str, Any]) -> None:
    """7B in bf16 on an H100: 10 fits of 50 steps, 5 checkpoints each."""
    found = cost.cost(cost.Case(), cost.GPUS["H100"], facts)
    assert (found.fits, found.measurements) == (10, 51)
    assert found.fit_tokens == 10 * 50 * 200
    assert found.measure_tokens == 51 * (370_000 + (400 + 200 * 10) * 30)
    assert found.fit_flop == 6 * 7e9 * 100_000
    assert found.gpus == 1
    measuring = 2 * 7e9 * 51 * 442_000 / (989e12 * 0.35)
    by_memory = 10 * 50 * 10 * 7e9 * 2 / (3.35e12 * 0.7)
    assert by_memory > 6 * 7e9 * 1e5 / (989e12 * 0.3), "this fit is bound by memory"
    loading = 11 * 14e9 / 1e9
    assert found.hours == pytest.approx((measuring + by_memory + loading) / 3600)
    assert found.money == pytest.approx(3.0 * found.hours)


def test_what_cost_grows_with(cost: ModuleType, facts: dict[str, Any]) -> None:
    one, gpu = cost.Case(models=1), cost.GPUS["A100"]
    base = cost.cost(one, gpu, facts)
    assert cost.cost(replace(one, models=2), gpu, facts).hours == pytest.approx(2 * base.hours)
    seeds = cost.cost(replace(one, seeds=3), gpu, facts)
    assert (seeds.fits, seeds.measurements) == (30, 151)
    assert seeds.fit_flop == 3 * base.fit_flop
    more = cost.cost(replace(one, checkpoints=10), gpu, facts)
    assert more.fit_flop == base.fit_flop
    assert more.measure_tokens / base.measure_tokens == pytest.approx(101 / 51)
    wide = replace(one, dtype="float32")
    assert cost.cost(wide, gpu, facts).gpus == 2  # 112 GB
    assert cost.cost(replace(wide, lora=True), gpu, facts).gpus == 1


def test_the_page_has_the_tables_of_the_command(cost: ModuleType) -> None:
    page = (REPO / "docs" / "scaling.md").read_text("utf-8")
    written = page.split(cost.BEGIN)[1].split("-->\n", 1)[1].split(cost.END)[0]
    assert written.strip() == cost.tables(json.loads(cost.FACTS.read_text("utf-8")))


def test_own_numbers(cost: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    cost.main(["--weights", "1e9", "--lora", "--gpu", "mine=100,48,1.0,0.5"])
    said = capsys.readouterr().out
    assert "mine: 10 fits, 51 measurements" in said
    assert "2 GB without activations: 1 GPU(s)" in said
