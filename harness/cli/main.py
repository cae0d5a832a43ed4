"""Entry point of the ``harness`` command: subcommands are imported when called."""

from __future__ import annotations

import errno
import importlib
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from harness import __version__
from harness.cli.output import echo, print_trace, trace_note
from harness.cli.session import Session
from harness.errors import HarnessError, StoreError, did_you_mean

COMMANDS: dict[str, str] = {
    "run": "Run a spec, or resume an interrupted run.",
    "plan": "Show what a spec would run, without loading a model.",
    "eval": "Measure one model, without debiasing.",
    "corpus": "Show the passages of a corpus by domain, and how clean they are.",
    "mask": "Show passages with their masked words highlighted.",
    "matrix": "Show a run's transfer matrix: source rows by target columns.",
    "leaderboard": "Rank the methods of one or more runs.",
    "test": "Test the hypotheses that a run's spec registered.",
    "power": "Estimate which effects the hypotheses of a spec can detect.",
    "export": "Write a run as data files or tables for other programs.",
    "report": "Write a run as one HTML page, and its figures.",
    "export-model": "Write the debiased model of a cell for transformers and peft.",
    "show": "List the items of a cell whose decision flipped, with their sentences.",
    "compare": "Compare two runs, or a run with published numbers.",
    "verify": "Check a run's hashes, keys and index, and recompute every number.",
    "share": "Write a run into one file for other people.",
    "open": "Make a run folder from a file that harness share wrote.",
    "publish": "Write runs as a static page and a data set, or upload them.",
    "pack": "Combine the files of a finished run into a few.",
    "repro": "Rescore a sample of a run's items, one text at a time, and compare.",
    "explain": "Show everything that a result depends on.",
    "plugins": "List plugins, or show one with its config.",
    "new": "Write a new plugin package from a template.",
    "data": "List, fetch and verify data sets.",
    "calibrate": "Check this installation against published counts.",
}
"""Built-in commands and their short help; each lives in ``harness/cli/<name>.py``,
with ``_`` for ``-``."""


class LazyGroup(click.Group):
    """Imports a command's module when it is called, so that ``--help`` imports nothing heavy."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the built-in commands, then those of plugins."""
        return [*COMMANDS, *sorted(self._plugin_commands())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name in COMMANDS:
            name = cmd_name.replace("-", "_")
            command = getattr(importlib.import_module(f"harness.cli.{name}"), f"{name}_command")
            assert isinstance(command, click.Command)
            return command
        command = self._plugin_commands().get(cmd_name)
        if command is None and not ctx.resilient_parsing:
            hint = did_you_mean(cmd_name, self.list_commands(ctx))
            raise click.UsageError(f"no command '{cmd_name}'{hint}", ctx)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help of the commands without importing the built-in ones."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        if extra := self._plugin_commands():
            with formatter.section("Commands of plugins"):
                formatter.write_dl(
                    [(name, extra[name].get_short_help_str()) for name in sorted(extra)]
                )

    def _plugin_commands(self) -> dict[str, click.Command]:
        """Return the commands of third-party plugins, loading none if only ours are there."""
        from importlib.metadata import entry_points

        ours = "bias-transfer-harness"
        points = entry_points(group="harness")
        if all(point.dist is not None and point.dist.name == ours for point in points):
            return {}
        from harness.plugins import load_commands

        commands, _ = load_commands(reserved=COMMANDS)
        return {c.name: c for c in commands if c.name is not None}


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="harness")
@click.option(
    "--data-dir",
    envvar="HARNESS_DATA",
    show_envvar=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to look for data sets in, before they are downloaded.",
)
@click.option("--offline", is_flag=True, help="Do not download anything.")
@click.option("--strict-plugins", is_flag=True, help="Stop if a plugin fails to load.")
@click.pass_context
def cli(ctx: click.Context, data_dir: Path | None, offline: bool, strict_plugins: bool) -> None:
    """Measure how bias mitigation in one domain transfers to others, and what it costs."""
    ctx.obj = Session(strict_plugins=strict_plugins, data_dir=data_dir, offline=offline)


def main() -> None:
    """Run the command; a `HarnessError` becomes one line on stderr and an exit code."""
    sys.excepthook = print_trace
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a table must not fail for one character
            stream.reconfigure(errors="replace")
    with _stopping_as_ctrl_c_does() as signals:
        _run(signals)


def _run(signals: Sequence[signal.Signals]) -> None:
    """Run the command line; ``signals`` holds the signals to stop that have arrived so far."""
    try:
        cli(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()  # now, so that a full disk is told as what it is
    except HarnessError as error:
        echo(f"harness: {error}{trace_note(error)}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        usage = io.StringIO()
        error.show(file=usage)
        echo(usage.getvalue().rstrip("\n"), err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in _OUTPUT_LOST or error.filename is not None:
            raise
        if error.errno != errno.EPIPE:  # `harness … | head` has read what it wants
            with suppress(OSError):
                echo(
                    f"harness: the output cannot be written: {_OUTPUT_LOST[error.errno]}", err=True
                )
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left cannot be written at exit
        sys.exit(StoreError.exit_code)
    except (click.Abort, KeyboardInterrupt):
        by = f"stopped by {signals[0].name}" if signals else "interrupted"
        with suppress(OSError):  # the terminal may be gone
            echo(
                f"harness: {by}; finished results are kept; run the same command again to continue",
                err=True,
            )
        sys.exit(128 + (signals[0] if signals else signal.SIGINT))


_OUTPUT_LOST = {
    errno.ENOSPC: "no space is left there",
    errno.EDQUOT: "the quota is used up there",
    errno.EFBIG: "the file would be larger than allowed",
    errno.EPIPE: "nobody reads it",
    errno.EIO: "its terminal or disk is gone",
}
"""What a failed write to standard output means."""


@contextmanager
def _stopping_as_ctrl_c_does() -> Iterator[list[signal.Signals]]:
    """Have a request to end (SIGTERM, or SIGHUP as a terminal closes) unwind as Ctrl-C does.

    A second one of the same kind ends the process at once. What ``nohup`` ignores stays ignored.
    Yields a list that gets the signals that came.
    """
    came: list[signal.Signals] = []

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        came.append(signal.Signals(number))
        raise KeyboardInterrupt

    caught = []
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is None or signal.getsignal(number) is not signal.SIG_DFL:
            continue
        with suppress(ValueError):  # not the main thread
            signal.signal(number, stop)
            caught.append(number)
    try:
        yield came
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)
