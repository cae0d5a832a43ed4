"""Plain output of commands: text and JSON without a terminal's control characters."""

from __future__ import annotations

import sys
from types import TracebackType

import click

from harness.errors import HarnessError, PluginCrashError
from harness.render.safe_text import json_text, printable


def echo(text: object, *, err: bool = False) -> None:
    """Print a line of text to standard output, or to standard error."""
    click.echo(printable(str(text)), err=err)


def echo_json(value: object) -> None:
    """Print a value as JSON that is safe to show and reads back as the same value."""
    click.echo(json_text(value))


def echo_content(content: bytes) -> None:
    """Write the content of a file to standard output: as it is, but printable on a terminal."""
    if sys.stdout.isatty():
        click.echo(printable(content.decode("utf-8", "replace")), nl=False)
    else:
        click.echo(content, nl=False)


def print_trace(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print the trace of a bug (a `sys.excepthook`); its message may quote foreign text."""
    import traceback

    click.echo(
        printable("".join(traceback.format_exception(kind, error, trace))), err=True, nl=False
    )


def trace_note(error: HarnessError) -> str:
    """Keep the trace of a plugin's exception in a file of its own; return where, for the message.

    Empty for any other error: those are told completely by their line.
    """
    if not isinstance(error, PluginCrashError):
        return ""
    path = keep_trace(error.trace())
    return f"; trace: {path}" if path else ""


def keep_trace(trace: str) -> str | None:
    """Write the trace of a bug into a temporary file; return its path, None if that fails."""
    import tempfile

    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="harness-trace-", suffix=".txt", encoding="utf-8", delete=False
        ) as stream:
            stream.write(printable(trace))
    except OSError:
        return None
    return stream.name
