"""``harness power``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import Amount, results_option, set_option
from harness.cli.session import Session, pass_session

if TYPE_CHECKING:
    from harness.analysis.power import Noise, Planned
    from harness.planning.hypotheses import Hypothesis
    from harness.planning.spec import Spec


@click.command("power")
@click.argument("spec")
@set_option
@results_option
@click.option(
    "--from",
    "earlier",
    metavar="RUN",
    help="Estimate the noise from the items of this earlier run.",
)
@click.option(
    "--item-sd",
    type=Amount(positive=True),
    help="Standard deviation between items, in the unit of the score. Use it instead of --from.",
)
@click.option(
    "--fit-sd",
    type=Amount(),
    default=0.0,
    help="Standard deviation between fits (seeds). Use it with --item-sd.",
)
@click.option(
    "--rest-sd",
    type=Amount(),
    default=0.0,
    help="Residual standard deviation of one item in one fit. Use it with --item-sd.",
)
@click.option(
    "--items",
    type=click.IntRange(min=2),
    help="Number of independent items or clusters; default: as many as the run has.",
)
@click.option(
    "--fits",
    type=click.IntRange(min=1),
    help="Number of fits (seeds) per method; default: as in the spec.",
)
@click.option(
    "--effect",
    type=Amount(positive=True),
    help="Also show the power for an effect of this size, and how many fits or items you need.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@pass_session
def power_command(
    session: Session,
    /,
    spec: str,
    overrides: tuple[str, ...],
    results: Path,
    earlier: str | None,
    item_sd: float | None,
    fit_sd: float,
    rest_sd: float,
    items: int | None,
    fits: int | None,
    effect: float | None,
    as_json: bool,
) -> None:
    """Show the smallest effect that each hypothesis of SPEC can detect, before you run it.

    The estimate needs the noise of the scores. Take it from an earlier run with --from. That run
    must have measured what the hypotheses compare. Or give standard deviations yourself, with
    --item-sd, --fit-sd, --rest-sd and --items. All of them are of the difference that a
    hypothesis is about, such as a method minus its control.
    """
    from harness.analysis.hypothesis_tables import power_table
    from harness.analysis.power import Noise, noise_of
    from harness.analysis.units import endpoint_unit
    from harness.cli.output import echo
    from harness.planning.spec_reader import load_spec
    from harness.render.console.tables import print_with_legend
    from harness.render.safe_text import json_text
    from harness.render.tables.plain import table_object
    from harness.storage.reader import RunReader
    from harness.storage.store import find_run

    loaded = load_spec(spec, session.registry, overrides)
    if (earlier is None) == (item_sd is None):
        raise click.UsageError("take the noise from a run with --from, or state it with --item-sd")
    if earlier is None and items is None:
        raise click.UsageError("--item-sd needs --items: how many independent items there are")
    reader = RunReader(find_run(earlier, results)) if earlier is not None else None

    def noise(hypothesis: Hypothesis) -> Noise:
        if reader is not None:
            return noise_of(reader, hypothesis)
        assert item_sd is not None
        return Noise(item_sd**2, fit_sd**2, rest_sd**2, "what you stated")

    def unit(hypothesis: Hypothesis) -> str:
        return endpoint_unit(hypothesis.endpoint, loaded.evaluators, session.registry)

    table = power_table(_planned(loaded, noise, unit, items, fits, effect), loaded.name)
    if as_json:
        echo(json_text(table_object(table)))
    else:
        print_with_legend(session.stdout, table)
        session.suggest("plan", spec)


def _planned(
    spec: Spec,
    noise: Callable[[Hypothesis], Noise],
    unit: Callable[[Hypothesis], str],
    items: int | None,
    fits: int | None,
    effect: float | None,
) -> list[Planned]:
    """What each hypothesis of a spec can detect."""
    from harness.analysis.power import plan_test, tests_in
    from harness.errors import SpecError

    if spec.hypotheses is None:
        raise SpecError(f"{spec.name}: the spec has no section `hypotheses`")
    tests = tests_in(spec.hypotheses, spec.source, spec.targets) * len(spec.model)
    plans = []
    for hypothesis in spec.hypotheses.tests:
        measured = noise(hypothesis)
        count = items if items is not None else measured.design[0] if measured.design else 0
        plans += [
            plan_test(
                question,
                measured,
                items=count,
                fits=fits if fits is not None else len(spec.seed),
                level=spec.hypotheses.alpha / tests,
                effect=effect if question.margin is None or question is hypothesis else None,
                unit=unit(hypothesis),
            )
            for question in hypothesis.questions()
        ]
    return plans
