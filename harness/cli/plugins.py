"""``harness plugins``: what is installed, and what one plugin does and takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from harness.cli.output import echo_json
from harness.cli.session import Session, pass_session

if TYPE_CHECKING:
    from harness.plugins import LoadFailure, Registered

FAMILY_NAMES = ("corpus", "masker", "debiaser", "evaluator", "model")


@click.group("plugins", invoke_without_command=True)
@click.option("--family", type=click.Choice(FAMILY_NAMES), help="List plugins of this family only.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print as JSON, with the plugins that failed to load."
)
@click.pass_context
def plugins_command(ctx: click.Context, family: str | None, as_json: bool) -> None:
    """List the installed plugins, and those that could not be loaded."""
    if ctx.invoked_subcommand is not None:
        if family is not None or as_json:
            raise click.UsageError("--family and --json belong to the list, not to 'show'")
        return
    session = ctx.ensure_object(Session)
    entries, failures = _installed(session)
    if family is not None:
        entries = [entry for entry in entries if entry.family == family]
    if as_json:
        echo_json(_as_json(entries, failures))
    else:
        _print_list(session, entries, failures)


@plugins_command.command("show")
@click.argument("name")
@pass_session
def show_command(session: Session, name: str) -> None:
    """Show the plugin NAME: what it does, its source, its config, and an example for a spec.

    A name that is used in two families shows both plugins.
    """
    from harness.errors import PluginError, did_you_mean
    from harness.render.console.plugins import print_plugin

    entries = session.registry.find(name)
    if not entries:
        known = {entry.name for entry in session.registry}
        raise PluginError(f"no plugin is called '{name}'{did_you_mean(name, known)}")
    for i, entry in enumerate(entries):
        if i:
            session.stdout.print()
        print_plugin(session.stdout, entry)


def _installed(session: Session) -> tuple[list[Registered], list[LoadFailure]]:
    """Return the plugins by family and name, and each failure once, with those of commands."""
    from harness.plugins import load_commands, load_registry

    # Not session.registry: that one warns on stderr, and the list shows the failures itself.
    registry = load_registry(strict=session.strict_plugins)
    failures = {failure.origin: failure for failure in registry.failures}
    for failure in load_commands()[1]:
        failures.setdefault(failure.origin, failure)
    entries = sorted(registry, key=lambda entry: (FAMILY_NAMES.index(entry.family), entry.name))
    return entries, list(failures.values())


def _as_json(entries: list[Registered], failures: list[LoadFailure]) -> dict[str, Any]:
    return {
        "plugins": [
            {
                "family": entry.family,
                "name": entry.name,
                "distribution": entry.origin.distribution,
                "version": entry.origin.version,
                "entry_point": entry.origin.entry_point,
                "summary": entry.plugin.summary,
                "reference": entry.plugin.reference,
            }
            for entry in entries
        ],
        "failures": [
            {
                "distribution": failure.origin.distribution,
                "version": failure.origin.version,
                "entry_point": failure.origin.entry_point,
                "reason": failure.reason,
            }
            for failure in failures
        ],
    }


def _print_list(session: Session, entries: list[Registered], failures: list[LoadFailure]) -> None:
    from harness.render.console.plugins import print_plugins

    print_plugins(session.stdout, entries)
    for failure in failures:
        session.stdout.say(str(failure), "yellow")
    if entries:
        session.suggest("plugins", "show", entries[0].name)
    if not entries and not failures:
        session.stdout.print("no plugin is installed")
