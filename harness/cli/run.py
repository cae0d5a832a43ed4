"""``harness run``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import executor_options, results_option, set_option
from harness.cli.session import Session, pass_session

if TYPE_CHECKING:
    from harness.running.runner import Outcome


@click.command("run")
@click.argument("spec")
@set_option
@results_option
@click.option("--fresh", is_flag=True, help="Measure everything again, even what is stored.")
@executor_options
@pass_session
def run_command(
    session: Session,
    /,
    spec: str,
    overrides: tuple[str, ...],
    results: Path,
    fresh: bool,
    **executor: Any,
) -> None:
    """Run SPEC (a YAML file, or the name of a shipped spec) and show its tables.

    Each result is written as soon as it exists, to RESULTS/<name of the spec>. After a crash or
    Ctrl-C, run the same command again to resume. Half-precision runs report how many sampled
    decisions change in float32. The exit code is 9 if a measurement failed.
    """
    from harness.planning.spec_reader import load_spec
    from harness.render.console.progress import ConsoleReporter
    from harness.running.executors.choices import make_executor
    from harness.running.experiment import Experiment

    chosen = make_executor(str(executor.pop("executor")), executor)
    loaded = load_spec(spec, session.registry, overrides)
    experiment = Experiment(loaded, registry=session.registry, data=session.data, results=results)
    experiment.store.prepare()
    with ConsoleReporter(session.stderr) as reporter:
        reporter.phase("planning")
        experiment.plan()
        outcome = experiment.run(reporter=reporter, executor=chosen, fresh=fresh)
    if outcome.reused or outcome.measured:
        _show(session, experiment.folder)
    if loaded.dtype != "float32" and outcome.measured:
        from harness.cli.repro import report_precision

        report_precision(session, experiment.store)
    done = f"{outcome.measured} measured, {outcome.reused} already there"
    session.stderr.print(f"{done}; results in {experiment.folder}", soft_wrap=True)
    if outcome.failures:
        _say_failed(session, outcome, experiment.folder)
        sys.exit(9)
    session.stderr.say(_next(experiment.folder))


def _show(session: Session, folder: Path) -> None:
    """Show the first screen and the leaderboard of the run."""
    from harness.runs import open_run

    finished = open_run(folder)
    finished.matrix().show(session.stdout, long=False)
    finished.leaderboard().show(session.stdout)


def _say_failed(session: Session, outcome: Outcome, folder: Path) -> None:
    """Say how much failed, and where the traces of bugs are; the reasons were shown already."""
    count = len(outcome.failures)
    what = "all" if not (outcome.measured or outcome.reused) else str(count)
    session.stderr.print(
        f"{what} measurements failed; fix the causes above, then run the same command again",
        soft_wrap=True,
    )
    for reason, key in outcome.traces.items():
        path = folder / "failures" / f"{key}.json"
        session.stderr.print(f"trace of '{shorten(reason, 60)}': {path}", soft_wrap=True)


def _next(folder: Path) -> str:
    """Return the command to run next."""
    run = str(folder) if folder.parent != Path("runs") else folder.name
    name = shlex.quote(run)
    return f"next: harness matrix {name}"
