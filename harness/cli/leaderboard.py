"""``harness leaderboard``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import Amount, results_option
from harness.cli.output import echo
from harness.cli.session import Session, pass_session
from harness.garbage import seldom_collected


@click.command("leaderboard")
@click.argument("runs", nargs=-1, required=True)
@results_option
@click.option("--step", type=int, help="Checkpoint to rank; default: the last.")
@click.option(
    "--control",
    metavar="LABEL",
    help="Subtract the improvement of this control: a debiaser, a masker or a passage label; "
    "default: the control most similar to the methods.",
)
@click.option(
    "--max-perplexity-increase",
    "budget",
    type=Amount(),
    metavar="PERCENT",
    help="Do not rank methods that raise the perplexity by more than this.",
)
@click.option(
    "--at-perplexity-increase",
    "match_at",
    type=Amount(),
    metavar="PERCENT",
    help="Compare methods where each has raised the perplexity by this; default: the largest "
    "increase that all of them reach.",
)
@click.option(
    "--at-dose",
    "dose_at",
    type=Amount(),
    metavar="NATS",
    help="Compare methods at this KL divergence from the base model, per token; default: the "
    "largest that all of them reach.",
)
@click.option(
    "--unit",
    metavar="UNIT",
    help="Rank by the bias scores in this unit (points, nats, …); default: the most common one.",
)
@click.option(
    "--reported",
    multiple=True,
    metavar="NAME",
    help="Also show the numbers of a publication (paper, meade2022, …).",
)
@click.option(
    "--only-comparable",
    is_flag=True,
    help="Leave out runs that differ from the first one in limits or protocols.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the standings as JSON.")
@pass_session
@seldom_collected()
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
