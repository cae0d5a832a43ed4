"""``harness new``."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from harness.cli.session import Session, pass_session
from harness.families import Family


@click.group("new")
def new_command() -> None:
    """Start something new from a template."""


@new_command.command("plugin")
@click.argument("name")
@click.option(
    "--family",
    type=click.Choice(get_args(Family)),
    required=True,
    help="What the plugin is.",
)
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write to. [default: harness-NAME]",
)
@pass_session
def plugin_command(session: Session, name: str, family: Family, folder: Path | None) -> None:
    """Write a package with a plugin called NAME that installs and passes its test.

    The package contains pyproject.toml, one class, a test, a README and a CI workflow. NAME is what
    specs call the plugin: lower-case words joined by hyphens.
    """
    from harness.scaffold.package import write_package

    target = folder if folder is not None else Path(f"harness-{name}")
    for path in write_package(name, family, target):
        session.stdout.print(str(path), markup=False, highlight=False, soft_wrap=True)
    session.stderr.print(
        f"next: pip install -e {target} && pytest {target}", markup=False, highlight=False
    )
