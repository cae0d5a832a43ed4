"""``harness open``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from harness.cli.options import results_option
from harness.cli.session import Session, pass_session


@click.command("open")
@click.argument("path", type=click.Path(path_type=Path))
@results_option
@click.option("--name", help="Name of the new run folder; default: the name of the run.")
@pass_session
def open_command(session: Session, path: Path, results: Path, name: str | None) -> None:
    """Make a run folder from PATH, a file that `harness share` wrote.

    The folder is made below --results. Every command then reads it like a run of your own.
    """
    from harness.storage.archive import open_archive

    store = open_archive(path, results, name)
    records = sum(1 for _ in store.record_keys())
    session.stdout.print(
        f"{records} records in {store.folder}", highlight=False, markup=False, soft_wrap=True
    )
    run = str(store.folder) if results != Path("runs") else store.folder.name
    session.stderr.say(f"next: harness verify {shlex.quote(run)}")
