"""Executors are listed in one place, from which the commands take their options."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import click
import pytest
from click.testing import CliRunner

from harness.cli.options import executor_options
from harness.errors import SpecError
from harness.running.executors import choices
from harness.running.executors.choices import EXECUTORS, Choice, Setting, make_executor
from harness.running.executors.local import LocalExecutor
from harness.running.executors.ray import RayExecutor


def test_each_one_can_be_made() -> None:
    assert isinstance(make_executor("local", {}), LocalExecutor)
    assert isinstance(make_executor("ray", {"retries": 1, "cpus_per_task": None}), RayExecutor)


def test_settings_of_another_executor_are_refused() -> None:
    for choice in EXECUTORS:
        for setting in choice.settings:
            with pytest.raises(
                SpecError, match=f"{setting.option} is for --executor {choice.name}"
            ):
                make_executor("local", {setting.name: 1})


def test_a_new_one_is_a_module_and_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        def __init__(self, settings: Any) -> None:
            self.settings = settings

        def execute(self, job: Any) -> Iterator[Any]:
            return iter(())

    module = ModuleType("slow_executor")
    module.make = Slow  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "slow_executor", module)
    slow = Choice("slow", "a slow machine", "slow_executor", (Setting("naps", "count", "Naps."),))
    monkeypatch.setattr(choices, "EXECUTORS", (*EXECUTORS, slow))
    seen = {}

    @click.command()
    @executor_options
    def command(executor: str, **settings: Any) -> None:
        seen["made"] = make_executor(executor, settings)

    result = CliRunner().invoke(command, ["--executor", "slow", "--naps", "3"])
    assert result.exit_code == 0, result.output
    assert isinstance(seen["made"], Slow)
    assert seen["made"].settings == {"naps": 3}
    assert "--naps" in CliRunner().invoke(command, ["--help"]).output
