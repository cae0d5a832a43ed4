"""``harness compare``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.analysis.corrections import CORRECTIONS, DEFAULT, correction_help
from harness.cli.options import results_option
from harness.cli.session import Session, pass_session
from harness.garbage import seldom_collected


@click.command("compare")
@click.argument("run")
@click.argument("other", required=False)
@results_option
@click.option(
    "--reported",
    metavar="NAME",
    help="Compare with a publication (paper, meade2022, …) instead of a run.",
)
@click.option("--metric", help="Compare this metric instead of the primary ones.")
@click.option("--step", type=int, help="Checkpoint; default: the last of each.")
@click.option(
    "--correction",
    type=click.Choice(list(CORRECTIONS)),
    default=DEFAULT,
    show_default=True,
    help=correction_help(),
)
@pass_session
@seldom_collected()
def compare_command(
    session: Session,
    run: str,
    other: str | None,
    results: Path,
    reported: str | None,
    metric: str | None,
    step: int | None,
    correction: str,
) -> None:
    """Compare RUN with the run OTHER, or with published numbers.

    Base models and models with the same labels in both specs are compared. If the runs share
    items, the comparison is paired and tested. If not, values are only shown side by side.
    """
    from harness.analysis.reported import find_publication
    from harness.analysis.reported_comparison import beside_reported
    from harness.analysis.run_comparison import compare
    from harness.render.console.comparison import print_comparison, print_reported
    from harness.storage.store import find_run

    if (other is None) == (reported is None):
        raise click.UsageError("name a second run, or a publication with --reported")
    store = find_run(run, results)
    if reported is not None:
        if metric is not None or step is not None:
            raise click.UsageError("--metric and --step go with a second run, not --reported")
        publication = find_publication(reported)
        pairs = beside_reported(store, publication)
        print_reported(session.stdout, store.index().name, publication, pairs)
        session.suggest("matrix", run=run, results=results)
        return
    assert other is not None
    found_runs = compare(
        store, find_run(other, results), metric=metric, step=step, correction=correction
    )
    print_comparison(session.stdout, found_runs)
    session.suggest("leaderboard", other, run=run, results=results)
