"""Runs the toy spec in a folder, slowly; killed and resumed by test_kill.py."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from toy_plugins import TOY_SPEC, ToyEvaluator, toy_registry

from harness.data import DataStore
from harness.plan import build_plan
from harness.reporting import Silent
from harness.runner import Runner
from harness.spec import build_spec
from harness.store import Store
from harness.texts import Texts
from harness.yamlfile import Lines


def main(folder: Path, pause: float) -> None:
    """Run, sleeping in each evaluation and in each sync so that a kill falls anywhere."""
    evaluate, fsync = ToyEvaluator.evaluate, os.fsync

    def slow_evaluate(self: ToyEvaluator, request: object) -> object:
        time.sleep(pause)
        return evaluate(self, request)  # type: ignore[arg-type]

    def slow_fsync(descriptor: int) -> None:
        time.sleep(pause / 4)
        fsync(descriptor)

    ToyEvaluator.evaluate = slow_evaluate  # type: ignore[assignment, method-assign]
    os.fsync = slow_fsync  # type: ignore[assignment]
    registry, data = toy_registry(), DataStore(cache_dir=folder / "cache", offline=True)
    spec = build_spec(TOY_SPEC, registry, Lines("toys"))
    texts = Texts(registry, data, spec.limits)
    plan = build_plan(spec, registry, data, texts)
    print("running", flush=True)
    outcome = Runner(registry, data, texts, Store(folder / "run"), Silent()).run(plan)
    print(outcome.reused, outcome.measured, len(outcome.failures), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
