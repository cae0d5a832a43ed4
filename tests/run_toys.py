"""Runs small specs, each in a forked process that can be killed, for test_kill.py and benchmarks.

Reads lines ``FOLDER PAUSE KIND LIMIT`` from its input; for each it forks, answers ``pid N``, and
when the child has ended ``end STATUS TEXT``. Forking spares every run the seconds of importing.

PAUSE: seconds slept in every evaluation and step of a fit, a quarter of it in every sync of a
file, so that a kill falls anywhere. KIND: ``toy``, or ``tiny`` for a real model of width 32 whose
checkpoints are kept. LIMIT: bytes that a file may have from the fourth measurement on (the disk
is full); 0: no limit.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from toy_plugins import TOY_SPEC, ToyDebiaser, ToyEvaluator, ToyModel, toy_registry

import harness.lm.checkpoint
import harness.lm.loading
import harness.lm.seeding
import harness.lm.transformers_model  # noqa: F401  (imported once, before the forks)
from harness.data import DataStore
from harness.errors import HarnessError
from harness.plan import build_plan
from harness.plugins import Registry, load_registry
from harness.reporting import Silent
from harness.runner import Runner
from harness.spec import build_spec
from harness.store import Store
from harness.texts import Texts
from harness.yamlfile import Lines

TINY_SPEC: dict[str, Any] = {
    "name": "tiny",
    "corpus": "embedded",
    "source": ["gender", "religion"],
    "masker": "wordlist",
    "debiaser": [{"use": "mlm-unlearning", "learning_rate": 0.01}, "identity"],
    "evaluators": ["embedded-pairs", "corpus-perplexity"],
    "steps": [2, 4],
    "limits": {"items": 6, "passages": 8, "unseen": 4},
    "keep_checkpoints": True,
}


class Filling(Silent):
    """A reporter that lets the disk be full after some measurements."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0

    def measured(self, evaluator: str, title: str, seconds: float) -> None:
        self._count += 1
        if self._limit and self._count == 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self._limit, self._limit))


def slow_down(pause: float) -> None:
    """Sleep wherever a kill shall be able to fall."""
    evaluate, fsync, copy = ToyEvaluator.evaluate, os.fsync, ToyModel.token_scores

    def slow_evaluate(self: Any, request: Any) -> Any:
        time.sleep(pause)
        return evaluate(self, request)

    def slow_scores(self: Any, texts: Any, **options: Any) -> Any:  # the probes of a fit
        time.sleep(pause / 4)
        return copy(self, texts, **options)

    def slow_fsync(descriptor: int) -> None:
        time.sleep(pause / 4)
        fsync(descriptor)
        time.sleep(pause / 4)

    ToyEvaluator.evaluate = slow_evaluate  # type: ignore[method-assign]
    ToyModel.token_scores = slow_scores  # type: ignore[method-assign]
    os.fsync = slow_fsync


def run(folder: Path, pause: float, kind: str, limit: int, registries: dict[str, Registry]) -> str:
    """Carry out the spec; a word for each of reused, measured and failed, or the error."""
    slow_down(pause)
    data = DataStore(cache_dir=folder / "cache", offline=True)
    registry = registries[kind]
    model = {"use": "hf", "id": str(folder.parent / "model"), "as": "tiny"}
    raw = TOY_SPEC if kind == "toy" else {**TINY_SPEC, "model": model}
    try:
        spec = build_spec(raw, registry, Lines("spec"))
        texts = Texts(registry, data, spec.limits)
        plan = build_plan(spec, registry, data, texts)
        store = Store(folder / "run")
        outcome = Runner(registry, data, texts, store, Filling(limit)).run(plan)
    except HarnessError as error:
        return f"{type(error).__name__}: {error}"
    return f"{outcome.reused} {outcome.measured} {len(outcome.failures)}"


def main() -> None:
    """Serve until the input ends."""
    registries = {"toy": toy_registry(), "tiny": load_registry(strict=True)}
    assert ToyDebiaser.interrupt_at is None
    print("ready", flush=True)
    for line in sys.stdin:
        folder, pause, kind, limit = line.split()
        reading, writing = os.pipe()
        if (pid := os.fork()) == 0:
            answer = run(Path(folder), float(pause), kind, int(limit), registries)
            os.write(writing, answer.encode())
            os._exit(0)
        os.close(writing)
        print("pid", pid, flush=True)
        with os.fdopen(reading) as stream:
            said = stream.read()
        _, status = os.waitpid(pid, 0)
        print("end", status, said, flush=True)


if __name__ == "__main__":
    main()
