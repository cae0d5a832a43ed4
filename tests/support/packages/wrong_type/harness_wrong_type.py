"""A plugin whose hook returns an instance's name instead of classes."""

from typing import Any

from harness.hookspecs import hookimpl


@hookimpl
def harness_evaluators() -> Any:
    return "my-evaluator"
