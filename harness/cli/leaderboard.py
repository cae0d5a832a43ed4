"""``harness leaderboard``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import Amount, results_option
from harness.cli.output import echo
from harness.cli.session import Session, pass_session


@click.command("leaderboard")
@click.argument("runs", nargs=-1, required=True)
@results_option
@click.option("--step", type=int, help="Checkpoint to rank; default: the last.")
@click.option(
    "--control",
    metavar="LABEL",
    help="Debiaser, masker or passage label to subtract; default: the closest control.",
)
@click.option(
    "--max-perplexity-increase",
    "budget",
    type=Amount(),
    metavar="PERCENT",
    help="Do not rank methods that cost more, in percent of the base's perplexity.",
)
@click.option(
    "--at-perplexity-increase",
    "match_at",
    type=Amount(),
    metavar="PERCENT",
    help="Compare at this cost; default: the largest that every method's curve reaches.",
)
@click.option(
    "--at-dose",
    "dose_at",
    type=Amount(),
    metavar="NATS",
    help="Compare at this divergence from the base; default: the largest common one.",
)
@click.option(
    "--unit",
    metavar="UNIT",
    help="Rank by the bias scores in this unit (points, nats, …); default: that of the most.",
)
@click.option(
    "--reported",
    multiple=True,
    metavar="NAME",
    help="Show a publication's numbers (paper, meade2022, …) in a section of their own.",
)
@click.option(
    "--only-comparable",
    is_flag=True,
    help="Leave out runs that differ from the first one in limits or protocols.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the standings as JSON.")
@pass_session
def leaderboard_command(
    session: Session,
    runs: tuple[str, ...],
    results: Path,
    step: int | None,
    control: str | None,
    budget: float | None,
    match_at: float | None,
    dose_at: float | None,
    unit: str | None,
    reported: tuple[str, ...],
    only_comparable: bool,
    as_json: bool,
) -> None:
    """Rank the methods of RUNS by distance to the ideal, and show their language cost."""
    from harness.analysis.reported import find_publication
    from harness.runs import open_run

    first, *others = (open_run(run, results=results) for run in runs)
    board = first.leaderboard(
        *others,
        step=step,
        control=control,
        budget=budget,
        match_at=match_at,
        dose_at=dose_at,
        unit=unit,
        only_comparable=only_comparable,
        reported=[find_publication(name) for name in reported],
    )
    if as_json:
        echo(board.json())
    else:
        board.show(session.stdout)
        session.suggest("report", run=runs[0], results=results)
