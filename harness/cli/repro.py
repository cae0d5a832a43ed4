"""``harness repro``."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import Amount, results_option, server_option
from harness.cli.session import Session, pass_session

if TYPE_CHECKING:
    from harness.lm.handle import LanguageModel
    from harness.planning.plan import MeasureTask
    from harness.replay.reproduction import Agreement
    from harness.replay.rerun import Rerun
    from harness.storage.store import Store

ITEMS = 20
"""Items a domain in a sample."""


@click.command("repro")
@click.argument("run")
@results_option
@click.option(
    "--cell",
    help="Check this debiased model, named as in `harness show`; default: the base models.",
)
@click.option("--step", type=int, help="Checkpoint of the cell; default: the last.")
@click.option("--refit", is_flag=True, help="Fit the cell again if the run kept no checkpoint.")
@click.option("--evaluator", help="Check this evaluator only.")
@click.option(
    "--items",
    type=click.IntRange(min=1),
    default=ITEMS,
    show_default=True,
    help="Size of the sample: items or passages per domain, or windows of a perplexity.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    help="Score in another dtype than the run did, to see what it changes.",
)
@click.option("--device", help="Device to score on; default: the one of the run.")
@server_option
@click.option(
    "--tolerance",
    type=Amount(),
    help="Largest allowed difference, in nats per token; default: 1e-4 for float32, 0.02 for "
    "float16, 0.2 for bfloat16. With another --dtype than the run's, there is no limit by default.",
)
@pass_session
def repro_command(
    session: Session,
    run: str,
    results: Path,
    cell: str | None,
    step: int | None,
    refit: bool,
    evaluator: str | None,
    items: int,
    dtype: str | None,
    device: str | None,
    server: str | None,
    tolerance: float | None,
) -> None:
    """Score some items of RUN again, one text at a time, and compare with the stored scores.

    A run scores texts in batches and computes shared beginnings once. This command does neither,
    so it shows whether batching changed a score. The exit code is 1 if a score differs by more
    than the tolerance, or if the run has no score for an item.
    """
    from harness.render.console.progress import ConsoleReporter
    from harness.replay.reproduction import TOLERANCE
    from harness.replay.rerun import Rerun
    from harness.storage.cells import select_cell
    from harness.storage.store import find_run

    store = find_run(run, results)
    good = True
    with ConsoleReporter(session.stderr) as reporter:
        rerun = Rerun(store, session.registry, session.data, reporter, device=device, server=server)
        if tolerance is None and dtype in (None, rerun.spec.dtype):
            tolerance = TOLERANCE[rerun.spec.dtype]
        if cell is not None:
            chosen = select_cell(rerun.index.cells, cell)
            at = chosen.debiased_step(step)
            tasks = dict(rerun.measured(chosen, at))
            title = f"{chosen.title()} / step {at}"
            tasks = _chosen(tasks, title, evaluator)
            # before the debiased model is there: one model in memory at a time
            remembered = rerun.remembered(
                tasks.values(), lambda: rerun.base(chosen.model, dtype), items
            )
            model = rerun.debiased(chosen, at, dtype=dtype, refit=refit)
            good = _check(session, rerun, title, model, tasks, remembered, items, tolerance)
        else:
            for use in rerun.spec.model:
                title = f"{use.label} / base"
                tasks = _chosen(rerun.base_measured(use.label), title, evaluator)
                model = rerun.base(use.label, dtype)
                remembered = rerun.remembered(tasks.values(), partial(_same, model), items)
                good &= _check(session, rerun, title, model, tasks, remembered, items, tolerance)
    if not good:
        sys.exit(1)


def _chosen(
    tasks: dict[str, MeasureTask], title: str, evaluator: str | None
) -> dict[str, MeasureTask]:
    """The tasks of one evaluator, or all; there must be some."""
    from harness.errors import StoreError, did_you_mean

    if not tasks:
        raise StoreError(f"{title} is not measured; `harness run` measures it")
    if evaluator is None:
        return tasks
    known = {task.evaluator.label for task in tasks.values()}
    tasks = {key: task for key, task in tasks.items() if task.evaluator.label == evaluator}
    if not tasks:
        raise StoreError(f"{title}: no evaluator '{evaluator}'{did_you_mean(evaluator, known)}")
    return tasks


def _check(
    session: Session,
    rerun: Rerun,
    title: str,
    model: LanguageModel,
    tasks: dict[str, MeasureTask],
    remembered: dict[str, object],
    items: int,
    tolerance: float | None,
) -> bool:
    """Score, compare and print; whether all is within the tolerance."""
    from harness.render.console.reproduction import print_agreement
    from harness.replay.reproduction import reproduce

    notes = dict.fromkeys(note for key, task in tasks.items() for note in rerun.changes(key, task))
    for note in notes:
        _line(session, f"changed since the run: {note}")
    rows = reproduce(rerun, model, tasks.items(), items, alone=True, remembered=remembered)
    print_agreement(session.stdout, title, rows, tolerance)
    return _verdict(session, rows, tolerance)


def _verdict(session: Session, rows: list[Agreement], tolerance: float | None) -> bool:
    from harness.render.console.reproduction import summary

    if tolerance is None:
        _line(session, summary(rows))
        return True
    good = all(row.within(tolerance) for row in rows)
    where = "within" if good else "beyond"
    _line(session, f"{summary(rows)}: {where} the tolerance of {tolerance:g}")
    return good


def report_precision(session: Session, store: Store) -> None:
    """Say what float32 decides otherwise on a sample of a half-precision run's base models.

    The command does not fail if this is not possible: the line says why.
    """
    from torch import OutOfMemoryError

    from harness.errors import HarnessError
    from harness.render.console.progress import ConsoleReporter
    from harness.render.console.reproduction import summary
    from harness.replay.reproduction import reproduce
    from harness.replay.rerun import Rerun

    lines = []
    with ConsoleReporter(session.stderr) as reporter:
        try:
            rerun = Rerun(store, session.registry, session.data, reporter)
            for use in rerun.spec.model:
                tasks = rerun.base_measured(use.label)
                model = rerun.base(use.label, "float32")
                of_base = rerun.remembered(tasks.values(), partial(_same, model), ITEMS)
                rows = reproduce(
                    rerun, model, tasks.items(), ITEMS, alone=False, remembered=of_base
                )
                lines.append(f"{use.label}, {rerun.spec.dtype} against float32: {summary(rows)}")
        except (HarnessError, MemoryError, OutOfMemoryError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            lines.append(f"not compared with float32: {first}")
    for line in lines:
        _line(session, f"{line}; see `harness repro {store.folder} --dtype float32`")


def _same(model: LanguageModel) -> LanguageModel:
    return model


def _line(session: Session, text: str) -> None:
    session.stdout.print(text, soft_wrap=True)
