"""``harness eval``."""

from __future__ import annotations

import sys
import tempfile
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import click

from harness.cli.output import echo_json, keep_trace
from harness.cli.session import Session, pass_session

if TYPE_CHECKING:
    from harness.running.experiment import Experiment


@click.command("eval")
@click.argument("model")
@click.option(
    "--evaluator",
    "-e",
    "evaluators",
    multiple=True,
    required=True,
    help="Evaluator to run. You can give several.",
)
@click.option(
    "--target",
    "-t",
    "targets",
    multiple=True,
    help="Target domain; default: all domains of the evaluator.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Items per domain.")
@click.option("--device", default="cpu", show_default=True)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    default="float32",
    show_default=True,
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Config of the model or an evaluator: model.id=gpt2, "
    "evaluators.crows-pairs.scorers=[hf_nll, bb_geo].",
)
@click.option("--json", "as_json", is_flag=True, help="Print measurements as JSON.")
@pass_session
def eval_command(
    session: Session,
    model: str,
    evaluators: tuple[str, ...],
    targets: tuple[str, ...],
    limit: int | None,
    device: str,
    dtype: str,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure MODEL (a model plugin, such as smollm2-135m or hf) with some evaluators.

    The model is not debiased, and results are not stored.
    """
    from harness.running.experiment import Experiment

    data: dict[str, Any] = {
        "name": "eval",
        "model": model,
        "evaluators": list(evaluators),
        "targets": list(targets) or _all_domains(session, evaluators),
        "device": device,
        "dtype": dtype,
        "limits": {"items": limit},
    }
    with tempfile.TemporaryDirectory() as folder:
        experiment = Experiment.from_mapping(
            data,
            registry=session.registry,
            data=session.data,
            folder=folder,
            overrides=overrides,
            source="harness eval",
        )
        records, failed = _measure(session, experiment)
    if as_json:
        echo_json(records)
    elif records:
        _print(session, records)
    if failed:
        sys.exit(9)


def _all_domains(session: Session, evaluators: tuple[str, ...]) -> list[str]:
    names = session.registry.names("evaluator")
    domains: set[str] = set()
    for name in evaluators:
        if name in names:  # an unknown one is reported by the spec
            domains |= session.registry.get("evaluator", name).plugin.domains
    known = list(session.registry.domains)
    return [domain for domain in known if domain in domains] or known


def _measure(session: Session, experiment: Experiment) -> tuple[list[dict[str, Any]], bool]:
    """Run an experiment in a throw-away folder; return evaluator and measurement of each."""
    from harness.render.console.progress import ConsoleReporter

    with ConsoleReporter(session.stderr) as reporter:
        outcome = experiment.run(reporter=reporter)
    for reason, key in outcome.traces.items():
        failure = experiment.store.failure(key)
        if failure is not None and failure.trace is not None:
            path = keep_trace(failure.trace)
            session.stderr.print(f"trace of '{shorten(reason, 60)}': {path}", soft_wrap=True)
    measurements = []
    for key, task in experiment.plan().tasks().items():
        record = experiment.store.record(key)
        for measurement in record.measurements if record else ():
            measurements.append(
                {"evaluator": task.evaluator.label, **measurement.model_dump(mode="json")}
            )
    return measurements, bool(outcome.failures)


def _print(session: Session, records: list[dict[str, Any]]) -> None:
    from harness.analysis.units import metric_unit
    from harness.render.console.ruled import ruled
    from harness.render.tables.numbers import number
    from harness.types import Measurement

    header = ("evaluator", "domain", "protocol", "metric", "value", "unit", "n", "hits")
    rows = []
    for record in records:
        measurement = Measurement.model_validate(
            {name: value for name, value in record.items() if name != "evaluator"}
        )
        rows += [
            (
                record["evaluator"],
                measurement.domain,
                measurement.protocol,
                metric.name,
                number(metric.value),
                metric_unit(metric, measurement.quantities).value,
                str(metric.n),
                "" if metric.numerator is None else f"{metric.numerator:g}",
            )
            for metric in measurement.metrics
        ]
    table = ruled("Measurements", header, rows, left=(0, 1, 2, 3, 5), fold=(0, 2, 3))
    session.stdout.print(table)
    for note in dict.fromkeys(record["note"] for record in records if record["note"]):
        session.stdout.print(note)
