"""``harness run``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import executor_options, make_executor, results_option, set_option
from harness.cli.session import Session, pass_session

if TYPE_CHECKING:
    from harness.storage.store import Store


@click.command("run")
@click.argument("spec")
@set_option
@results_option
@executor_options
@pass_session
def run_command(
    session: Session, /, spec: str, overrides: tuple[str, ...], results: Path, **executor: Any
) -> None:
    """Run SPEC (a YAML file, or the name of a shipped spec) and show its tables.

    Each result is written as soon as it exists, to RESULTS/<name of the spec>. The same command
    after a crash or Ctrl-C goes on where it stopped. A run in half precision ends with a line that
    counts, on a sample, the item decisions that differ from float32's. Ends with exit code 9 if a
    cell failed.
    """
    from harness.planning.passages import Texts
    from harness.planning.plan import build_plan
    from harness.planning.spec import known_data
    from harness.planning.spec_reader import load_spec
    from harness.render.console.progress import ConsoleReporter
    from harness.running.runner import Runner
    from harness.storage.store import Store

    chosen = make_executor(**executor)
    loaded = load_spec(spec, session.registry, overrides)
    store = Store(results / loaded.name)
    store.prepare()
    data = known_data(loaded, session.registry, session.data)
    texts = Texts(session.registry, data, loaded.limits)
    with ConsoleReporter(session.stderr) as reporter:
        reporter.phase("planning")
        plan = build_plan(loaded, session.registry, data, texts)
        runner = Runner(session.registry, data, texts, store, reporter, chosen)
        outcome = runner.run(plan)
    _show(session, store)
    if loaded.dtype != "float32" and outcome.measured:
        from harness.cli.repro import report_precision

        report_precision(session, store)
    done = f"{outcome.measured} measured, {outcome.reused} already there"
    session.stderr.print(f"{done}; results in {store.folder}", soft_wrap=True)
    if outcome.failures:
        session.stderr.say(
            f"{len(outcome.failures)} measurements failed; the same command tries them again"
        )
        sys.exit(9)
    session.stderr.say(_next(store.folder))


def _show(session: Session, store: Store) -> None:
    from harness.analysis.matrix_builder import build_matrix
    from harness.analysis.ranking import rank
    from harness.analysis.verdict import verdict
    from harness.render.console.leaderboard import print_leaderboard
    from harness.render.console.matrix import print_matrix

    matrix, board = build_matrix(store), rank([store])
    print_matrix(session.stdout, matrix, verdict(matrix, board), long=False)
    print_leaderboard(session.stdout, board)


def _next(folder: Path) -> str:
    """Return the commands that go on from here."""
    run = str(folder) if folder.parent != Path("runs") else folder.name
    name = shlex.quote(run)
    return f"next: harness matrix {name}    harness report {name}    harness leaderboard {name}"
