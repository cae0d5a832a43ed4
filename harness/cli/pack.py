"""``harness pack``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import results_option
from harness.cli.session import Session, pass_session


@click.command("pack")
@click.argument("run")
@results_option
@click.option("--unpack", is_flag=True, help="Put the files of a packed RUN back into folders.")
@pass_session
def pack_command(session: Session, run: str, results: Path, unpack: bool) -> None:
    """Combine the files of RUN into a few.

    A packed run has the same content, and every command reads it. `harness run` adds new results
    to it as single files; pack it again to include them. Kept checkpoints stay as they are.
    """
    from harness.storage.store import find_run

    store = find_run(run, results)
    records = sum(1 for _ in store.record_keys())
    if unpack:
        store.unpack()
        line = f"{records} records in {store.folder / 'records'}"
    else:
        names = ", ".join(path.name for path in store.pack())
        line = f"{records} records of {store.folder} in {names}"
    session.stdout.print(line, highlight=False, markup=False, soft_wrap=True)
