"""``harness leaderboard``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import results_option
from harness.cli.session import Session, pass_session


@click.command("leaderboard")
@click.argument("runs", nargs=-1, required=True)
@results_option
@click.option("--step", type=int, help="Checkpoint to rank; default: the last.")
@click.option("--json", "as_json", is_flag=True, help="Print the standings as JSON.")
@pass_session
def leaderboard_command(
    session: Session, runs: tuple[str, ...], results: Path, step: int | None, as_json: bool
) -> None:
    """Rank the methods of RUNS by distance to the ideal, with the language cost beside it."""
    from harness.leaderboard import build_leaderboard
    from harness.render.console import print_leaderboard
    from harness.render.plain import leaderboard_json
    from harness.store import find_run

    standings = build_leaderboard([find_run(run, results) for run in runs], step=step)
    if as_json:
        click.echo(leaderboard_json(standings))
    else:
        print_leaderboard(session.stdout, standings)
