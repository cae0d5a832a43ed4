"""``harness export``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import results_option
from harness.cli.output import echo_content
from harness.forks import usable_cores
from harness.garbage import seldom_collected


class FormatChoice(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.2
    """The name of an export format; the formats are imported when they are needed."""

    name = "format"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name of a known format."""
        from harness.errors import did_you_mean
        from harness.render.exports import FORMATS

        if value not in FORMATS:
            known = ", ".join(FORMATS)
            self.fail(f"no format '{value}'{did_you_mean(value, FORMATS)} (known: {known})")
        return value


class ExportCommand(click.Command):
    """Lists the formats below its help."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each format."""
        from harness.render.exports import FORMATS

        with formatter.section("Formats"):
            formatter.write_dl([(known.name, known.summary) for known in FORMATS.values()])


@click.command("export", cls=ExportCommand)
@click.argument("run")
@results_option
@click.option("--format", "name", type=FormatChoice(), default="csv", show_default=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File to write, or folder if the format has several files; default: standard output. "
    "Parquet needs a file.",
)
@click.option(
    "--spreadsheet-safe/--no-spreadsheet-safe",
    default=True,
    show_default=True,
    help="With csv: put an apostrophe before texts that begin with =, +, - or @, so that a "
    "spreadsheet does not run them as formulas. Numbers stay as they are.",
)
@click.option(
    "--organization",
    default="unknown",
    show_default=True,
    help="With every-eval-ever: who ran the evaluation.",
)
@seldom_collected()
def export_command(
    run: str,
    results: Path,
    name: str,
    out: Path | None,
    spreadsheet_safe: bool,
    organization: str,
) -> None:
    """Write RUN (a folder, or a name under --results) for other programs."""
    from harness.data.files import is_folder
    from harness.render.exports import FORMATS
    from harness.render.exports.export_format import ExportOptions, FolderFormat
    from harness.render.files import write_file, write_files
    from harness.storage.store import find_run

    chosen = FORMATS[name]
    options = ExportOptions(spreadsheet_safe, organization, usable_cores())
    if isinstance(chosen, FolderFormat):
        if out is None:
            raise click.UsageError(f"{name} is several files: name a folder with --out")
        write_files(out, chosen.files(find_run(run, results), options))
        return
    if chosen.binary and out is None:
        raise click.UsageError(f"{name} is binary: name a file with --out")
    if out is not None and is_folder(out):
        raise click.UsageError(f"{out} is a folder: name a file with --out")
    content = chosen.content(find_run(run, results), options)
    if out is None:
        echo_content(content)
    else:
        write_file(out, content)
