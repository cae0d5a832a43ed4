"""``harness report``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import results_option
from harness.cli.output import echo
from harness.cli.session import Session, pass_session
from harness.forks import usable_cores
from harness.garbage import seldom_collected

if TYPE_CHECKING:
    from harness.analysis.matrix_builder import Matrix
    from harness.analysis.run_masks import MaskedTexts
    from harness.runs import Run


@click.command("report")
@click.argument("run")
@results_option
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Page to write; default: report.html in the run's folder.",
)
@click.option(
    "--figures",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the figures to this folder, as PNG, SVG and PDF. Give --out as well if you also "
    "want the page.",
)
@click.option(
    "--sentences",
    is_flag=True,
    help="Include the sentences of flipped items, and passages that maskers mask differently, "
    "collapsed. This needs their data sets. Check the licences before you publish the page.",
)
@pass_session
@seldom_collected()
def report_command(
    session: Session,
    run: str,
    results: Path,
    out: Path | None,
    figures: Path | None,
    sentences: bool,
) -> None:
    """Write RUN as one HTML page that works offline, or its figures for a paper."""
    from harness.render.figures.catalogue import write_figures
    from harness.render.files import write_file
    from harness.runs import open_run

    opened = open_run(
        run,
        results=results,
        registry=session.registry if sentences else None,
        data=session.data if sentences else None,
    )
    if figures is not None:
        for path in write_figures(opened.figures, figures, processes=usable_cores()):
            echo(path)
    if out is None and figures is not None:
        return
    target = out or opened.folder / "report.html"
    write_file(target, report_page(session, opened, sentences).encode())
    echo(target)


def report_page(session: Session, run: Run, sentences: bool) -> str:
    """Return the page of a run.

    Args:
        session: knows the plugins and the data.
        run: the run.
        sentences: show the sentences of flipped items, and passages that maskers mask differently.
    """
    from harness.analysis.reported import load_publications
    from harness.render.page.content import Sources, page_of
    from harness.render.page.html import html_page

    references = {
        (str(entry.family), entry.name): entry.plugin.reference for entry in session.registry
    }
    matrix = run.matrix().data
    sources = Sources(
        reader=run.reader,
        matrix=matrix,
        board=run.leaderboard().data,
        publications=load_publications(),
        references=references,
        texts=_texts(session, run, matrix) if sentences else {},
        masked=_masked(session, run) if sentences else {},
    )
    return html_page(page_of(sources), processes=usable_cores())


def _masked(session: Session, run: Run) -> MaskedTexts:
    """Return the masked passages of the fits; print one line for each reason why one is missing."""
    from harness.replay.masked_texts import find_masked_texts

    return find_masked_texts(run.reader, session.registry, session.data, session.stderr.say)


def _texts(session: Session, run: Run, matrix: Matrix) -> dict[str, Mapping[str, str]]:
    """Return the sentences of the items; print one line for each data set that is not found."""
    from harness.errors import HarnessError

    sentences: dict[str, Mapping[str, str]] = {}
    wanted = {(c.evaluator, c.domain) for c in matrix.columns if matrix.role(c) == "bias"}
    for evaluator, domain in sorted(wanted):
        try:
            sentences.update(run.sentences(evaluator, domain))
        except HarnessError as error:
            session.stderr.say(f"no sentences of {evaluator}, {domain}: {error}")
    return sentences
