"""Options that several commands take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

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
