"""Checking an installation: a model with known counts must give exactly these counts."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.analysis.reported import find_publication
from harness.errors import DataError, ModelError
from harness.files import read_file, write_output

if TYPE_CHECKING:
    from harness.data.places import DataStore
    from harness.plugins import Registry
    from harness.running.reporting import Reporter

GPT2 = "openai-community/gpt2"

PUBLISHED = ("bigscience", "lu2024")
"""Publications of ``results/reported/`` with counts of GPT-2 by the default protocols."""

MOST_BYTES = 2**24
"""A file of counts is not longer."""


class Figure(BaseModel):
    """One expected figure: a count of ``numerator`` in ``n``, or a value to two decimals.

    An ``n`` of 0 is not compared.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    evaluator: str
    domain: str
    metric: str
    numerator: float | None = None
    value: float | None = None
    n: int

    @property
    def name(self) -> tuple[str, str, str]:
        """Evaluator, domain and metric of the figure."""
        return self.evaluator, self.domain, self.metric


class Figures(BaseModel):
    """A file of expected figures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    limit: int | None = None
    figures: tuple[Figure, ...]


class Check(NamedTuple):
    """An expected figure, what was measured, and whether they agree."""

    expected: Figure
    found: Figure | None
    ok: bool


def expected_figures(path: Path | None) -> Figures:
    """Read expected figures from a file; None: GPT-2's published ones.

    Raises:
        DataError: the file cannot be read or is not a file of counts.
    """
    if path is None:
        return published_figures()
    try:
        return Figures.model_validate_json(read_file(path, MOST_BYTES))
    except OSError as error:
        raise DataError(f"{path}: cannot read: {error.strerror or error}") from None
    except ValidationError as error:
        first = str(error).splitlines()[-1].strip()
        raise DataError(
            f"{path}: not a file of counts ({first}); make one with --write-counts"
        ) from None


def published_figures() -> Figures:
    """Return what `PUBLISHED` report of the released GPT-2, each figure once."""
    publications = [find_publication(name) for name in PUBLISHED]
    figures: dict[tuple[str, str, str], Figure] = {}
    for publication in publications:
        for number in publication.numbers:
            if number.method is None:
                figure = Figure(
                    evaluator=number.evaluator,
                    domain=number.domain,
                    metric=number.metric,
                    numerator=number.numerator,
                    value=number.value if number.numerator is None else None,
                    n=number.n or 0,
                )
                figures.setdefault(figure.name, figure)
    source = "; ".join(publication.citation for publication in publications)
    return Figures(source=source, figures=tuple(figures.values()))


def write_figures(path: Path, measured: Sequence[Figure], limit: int | None) -> None:
    """Write measured figures as a file that `expected_figures` reads.

    Raises:
        DataError: it cannot be written.
    """
    value = Figures(source="measured by harness calibrate", limit=limit, figures=tuple(measured))
    try:
        write_output(path, json.dumps(value.model_dump(mode="json"), indent=1).encode())
    except OSError as error:
        raise DataError(f"{path}: cannot write: {error.strerror or error}") from None


def measure_figures(
    registry: Registry,
    data: DataStore,
    reporter: Reporter,
    model: str,
    overrides: Sequence[str],
    limit: int | None,
    expected: Figures | None,
) -> list[Figure]:
    """Measure every metric that has a count, and perplexity, with the default protocols.

    Raises:
        ModelError: the model is missing, or an evaluator failed on it.
    """
    from harness.running.experiment import Experiment

    spec = _spec(registry, model, overrides, limit, expected)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        experiment = Experiment(spec, registry=registry, data=data, folder=folder)
        outcome = experiment.run(reporter=reporter)
        if outcome.failures:
            raise ModelError(f"cannot calibrate: {outcome.failures[0][1]}")
        for key, task in experiment.plan().tasks().items():
            record = experiment.store.record(key, items=False)
            for measurement in record.measurements if record else ():
                for metric in measurement.metrics:
                    figures.append(
                        Figure(
                            evaluator=task.evaluator.label,
                            domain=measurement.domain,
                            metric=metric.name,
                            numerator=metric.numerator,
                            value=metric.value if metric.numerator is None else None,
                            n=metric.n,
                        )
                    )
    return figures


def check(expected: Figures, measured: Sequence[Figure]) -> list[Check]:
    """Compare figures: counts exactly, values to two decimals, items where a number is given."""
    by_name = {figure.name: figure for figure in measured}
    return [
        Check(figure, by_name.get(figure.name), _agrees(figure, by_name.get(figure.name)))
        for figure in expected.figures
    ]


def _agrees(expected: Figure, measured: Figure | None) -> bool:
    if measured is None or (expected.n and expected.n != measured.n):
        return False
    if expected.numerator is not None:
        return expected.numerator == measured.numerator
    if expected.value is None or measured.value is None:
        return expected.value is measured.value
    return round(expected.value, 2) == round(measured.value, 2)


def _spec(
    registry: Registry,
    model: str,
    overrides: Sequence[str],
    limit: int | None,
    expected: Figures | None,
) -> Any:
    from harness.data.domains import NO_DOMAIN, OVERALL
    from harness.planning.overrides import apply_override
    from harness.planning.spec_reader import build_spec
    from harness.planning.yaml_lines import Lines

    evaluators = ["crows-pairs", "stereoset", "wikitext2-perplexity"]
    if expected is not None:
        evaluators = list(dict.fromkeys(figure.evaluator for figure in expected.figures))
        named = {figure.domain for figure in expected.figures} - {NO_DOMAIN, OVERALL}
        limit = limit or expected.limit
    else:
        named = {
            domain
            for name in evaluators
            for domain in registry.get("evaluator", name).plugin.domains
        }
    targets = [domain for domain in registry.domains if domain in named]
    data: dict[str, Any] = {
        "name": "calibrate",
        "model": {"use": "hf", "id": GPT2} if model == "hf" else model,
        "evaluators": evaluators,
        "targets": targets,
        "limits": {"items": limit},
    }
    for override in overrides:
        apply_override(data, override)
    return build_spec(data, registry, Lines("harness calibrate"))
