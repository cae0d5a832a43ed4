"""``harness matrix``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.analysis.corrections import CORRECTIONS, DEFAULT, correction_help
from harness.cli.options import results_option
from harness.cli.output import echo
from harness.cli.session import Session, pass_session


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
@click.option("--intervals", is_flag=True, help="Show the interval of each change.")
@click.option("--each-seed", is_flag=True, help="A row for each seed instead of their mean.")
@click.option("--json", "as_json", is_flag=True, help="Print the entries as JSON.")
@pass_session
def matrix_command(
    session: Session,
    run: str,
    results: Path,
    metric: str | None,
    evaluator: str | None,
    protocol: str | None,
    step: int | None,
    correction: str,
    intervals: bool,
    each_seed: bool,
    as_json: bool,
) -> None:
    """Show the transfer matrix of RUN (a folder, or a name under --results).

    A row is a method and its source domain, a column a target domain; below the tables stands
    what was transferred, and what was harmed.
    """
    from harness.analysis.mask_rules import rule_table
    from harness.analysis.matrix_builder import build_matrix
    from harness.render.console.matrix import print_matrix
    from harness.render.console.tables import print_table
    from harness.render.tables.plain import matrix_json
    from harness.storage.store import find_run

    matrix = build_matrix(
        find_run(run, results),
        metric=metric,
        evaluator=evaluator,
        protocol=protocol,
        step=step,
        correction=correction,
    )
    if as_json:
        echo(matrix_json(matrix))
    else:
        print_matrix(session.stdout, matrix, intervals=intervals, each_seed=each_seed)
        if (rules := rule_table(matrix)) is not None:
            print_table(session.stdout, rules, session.stdout.width, intervals=True)
            for line in rules.legend:
                session.stdout.print(line, style="dim")
