"""``harness show``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import results_option
from harness.cli.session import Session, pass_session


@click.command("show")
@click.argument("run")
@click.argument("cell")
@results_option
@click.option("--target", help="Target domain; default: all.")
@click.option("--evaluator", help="Show this evaluator only.")
@click.option("--scorer", "protocol", help="Show this scorer or protocol only.")
@click.option(
    "--metric", help="Show items of this metric; default: the decisions of the primary metrics."
)
@click.option("--step", type=int, help="Checkpoint; default: the last.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=10, show_default=True, help="Items per target."
)
@click.option("--no-text", is_flag=True, help="Show ids and scores only, without sentences.")
@pass_session
def show_command(
    session: Session,
    run: str,
    cell: str,
    results: Path,
    target: str | None,
    evaluator: str | None,
    protocol: str | None,
    metric: str | None,
    step: int | None,
    limit: int,
    no_text: bool,
) -> None:
    """List the items of CELL whose decision flipped, largest change first, with their sentences.

    CELL is named by parts of its title between slashes, such as mlm-unlearning/wordlist/gender.
    Many of the sentences are offensive. They are read from the data set, because the run does not
    store them. If the data set is missing, you see ids and scores only.
    """
    from harness.runs import open_run

    opened = open_run(
        run,
        results=results,
        registry=None if no_text else session.registry,
        data=None if no_text else session.data,
    )
    changes = opened.changes(
        cell,
        target=target,
        evaluator=evaluator,
        protocol=protocol,
        metric=metric,
        step=step,
        sentences=not no_text,
    )
    changes.show(session.stdout, limit=limit)
    session.suggest("explain", cell, run=run, results=results)
