"""``harness plan``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.cli.options import results_option, set_option
from harness.cli.session import Session, pass_session


@click.command("plan")
@click.argument("spec")
@set_option
@results_option
@pass_session
def plan_command(session: Session, spec: str, overrides: tuple[str, ...], results: Path) -> None:
    """Show what SPEC would run, what is stored already, the cost, and what is missing.

    This does not load a model or call a service. The exit code is 1 if something is missing.
    """
    from harness.planning.spec_reader import load_spec
    from harness.render.console.plan import print_survey
    from harness.running.experiment import Experiment

    loaded = load_spec(spec, session.registry, overrides)
    experiment = Experiment(loaded, registry=session.registry, data=session.data, results=results)
    with session.stderr.status("reading data"):
        surveyed = experiment.survey()
    print_survey(session.stdout, experiment.plan(), surveyed)
    if surveyed.problems:
        sys.exit(1)
    session.suggest("run", spec, *(word for override in overrides for word in ("--set", override)))
