"""``harness calibrate``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.cli.session import Session, pass_session


@click.command("calibrate")
@click.option("--model", default="hf", show_default=True, help="Model plugin to check.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Config of the model or an evaluator (model.id=…). The hf model is GPT-2 by default.",
)
@click.option(
    "--counts",
    type=click.Path(dir_okay=False, path_type=Path),
    help="JSON file of expected counts; default: the published ones of GPT-2.",
)
@click.option(
    "--write-counts",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the measured counts to a file instead of checking them.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="Items per domain; only with --counts or --write-counts.",
)
@pass_session
def calibrate_command(
    session: Session,
    model: str,
    overrides: tuple[str, ...],
    counts: Path | None,
    write_counts: Path | None,
    limit: int | None,
) -> None:
    """Check this installation: GPT-2 must give exactly the published counts.

    This measures CrowS-Pairs (all nine types, scored by hf_nll), StereoSet dev, and the perplexity
    of WikiText-2 in windows of 1,024 tokens. The exit code is 1 if a count differs, and 5 if GPT-2
    is not available.
    """
    from harness.render.console.calibration import print_checks
    from harness.render.console.progress import ConsoleReporter
    from harness.replay.calibration import check, expected_figures, measure_figures, write_figures

    if limit is not None and counts is None and write_counts is None:
        raise click.UsageError("--limit goes with --counts or --write-counts: GPT-2's are whole")
    expected = None if write_counts else expected_figures(counts)
    with ConsoleReporter(session.stderr) as reporter:
        figures = measure_figures(
            session.registry, session.data, reporter, model, overrides, limit, expected
        )
    if write_counts is not None:
        write_figures(write_counts, figures, limit)
        session.stdout.print(f"{len(figures)} figures written to {write_counts}")
        return
    assert expected is not None
    checks = check(expected, figures)
    print_checks(session.stdout, checks)
    if not all(entry.ok for entry in checks):
        sys.exit(1)
