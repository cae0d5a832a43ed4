"""Registries for Ray workers in tests: toys that leave a trace, and die where they are told to.

``RAY_TOYS`` names a folder that workers and tests share, for orders and traces alone: ``trace``
has a line for each evaluation; a file ``die`` makes the first evaluation from step 20 on kill its
node, ``crash`` its process, and ``sleep`` each one wait until it is killed.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from toy_plugins import ToyEvaluator, ToyModel, ToyPlugin

from harness.hookspecs import hookimpl
from harness.plugins import Origin, Registry, build_registry
from harness.types import EvaluationRequest, Measurement

ORIGIN = Origin("toys", "toy-distribution", "1.0")


class MortalEvaluator(ToyEvaluator):
    """The toy evaluator, told from outside when to die."""

    def evaluate(self, request: EvaluationRequest) -> Sequence[Measurement]:
        folder = Path(os.environ["RAY_TOYS"])
        assert isinstance(request.model, ToyModel)
        level = request.model.level
        with (folder / "trace").open("a") as stream:
            stream.write(f"{level:.2f} {os.getpid()} {os.environ['HOME']}\n")
        while (folder / "sleep").exists():
            time.sleep(0.05)
        if level <= -1.2 and _taken(folder / "die"):
            time.sleep(0.3)  # what was yielded before is on its way
            os.kill(os.getppid(), signal.SIGKILL)  # the node's own process; its workers follow
            os.kill(os.getpid(), signal.SIGKILL)
        if level <= -1.2 and _taken(folder / "crash"):
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGKILL)
        return super().evaluate(request)


class MortalPlugin(ToyPlugin):
    """The toys with the mortal evaluator."""

    @hookimpl
    def harness_evaluators(self) -> list[type]:
        return [MortalEvaluator, *super().harness_evaluators()[1:]]


def mortal_registry() -> Registry:
    """The toys, of the version that the driver has."""
    return build_registry([(MortalPlugin(), ORIGIN)], strict=True)


def newer_registry() -> Registry:
    """The toys, of another version."""
    return build_registry([(ToyPlugin(), replace(ORIGIN, version="2.0"))], strict=True)


def empty_registry() -> Registry:
    """No plugin at all."""
    return build_registry([])


def unimportable_registry() -> Registry:
    """As where a module of the driver's is not installed."""
    raise ModuleNotFoundError("No module named 'harness_of_the_driver'")


def _taken(order: Path) -> bool:
    """Whether the order was there; the first to ask takes it away."""
    try:
        order.unlink()
    except FileNotFoundError:
        return False
    return True
