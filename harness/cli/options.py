"""Options that several commands take."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from harness.running.executors import Executor

F = TypeVar("F", bound=Callable[..., Any])


def set_option(command: F) -> F:
    """``--set key=value``, any number of times."""
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override a key of the spec; the value is YAML, the key may be dotted "
        "(debiaser.mlm-unlearning.learning_rate=1e-4).",
    )(command)


def results_option(command: F) -> F:
    """``--results DIR``: the folder under which run folders lie."""
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
        help="Let the run's masker ask this server, if the run did not store its masks. Servers "
        "that are named only in the run are never asked.",
    )(command)


def executor_options(command: F) -> F:
    """``--executor`` and what the Ray executor takes; `make_executor` reads them."""
    options = (
        click.option(
            "--executor",
            type=click.Choice(["local", "ray"]),
            default="local",
            show_default=True,
            help="Who does the work: this process, or a Ray cluster (extra [ray]).",
        ),
        click.option(
            "--ray-address",
            metavar="ADDRESS",
            help="Cluster: HOST:PORT, 'auto' for the one this machine is part of, 'local' for "
            "this machine alone. [default: RAY_ADDRESS, else local]",
        ),
        click.option(
            "--cpus-per-task",
            type=click.FloatRange(min=0, min_open=True),
            help="Cores, and threads, of one fit with its measurements. [default: 1]",
        ),
        click.option(
            "--gpus-per-task",
            type=click.FloatRange(min=0),
            help="GPUs of one fit: a share of one (0.25) or several (2). [default: 1 where the "
            "spec's device is a GPU]",
        ),
        click.option(
            "--retries",
            type=click.IntRange(min=0),
            help="How often a fit is tried again after its worker was lost. [default: 3]",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def make_executor(
    executor: str,
    ray_address: str | None,
    cpus_per_task: float | None,
    gpus_per_task: float | None,
    retries: int | None,
) -> Executor:
    """What the options of `executor_options` ask for; None: the option was not given.

    Raises:
        click.UsageError: an option of Ray's without Ray.
    """
    given = {
        "--ray-address": ray_address,
        "--cpus-per-task": cpus_per_task,
        "--gpus-per-task": gpus_per_task,
        "--retries": retries,
    }
    if executor == "local":
        from harness.running.executors.local import LocalExecutor

        for name, value in given.items():
            if value is not None:
                raise click.UsageError(f"{name} is for --executor ray")
        return LocalExecutor()
    from harness.running.executors.ray import Needs, RayExecutor

    needs = Needs(
        cpus=1 if cpus_per_task is None else cpus_per_task,
        gpus=gpus_per_task,
        retries=3 if retries is None else retries,
    )
    return RayExecutor(ray_address or os.environ.get("RAY_ADDRESS") or "local", needs)
