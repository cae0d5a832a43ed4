"""``harness explain``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import results_option
from harness.cli.output import echo_json
from harness.cli.session import Session, pass_session
from harness.errors import StoreError, did_you_mean
from harness.storage.cells import select_cell

if TYPE_CHECKING:
    from harness.storage.store import Store

MOST_NAMED = 4
"""Cells that are named for one result."""


@click.command("explain")
@click.argument("run")
@click.argument("what")
@click.option("--step", type=click.IntRange(min=0), help="Step of the cell; default: its last.")
@click.option("--evaluator", "-e", help="Evaluator of the cell; default: its first.")
@results_option
@pass_session
def explain_command(
    session: Session, run: str, what: str, step: int | None, evaluator: str | None, results: Path
) -> None:
    """Show everything that a result of RUN depends on.

    WHAT is a content key (or its beginning), or a cell: parts of its name between slashes, as
    tables show them, such as "mlm-unlearning/gender".
    """
    from harness.storage.reader import RunReader, stopped_step
    from harness.storage.store import find_run

    store = find_run(run, results)
    reader = RunReader(store)
    key = _key(store, what, step, evaluator)
    record = store.record(key, items=False)
    if record is None:
        failure = store.failure(key)
        reason = "it is not measured yet" if failure is None else f"it failed: {failure.reason}"
        raise StoreError(f"{store.folder}: no result under key {key}: {reason}")
    cells = [(cell, ref) for cell in reader.index.cells for ref in cell.measures if ref.key == key]
    session.stdout.say(f"result {key}", "bold")
    for cell, ref in cells[:MOST_NAMED]:
        where = stopped_step(ref.step, reader.stop(cell, ref.step))
        session.stdout.print(f"of {cell.title()} / {where} / {ref.evaluator}")
    if len(cells) > MOST_NAMED:
        session.stdout.print(f"and of {len(cells) - MOST_NAMED} more cells", style="dim")
    echo_json(record.inputs)
    debiased = [cell for cell, _ in cells if not cell.is_base]
    if debiased:
        session.suggest("show", debiased[0].title(), run=run, results=results)


def _key(store: Store, what: str, step: int | None, evaluator: str | None) -> str:
    """The key that a person means.

    Raises:
        StoreError: there is no such key or cell, or there are several.
    """
    keys = [key for key in store.record_keys() if key.startswith(what)]
    if len(keys) == 1:
        return keys[0]
    if keys and set(what) <= set("0123456789abcdef"):
        raise StoreError(f"{store.folder}: {len(keys)} keys begin with '{what}'; give more of one")
    cell = select_cell(store.index().cells, what)
    chosen = cell.debiased_step(step) if step != 0 else 0
    by_evaluator = {ref.evaluator: ref.key for ref in cell.measures if ref.step == chosen}
    if evaluator is not None and evaluator not in by_evaluator:
        hint = did_you_mean(evaluator, by_evaluator)
        raise StoreError(f"{cell.title()} has no evaluator '{evaluator}'{hint}")
    return next(iter(by_evaluator.values())) if evaluator is None else by_evaluator[evaluator]
