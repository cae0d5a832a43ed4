"""Checking an installation: a model whose counts are known must give them, to the item."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.errors import DataError, ModelError

if TYPE_CHECKING:
    from harness.data.places import DataStore
    from harness.plugins import Registry
    from harness.running.reporting import Reporter

GPT2 = "openai-community/gpt2"


class Figure(BaseModel):
    """One expected figure: a count of ``numerator`` in ``n``, or a value to two decimals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    evaluator: str
    domain: str
    metric: str
    numerator: float | None = None
    value: float | None = None
    n: int

    @property
    def name(self) -> tuple[str, str, str]:
        """What the figure is of."""
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
    """Read expected figures; GPT-2's published ones unless a file is given.

    Raises:
        DataError: the file cannot be read or is no such file.
    """
    try:
        text = (
            (files("harness.published") / "gpt2.json").read_text()
            if path is None
            else path.read_text(encoding="utf-8")
        )
        return Figures.model_validate_json(text)
    except OSError as error:
        raise DataError(f"{path}: cannot read: {error.strerror or error}") from None
    except (ValidationError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[-1].strip()
        raise DataError(
            f"{path}: no file of counts ({first}); make one with --write-counts"
        ) from None


def write_figures(path: Path, found: Sequence[Figure], limit: int | None) -> None:
    """Write measured figures as a file that `expected_figures` reads.

    Raises:
        DataError: it cannot be written.
    """
    value = Figures(source="measured by harness calibrate", limit=limit, figures=tuple(found))
    try:
        path.write_text(json.dumps(value.model_dump(mode="json"), indent=1), encoding="utf-8")
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
        ModelError: the model cannot be had, or an evaluator failed on it.
    """
    from harness.planning.passages import Texts
    from harness.planning.plan import build_plan
    from harness.running.runner import Runner
    from harness.storage.store import Store

    spec = _spec(registry, model, overrides, limit, expected)
    texts = Texts(registry, data, spec.limits)
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        plan = build_plan(spec, registry, data, texts)
        outcome = Runner(registry, data, texts, store, reporter).run(plan)
        if outcome.failures:
            raise ModelError(f"cannot calibrate: {outcome.failures[0][1]}")
        for key, task in plan.tasks().items():
            record = store.record(key, items=False)
            for measurement in record.measurements if record else ():
                for metric in measurement.metrics:
                    found.append(
                        Figure(
                            evaluator=task.evaluator.label,
                            domain=measurement.domain,
                            metric=metric.name,
                            numerator=metric.numerator,
                            value=metric.value if metric.numerator is None else None,
                            n=metric.n,
                        )
                    )
    return found


def check(expected: Figures, found: Sequence[Figure]) -> list[Check]:
    """Compare: counts exactly, values to two decimals, and the number of items where given."""
    by_name = {figure.name: figure for figure in found}
    return [
        Check(figure, by_name.get(figure.name), _agrees(figure, by_name.get(figure.name)))
        for figure in expected.figures
    ]


def _agrees(expected: Figure, found: Figure | None) -> bool:
    if found is None or (expected.n and expected.n != found.n):
        return False
    if expected.numerator is not None:
        return expected.numerator == found.numerator
    if expected.value is None or found.value is None:
        return expected.value is found.value
    return round(expected.value, 2) == round(found.value, 2)


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
