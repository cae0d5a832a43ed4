"""The executors that a run can name, and the options that each of them takes.

To add an executor, write a module with a function ``make(settings)`` that returns an `Executor`,
and add a `Choice` to `EXECUTORS`. The commands take their options from here. The module of an
executor is imported when you choose it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from harness.errors import SpecError
from harness.running.executors import Executor


@dataclass(frozen=True)
class Setting:
    """An option of an executor.

    Attributes:
        name: of the setting; the command's option is ``--<name>`` with ``-`` for ``_``.
        kind: ``text``; ``amount``: a number of 0 or more; ``share``: a number above 0; ``count``: a
            whole number of 0 or more.
        help: for people, with the default.
        metavar: the placeholder of a text in the help.
    """

    name: str
    kind: Literal["text", "amount", "share", "count"]
    help: str
    metavar: str | None = None

    @property
    def option(self) -> str:
        """The option of the commands."""
        return f"--{self.name.replace('_', '-')}"


@dataclass(frozen=True)
class Choice:
    """An executor.

    Attributes:
        name: the value of ``--executor``.
        summary: what it is, in a few words.
        module: where its function ``make`` is.
        settings: its options.
    """

    name: str
    summary: str
    module: str
    settings: tuple[Setting, ...] = ()


EXECUTORS = (
    Choice("local", "this process", "harness.running.executors.local"),
    Choice(
        "ray",
        "a Ray cluster (extra [ray])",
        "harness.running.executors.ray",
        (
            Setting(
                "ray_address",
                "text",
                "Cluster: HOST:PORT; 'auto': the cluster of this machine; 'local': this machine "
                "alone. [default: RAY_ADDRESS, else local]",
                metavar="ADDRESS",
            ),
            Setting(
                "cpus_per_task",
                "share",
                "Cores and threads for one fit with its measurements. [default: 1]",
            ),
            Setting(
                "gpus_per_task",
                "amount",
                "GPUs for one fit: a fraction (0.25) or several (2). [default: 1 if the "
                "spec's device is a GPU]",
            ),
            Setting(
                "retries",
                "count",
                "How often a fit is retried after its worker was lost. [default: 3]",
            ),
        ),
    ),
)
"""All executors, the default first."""


def make_executor(name: str, settings: Mapping[str, Any]) -> Executor:
    """Make an executor.

    Args:
        name: of the executor.
        settings: values by the names of settings, of any executor; None: not given.

    Raises:
        SpecError: a setting belongs to another executor.
    """
    (choice,) = (choice for choice in EXECUTORS if choice.name == name)
    allowed = {setting.name for setting in choice.settings}
    for other in EXECUTORS:
        for setting in other.settings:
            if setting.name not in allowed and settings.get(setting.name) is not None:
                raise SpecError(f"{setting.option} is for --executor {other.name}")
    given = {key: value for key, value in settings.items() if key in allowed and value is not None}
    made: Executor = import_module(choice.module).make(given)
    return made
