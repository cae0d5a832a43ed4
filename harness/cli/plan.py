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
    """Show what SPEC would run, what is already there, its cost, and what is missing.

    Loads no model and calls no service. Ends with exit code 1 if something is missing.
    """
    from harness.planning.passages import Texts
    from harness.planning.plan import build_plan
    from harness.planning.spec import known_data
    from harness.planning.spec_reader import load_spec
    from harness.planning.survey import survey
    from harness.render.console.plan import print_survey
    from harness.storage.store import Store

    loaded = load_spec(spec, session.registry, overrides)
    data = known_data(loaded, session.registry, session.data)
    texts = Texts(session.registry, data, loaded.limits)
    with session.stderr.status("reading data"):
        plan = build_plan(loaded, session.registry, data, texts)
        found = survey(plan, session.registry, data, texts, Store(results / loaded.name))
    print_survey(session.stdout, plan, found)
    if found.problems:
        sys.exit(1)
