"""``harness export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import results_option

if TYPE_CHECKING:
    from harness.storage.store import Store

FORMATS = ("csv", "parquet", "markdown", "latex", "json")


@click.command("export")
@click.argument("run")
@results_option
@click.option("--format", "kind", type=click.Choice(FORMATS), default="csv", show_default=True)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; default: standard output (parquet needs a file).",
)
def export_command(run: str, results: Path, kind: str, out: Path | None) -> None:
    """Write RUN for other programs.

    csv, parquet and json hold every number, one a row; markdown and latex (booktabs) hold the
    transfer matrix and the leaderboard as tables.
    """
    from harness.errors import StoreError
    from harness.storage.store import find_run

    if kind == "parquet" and out is None:
        raise click.UsageError("parquet is binary: name a file with --out")
    content = _content(kind, find_run(run, results))
    if out is None:
        click.echo(content, nl=False)
        return
    try:
        out.write_bytes(content)
    except OSError as error:
        raise StoreError(f"{out}: cannot write: {error.strerror or error}") from None


def _content(kind: str, store: Store) -> bytes:
    if kind in ("markdown", "latex"):
        from harness.analysis.matrix_builder import build_matrix
        from harness.analysis.ranking import rank
        from harness.render.tables.latex import latex_text
        from harness.render.tables.markdown import markdown_text

        text = markdown_text if kind == "markdown" else latex_text
        return text(build_matrix(store), rank([store])).encode()
    from harness.analysis.long_table import tidy_rows
    from harness.render.tables import data_files as writers

    write = {
        "csv": writers.csv_bytes,
        "parquet": writers.parquet_bytes,
        "json": writers.json_bytes,
    }[kind]
    return write(tidy_rows(store))
