"""Pages of the reference section, generated from the registry, the commands and the API.

An mkdocs hook: the pages exist only in the built site, so they cannot be out of date.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

import click
from mkdocs.structure.files import File, Files

import harness
from harness.families import Family
from harness.plugins import Registered, load_registry
from harness.render.console.plugins import default_text, example_fragment, type_text

TITLES: Mapping[Family, str] = {
    "corpus": "Corpora",
    "masker": "Maskers",
    "debiaser": "Debiasers",
    "evaluator": "Evaluators",
    "model": "Models",
}


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages to the site."""
    for path, text in pages().items():
        files.append(File.generated(config, f"reference/{path}", content=text))
    return files


def pages() -> dict[str, str]:
    """Return the Markdown of each page by its file name."""
    entries = list(load_registry(strict=True))
    made = {
        f"{TITLES[family].lower()}.md": "\n".join(family_page(family, entries))
        for family in get_args(Family)
    }
    return {**made, "commands.md": "\n".join(commands_page()), "api.md": "\n".join(api_page())}


def family_page(family: Family, entries: list[Registered]) -> Iterator[str]:
    """Describe every built-in plugin of a family, as ``harness plugins show`` does."""
    yield f"# {TITLES[family]}\n"
    for entry in sorted((e for e in entries if e.family == family), key=lambda e: e.name):
        yield f"## `{entry.name}`\n\n{entry.plugin.summary}\n"
        yield f"Reference: {entry.plugin.reference}\n"
        fields = entry.plugin.Config.model_fields
        if fields:
            yield "| field | type | default | meaning |\n|---|---|---|---|"
            for name, info in fields.items():
                cells = (f"`{name}`", type_text(info), f"`{default_text(info)}`", info.description)
                yield "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
        yield f"\n```yaml\n{example_fragment(entry)}\n```\n"


def commands_page() -> Iterator[str]:
    """Print the help text of every command."""
    from harness.cli.main import cli

    yield "# Commands\n"
    context = click.Context(cli, info_name="harness")
    for path, command in _commands(cli, context, ("harness",)):
        text = command.get_help(click.Context(command, info_name=" ".join(path)))
        yield f"## `{' '.join(path)}`\n\n```text\n{text}\n```\n"


def _commands(
    group: click.Group, context: click.Context, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _commands(command, click.Context(command, info_name=name), (*path, name))
        else:
            yield (*path, name), command


def api_page() -> Iterator[str]:
    """Ask mkdocstrings for every public name."""
    yield "# Python API\n\nEverything here is imported from `harness` itself.\n"
    modules = harness._MODULE_OF
    for name in harness.__all__:
        if name in modules:
            yield f"::: {modules[name]}.{name}\n"
