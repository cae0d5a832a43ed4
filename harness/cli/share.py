"""``harness share``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import results_option
from harness.cli.session import Session, pass_session


@click.command("share")
@click.argument("run")
@click.argument("path", type=click.Path(path_type=Path))
@results_option
@pass_session
def share_command(session: Session, run: str, path: Path, results: Path) -> None:
    """Write RUN into one file, PATH, for `harness open` on another machine.

    The file contains the spec, every number and the ids of the items. Texts, checkpoints and traces
    are left out. The spec may contain paths and servers of yours: read it before you publish.
    """
    from harness.storage.archive import share
    from harness.storage.store import find_run

    store = find_run(run, results)
    size = share(store, path)
    records = sum(1 for _ in store.record_keys())
    session.stdout.print(
        f"{records} records of {store.folder} in {path} ({size / 2**20:.1f} MiB)",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip
