"""``harness matrix``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.analysis.corrections import CORRECTIONS, DEFAULT, correction_help
from harness.cli.options import results_option
from harness.cli.output import echo
from harness.cli.session import Session, pass_session
from harness.garbage import seldom_collected

if TYPE_CHECKING:
    from harness.render.console.tables import Below


@click.command("matrix")
@click.argument("run")
@results_option
@click.option("--metric", help="Show this metric instead of the primary ones.")
@click.option("--evaluator", help="Show this evaluator only.")
@click.option("--scorer", "protocol", help="Show this scorer or protocol only.")
@click.option("--step", type=int, help="Checkpoint to show; default: the last.")
@click.option(
    "--correction",
    type=click.Choice(list(CORRECTIONS)),
    default=DEFAULT,
    show_default=True,
    help=correction_help(),
)
@click.option("--short", is_flag=True, help="Show the first screen only.")
@click.option("--intervals", is_flag=True, help="Show the 95 % interval below each change.")
@click.option("--p-values", is_flag=True, help="Show the corrected p-value below each change.")
@click.option("--each-seed", is_flag=True, help="Show a row for each seed instead of their mean.")
@click.option("--json", "as_json", is_flag=True, help="Print the entries as JSON.")
@pass_session
@seldom_collected()
def matrix_command(
    session: Session,
    run: str,
    results: Path,
    metric: str | None,
    evaluator: str | None,
    protocol: str | None,
    step: int | None,
    correction: str,
    short: bool,
    intervals: bool,
    p_values: bool,
    each_seed: bool,
    as_json: bool,
) -> None:
    """Show the transfer matrix of RUN (a folder, or a name under --results).

    The first screen shows the verdict, and a small grid of source rows by target columns for each
    method. Colours show improvement; significant changes have strong colours. Below are the scores
    of every method, and the improvements on the source and on other domains.
    """
    from harness.runs import open_run

    if intervals and p_values:
        raise click.UsageError("give one of --intervals and --p-values")
    matrix = open_run(run, results=results).matrix(
        metric=metric,
        evaluator=evaluator,
        protocol=protocol,
        step=step,
        correction=correction,
    )
    if as_json:
        echo(matrix.json())
        return
    below: Below = "p-values" if p_values else "intervals" if intervals else "nothing"
    matrix.show(session.stdout, below=below, each_seed=each_seed, long=not short)
    session.suggest("leaderboard", run=run, results=results)
