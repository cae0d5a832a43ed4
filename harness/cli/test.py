"""``harness test``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import results_option
from harness.cli.session import Session, pass_session
from harness.garbage import seldom_collected


@click.command("test")
@click.argument("run")
@results_option
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
@pass_session
@seldom_collected()
def test_command(session: Session, run: str, results: Path, as_json: bool) -> None:
    """Test the hypotheses of RUN (a folder, or a name under --results).

    The hypotheses are in the section `hypotheses` of the spec. `harness run` stores a hash of that
    section before the first result. A verdict is confirmed, equivalent (within its margin), harmful
    or inconclusive. The p-values are corrected over all hypotheses with Holm's method. All other
    stars in the tables of a run are exploratory.
    """
    from harness.analysis.hypothesis_tables import hypothesis_table
    from harness.analysis.hypothesis_tests import verdicts
    from harness.cli.output import echo
    from harness.render.console.tables import print_with_legend
    from harness.render.safe_text import json_text
    from harness.render.tables.plain import table_object
    from harness.storage.reader import RunReader
    from harness.storage.store import find_run

    table = hypothesis_table(verdicts(RunReader(find_run(run, results))))
    if as_json:
        echo(json_text(table_object(table)))
    else:
        print_with_legend(session.stdout, table)
        session.suggest("matrix", run=run, results=results)
