"""``harness verify``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.cli.options import results_option
from harness.cli.session import Session, pass_session
from harness.garbage import seldom_collected


@click.command("verify")
@click.argument("run")
@results_option
@pass_session
@seldom_collected()
def verify_command(session: Session, run: str, results: Path) -> None:
    """Check the hashes, keys and index of RUN, and recompute every number from its items.

    Values, counts and numerators are recomputed. Every file has a hash, so you see which index,
    record or items files changed after they were written. The exit code is 1 if anything differs.
    """
    from rich.text import Text

    from harness.render import palette
    from harness.replay.verification import verify
    from harness.storage.store import find_run

    store = find_run(run, results)
    verified = verify(store)
    for difference in verified.differences:
        line = f"record {difference.key}: {difference.where}: {difference.what}"
        session.stdout.print(line, soft_wrap=True)
    wrong = len(verified.differences)
    verdict = (
        ("all as stored", palette.TERMINAL["better"])
        if not wrong
        else (f"{wrong} do not agree", palette.TERMINAL["worse"])
    )
    counts = f"{verified.numbers} numbers of {verified.records} records recomputed: "
    session.stdout.say(Text.assemble(counts, verdict))
    if verified.unhashed:
        line = (
            f"{verified.unhashed} records were written before hashes were stored: a change of "
            "their item ids, clusters, directions or labels would go unseen"
        )
        session.stdout.print(line, style="dim")
    if wrong:
        sys.exit(1)
    session.suggest("share", f"{store.index().name}.zip", run=run, results=results)
