"""Options that several commands take."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class Amount(click.FloatRange):
    """A finite number of 0 or more; `click.FloatRange` lets nan and inf pass."""

    def __init__(self, *, positive: bool = False) -> None:
        """``positive``: 0 is refused too."""
        super().__init__(min=0, min_open=positive)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number, or fail as click's own types do."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


def set_option(command: F) -> F:
    """``--set key=value``, any number of times."""
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override a key of the spec. The value is YAML. Dots lead to inner keys "
        "(debiaser.mlm-unlearning.learning_rate=1e-4).",
    )(command)


def results_option(command: F) -> F:
    """``--results DIR``: the folder that holds run folders."""
    return click.option(
        "--results",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path("runs"),
        show_default=True,
        envvar="HARNESS_RESULTS",
        show_envvar=True,
        help="Folder that holds the run folders.",
    )(command)


def server_option(command: F) -> F:
    """``--server URL``: the service that a masker may ask while a stored fit is redone."""
    return click.option(
        "--server",
        metavar="URL",
        help="Server for the run's masker, if the run did not store its masks. A server that only "
        "the run names is never contacted.",
    )(command)


def executor_options(command: F) -> F:
    """``--executor`` and the options of every executor; see `harness.running.executors.choices`."""
    from harness.running.executors.choices import EXECUTORS

    kinds: dict[str, Any] = {
        "text": str,
        "amount": Amount(),
        "share": Amount(positive=True),
        "count": click.IntRange(min=0),
    }
    names = [choice.name for choice in EXECUTORS]
    summaries = ", or ".join(choice.summary for choice in EXECUTORS)
    options = [
        click.option(
            "--executor",
            type=click.Choice(names),
            default=names[0],
            show_default=True,
            help=f"Where fits and measurements run: {summaries}.",
        )
    ]
    for choice in EXECUTORS:
        for setting in choice.settings:
            kind = kinds[setting.kind]
            options.append(
                click.option(setting.option, type=kind, metavar=setting.metavar, help=setting.help)
            )
    for option in reversed(options):
        command = option(command)
    return command
