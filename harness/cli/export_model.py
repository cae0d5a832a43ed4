"""``harness export-model``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import results_option, server_option
from harness.cli.session import Session, pass_session

if TYPE_CHECKING:
    from harness.replay.reproduction import Agreement

HOW_TO_LOAD = {
    ("weights",): "load it with transformers: from_pretrained('{path}')",
    ("adapter",): "load the base model, then peft.PeftModel.from_pretrained(model, '{path}')",
    ("projections",): "load the base model, then run the code of '{path}/README.md'",
    ("weights", "projections"): "load it with transformers, then run the code of "
    "'{path}/README.md'",
}


@click.command("export-model")
@click.argument("run")
@click.argument("cell")
@click.argument("path", type=click.Path(path_type=Path))
@results_option
@click.option("--step", type=int, help="Checkpoint; default: the last.")
@click.option(
    "--merge",
    is_flag=True,
    help="Merge the adapter or projections into the weights, if the result is the same model.",
)
@click.option("--device", help="Device to fit on; default: the one of the run.")
@server_option
@click.option(
    "--no-check", is_flag=True, help="Do not compare a refitted model with the stored scores."
)
@pass_session
def export_model_command(
    session: Session,
    run: str,
    cell: str,
    path: Path,
    results: Path,
    step: int | None,
    merge: bool,
    device: str | None,
    server: str | None,
    no_check: bool,
) -> None:
    """Write the debiased model of CELL into the folder PATH, for transformers or peft.

    CELL is named by parts of its title between slashes, such as mlm-unlearning/wordlist/gender.
    A checkpoint that the run kept (`keep_checkpoints: true`) is copied. If it kept none, the cell
    is fitted again from the run's spec, and its scores are compared with the stored ones. README.md
    in PATH is a model card, and .eval_results has its scores for the Hugging Face hub.
    """
    from harness.render.console.progress import ConsoleReporter
    from harness.render.model_card import write_card
    from harness.replay.model_export import export_model
    from harness.replay.rerun import Rerun
    from harness.storage.cells import select_cell
    from harness.storage.reader import RunReader, stopped_step
    from harness.storage.store import find_run

    store = find_run(run, results)
    with ConsoleReporter(session.stderr) as reporter:
        rerun = Rerun(store, session.registry, session.data, reporter, device=device, server=server)
        chosen = select_cell(rerun.index.cells, cell)
        at = chosen.debiased_step(step)
        title = f"{chosen.title()} / {stopped_step(at, RunReader(store).stop(chosen, at))}"
        if rerun.kept(chosen, at) is None:
            reporter.note(f"{title}: no checkpoint was kept; fitting again")
        done = export_model(
            rerun,
            chosen,
            at,
            path,
            merged=merge,
            check=not no_check,
            describe=lambda folder, holds: write_card(folder, store, chosen, at, holds),
        )
    if done.how == "refitted":
        _line(session, _agreement(done.agreement, checked=not no_check))
    _line(session, f"{title}: {' and '.join(done.holds)} in {path}")
    _line(session, HOW_TO_LOAD[done.holds].format(path=path))


def _agreement(rows: Sequence[Agreement], *, checked: bool) -> str:
    from harness.render.console.reproduction import summary

    if rows:
        items = sum(len(row.items) for row in rows)
        return f"fitted again; on {items} stored items: {summary(rows)}"
    why = "there are none at this step" if checked else "--no-check"
    return f"not compared with stored scores: {why}"


def _line(session: Session, text: str) -> None:
    session.stdout.print(text, soft_wrap=True)
