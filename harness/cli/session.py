"""The options before a command, and what all commands make from them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.data.places import DataStore
    from harness.plugins import Registry
    from harness.render.console.terminal import Terminal


@dataclass
class Session:
    """Options of the ``harness`` group; registry, data places and consoles made on first use."""

    strict_plugins: bool = False
    data_dir: Path | None = None
    offline: bool = False

    @cached_property
    def registry(self) -> Registry:
        """The loaded plugins; each one that could not be used costs one line on stderr."""
        from harness.plugins import load_registry

        registry = load_registry(strict=self.strict_plugins)
        for failure in registry.failures:
            self.stderr.alert("warning:", str(failure), "yellow")
        return registry

    @cached_property
    def data(self) -> DataStore:
        """Where data is looked for, and the domains of the plugins."""
        from harness.data.places import DataStore

        places = DataStore(data_dir=self.data_dir, offline=self.offline)
        return places.knowing(self.registry.domains)

    @cached_property
    def stdout(self) -> Terminal:
        """The console for tables."""
        from harness.render.console.terminal import Terminal

        return Terminal()

    @cached_property
    def stderr(self) -> Terminal:
        """The console for progress, warnings and errors."""
        from harness.render.console.terminal import Terminal

        return Terminal(stderr=True)

    def suggest(self, *words: str, run: str | None = None, results: Path | None = None) -> None:
        """Name the command to run next, where a person reads the output.

        Args:
            words: of the command.
            run: a run as it was asked for; it comes after the name of the command.
            results: the folder that was given for runs.
        """
        if not self.stdout.is_terminal:
            return
        name, *others = words
        if run is not None:
            in_default_folder = Path(run).is_dir() or results in (None, Path("runs"))
            others.insert(0, run if in_default_folder else str((results or Path()) / run))
        self.stderr.say(f"next: harness {shlex.join([name, *others])}", "dim")


pass_session = click.make_pass_decorator(Session, ensure=True)
