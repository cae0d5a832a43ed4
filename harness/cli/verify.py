"""``harness verify``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.cli.options import results_option
from harness.cli.session import Session, pass_session


@click.command("verify")
@click.argument("run")
@results_option
@pass_session
def verify_command(session: Session, run: str, results: Path) -> None:
    """Recompute every stored number of RUN from its stored items, and say where they differ.

    Also checks that each key is the hash of the inputs stored with it. Ends with exit code 1 if
    anything differs.
    """
    from rich.text import Text

    from harness.replay.verification import verify
    from harness.storage.store import find_run

    store = find_run(run, results)
    found = verify(store)
    for own in found.differences:
        line = f"record {own.key}: {own.where}: {own.what}"
        session.stdout.print(line, soft_wrap=True)
    wrong = len(found.differences)
    verdict = ("all as stored", "green") if not wrong else (f"{wrong} do not agree", "red")
    counts = f"{found.numbers} numbers of {found.records} records recomputed: "
    session.stdout.say(Text.assemble(counts, verdict))
    if wrong:
        sys.exit(1)
