"""``harness explain``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import results_option
from harness.cli.output import echo_json
from harness.cli.session import Session, pass_session


@click.command("explain")
@click.argument("run")
@click.argument("key")
@results_option
@pass_session
def explain_command(session: Session, run: str, key: str, results: Path) -> None:
    """Show all that KEY (or its beginning) of RUN is a hash of, and the cells that use it."""
    from harness.errors import StoreError
    from harness.storage.store import find_run

    store = find_run(run, results)
    found = [own for own in store.record_keys() if own.startswith(key)]
    if len(found) != 1:
        what = "no record's key begins" if not found else f"{len(found)} keys begin"
        raise StoreError(f"{store.folder}: {what} with '{key}'; give more of a record's file name")
    record = store.record(found[0], items=False)
    assert record is not None
    for cell in store.index().cells:
        for ref in cell.measures:
            if ref.key == found[0]:
                title = f"{cell.title()} / step {ref.step} / {ref.evaluator}"
                session.stdout.print(title)
    echo_json(record.inputs)
