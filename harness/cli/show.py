"""``harness show``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from harness.cli.options import results_option
from harness.cli.session import Session, pass_session


@click.command("show")
@click.argument("run")
@click.argument("cell")
@results_option
@click.option("--target", help="Target domain; default: all.")
@click.option("--evaluator", help="This evaluator only.")
@click.option("--scorer", "protocol", help="This scorer or protocol only.")
@click.option("--metric", help="Items of this metric; default: the primary decisions.")
@click.option("--step", type=int, help="Checkpoint; default: the last.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=10, show_default=True, help="Items a target."
)
@click.option("--no-text", is_flag=True, help="Ids and scores only, no sentences.")
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
    """Show the items of RUN that flipped in CELL, biggest first, with sentences and scores.

    CELL is named by parts of its title between slashes, such as mlm-unlearning/wordlist/gender.
    Many of the sentences are offensive. They are not stored with the run: they are read again
    from the data set, and where that is not there, ids and scores are shown.
    """
    from harness.analysis.item_changes import item_changes
    from harness.errors import HarnessError, StoreError, did_you_mean
    from harness.render.console.flips import print_flips
    from harness.replay.sentences import find_sentences
    from harness.storage.cells import select_cell
    from harness.storage.reader import RunReader
    from harness.storage.store import find_run

    reader = RunReader(find_run(run, results))
    chosen = select_cell(reader.index.cells, cell)
    at = chosen.debiased_step(step)
    columns = reader.columns({reader.index.cells.index(chosen): at}, metric, evaluator, protocol)
    if metric is None:  # a page of windows is nothing to read unless it is asked for
        targeted = [c for c in columns if reader.role(c) == "bias"]
        columns = tuple(targeted) or columns
    if target is not None:
        known = {column.domain for column in columns}
        if target not in known:
            raise StoreError(f"no target '{target}' here{did_you_mean(target, known)}")
        columns = tuple(column for column in columns if column.domain == target)
    changes = [item_changes(reader, chosen, at, column) for column in columns]
    measured = [found for found in changes if found is not None]
    if metric is None:  # flips, where the run has decisions
        measured = [found for found in measured if found.decisions] or measured
    for found in measured:
        column = found.column
        texts: Mapping[str, Mapping[str, str]] = {}
        missing: str | None = "--no-text" if no_text else None
        if found.after.role != "bias":  # windows and whole texts: nothing to read in a line
            missing = None
        elif found.changed and not no_text:
            try:
                texts = find_sentences(
                    reader.index, column.evaluator, column.domain, session.registry, session.data
                )
            except HarnessError as error:  # the scores are worth showing all the same
                missing = str(error)
        title = f"{chosen.title()} / step {at}"
        print_flips(session.stdout, title, found, texts, missing, limit)
    if not measured:
        reasons = {f.reason for ref in chosen.measures if (f := reader.failure(ref.key))}
        why = f": {'; '.join(sorted(reasons))}" if reasons else "; `harness run` measures it"
        raise StoreError(f"{chosen.title()} / step {at} is not measured{why}")
