"""A run in the exchange format of Every Eval Ever, schema 0.3.0 (arXiv 2606.14516).

Each model of the run, the base and every cell at its last step, has a file of its own. The schema
demands for each score that lower or higher is better. A metric with a target, such as 50 for a
stereotype score, is neither: its exported score is the distance to the target, where lower is
better, and the details hold the value itself. Metrics without an ideal are left out.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from harness.analysis.changes import ChangeReader
from harness.analysis.interval import Interval
from harness.analysis.stats import FEWEST_UNITS, share_interval, t_interval
from harness.analysis.units import PERCENT, metric_unit
from harness.errors import StoreError
from harness.estimators import Percent
from harness.metrics import Metric
from harness.quantities import Quantities
from harness.render.exports.export_format import ExportOptions, FolderFormat
from harness.storage.cells import Cell
from harness.storage.reader import Column, Measured, RunReader
from harness.storage.records import Record
from harness.storage.store import Store

SCHEMA_VERSION = "0.3.0"
LIBRARY = "bias-transfer-harness"
LEVEL = 0.95

Json = dict[str, Any]


class _Spread(NamedTuple):
    """How uncertain a value is: by leaving out one unit (item or cluster) at a time."""

    error: float
    interval: Interval


def evaluation_logs(store: Store, organization: str) -> dict[str, Json]:
    """Return a log for each model of a run, by its path in a datastore.

    The same run gives the same logs.

    Args:
        store: the run.
        organization: who ran the evaluation.

    Raises:
        StoreError: the run has no measurement, or is damaged.
    """
    reader = RunReader(store)
    logs: dict[str, Json] = {}
    for cell in reader.index.cells:
        step = cell.measured_step(None)
        log = _log(reader, cell, step, organization)
        if log is not None:
            logs[_path(reader.index.name, cell, step, log)] = log
    if not logs:
        raise StoreError(f"{store.folder}: no measurement yet; `harness run` makes them")
    return logs


def _log(reader: RunReader, cell: Cell, step: int, organization: str) -> Json | None:
    """The log of a cell at a step; None if nothing was measured."""
    results: list[Json] = []
    records: list[Record] = []
    for ref in cell.measures:
        if ref.step != step:
            continue
        record = reader.store.record(ref.key, items=False)
        measurements = reader.record(ref.key)
        if record is None or measurements is None:
            continue
        before = len(results)
        for (protocol, domain), measured in measurements.items():
            for name in measured.defined:
                column = Column(ref.evaluator, protocol, name, domain)
                results += _results(reader, cell, step, column, record)
        if len(results) > before:
            records.append(record)
    if not results:
        return None
    newest = max(records, key=lambda record: _seconds(record.created_at))
    written = _seconds(newest.created_at)
    stop = reader.stop(cell, step)
    name, identifier = _model(reader, cell, step if stop is None else stop.step)
    provenance = newest.provenance
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": f"{LIBRARY}/{identifier}/{written}",
        "evaluation_timestamp": newest.created_at,
        "retrieved_timestamp": str(written),
        "source_metadata": {
            "source_name": reader.index.name,
            "source_type": "evaluation_run",
            "source_organization_name": organization,
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": LIBRARY, "version": provenance.harness_version},
        "model_info": {
            "name": name,
            "id": identifier,
            "inference_engine": {
                "name": "transformers",
                "version": provenance.packages.get("transformers", "unknown"),
            },
            "additional_details": {
                "deployment_type": "self_deployed",
                "model_availability": "unknown",
                "step": str(step if stop is None else stop.step),
                **({} if stop is None else {"stopped_at_kl": repr(stop.kl)}),
                "device": provenance.device,
                **{
                    axis: str(value)
                    for axis, value in cell.identity._asdict().items()
                    if value is not None
                },
                **({"control": cell.control_kind} if cell.control_kind else {}),
            },
        },
        "evaluation_results": results,
    }


def _results(
    reader: RunReader, cell: Cell, step: int, column: Column, record: Record
) -> Iterator[Json]:
    """The result of a column; nothing for a metric without a value or an ideal."""
    measured = reader.find(cell, step, column)
    metric = measured.metrics.get(column.metric) if measured else None
    if measured is None or metric is None or metric.direction.kind == "none":
        return
    if metric.value is None or not math.isfinite(metric.value):
        return
    target = metric.direction.target
    spread = _spread(reader, measured, metric)
    details = {
        "value": repr(metric.value),
        "protocol": column.protocol,
        "domain": column.domain,
        "role": str(metric.role),
        "primary": str(metric.primary).lower(),
        "record": record.key,
    }
    uncertainty: Json = {"num_samples": metric.n}
    if target is not None:
        details["target"] = f"{target:g}"
        details["why_distance"] = (
            "the schema asks whether lower is better; the ideal of this metric is its target, so "
            "the score is the distance to it"
        )
        if spread is not None:  # of the value: the distance has another distribution near 0
            details["value_standard_error"] = repr(spread.error)
            details["value_ci_low"] = repr(spread.interval.low)
            details["value_ci_high"] = repr(spread.interval.high)
    elif spread is not None:
        method = "jackknife over items or clusters"
        uncertainty["standard_error"] = {"value": spread.error, "method": method}
        uncertainty["confidence_interval"] = {
            "lower": spread.interval.low,
            "upper": spread.interval.high,
            "confidence_level": LEVEL,
            "method": f"{method}, t distribution",
        }
    evaluator = record.inputs.get("evaluator")
    plugin = evaluator.get("name") if isinstance(evaluator, dict) else None
    yield {
        "evaluation_result_id": "/".join(column),
        "evaluation_name": f"{column.evaluator}/{column.domain}",
        "source_data": {
            "dataset_name": str(plugin or column.evaluator),
            "source_type": "other",
            "additional_details": {"domain": column.domain, "items": str(metric.n)},
        },
        "evaluation_timestamp": record.created_at,
        "metric_config": _config(column, metric, measured.quantities),
        "score_details": {
            "score": metric.value if target is None else metric.direction.distance(metric.value),
            "details": details,
            "uncertainty": uncertainty,
        },
    }


def _config(column: Column, metric: Metric, quantities: Quantities) -> Json:
    target = metric.direction.target
    percent = isinstance(metric.formula(), Percent)
    unit = metric_unit(metric, quantities)
    shown = unit.change if target is not None else "percent" if unit == PERCENT else unit.value
    name = metric.name if target is None else f"{metric.name}_distance_to_{target:g}"
    low, high = (0.0, 100.0) if percent else ("-Infinity", "Infinity")
    if target is not None:
        low = 0.0
        high = max(target, 100.0 - target) if percent else "Infinity"
    return {
        "metric_id": f"{column.evaluator}.{name}",
        "metric_name": name.replace("_", " "),
        **({"metric_unit": shown} if shown else {}),
        "metric_parameters": {"protocol": column.protocol, "estimator": metric.estimator},
        "lower_is_better": metric.direction.kind != "higher",
        "score_type": "continuous",
        "min_score": low,
        "max_score": high,
    }


def _spread(reader: RunReader, measured: Measured, metric: Metric) -> _Spread | None:
    """The standard error and the 95 % interval of a value; None where there are too few units."""
    if metric.needs_base:
        return None
    table = reader.items(measured.place)
    (change,) = ChangeReader(metric).changes([(table, table)])
    if change is None or len(change.units) < FEWEST_UNITS:
        return None
    variance = change.before.variance
    if variance is None or not math.isfinite(variance):
        return None
    value = change.before.value
    if change.flips is not None:  # a share of independent items
        interval = share_interval(value * change.items / 100.0, change.items)
    else:
        interval = t_interval(value, variance, len(change.units) - 1.0)
    return _Spread(math.sqrt(variance), interval)


def _model(reader: RunReader, cell: Cell, step: int) -> tuple[str, str]:
    """The name of a model, and an identifier of the form ``developer/model``."""
    base = _base_name(reader.index.spec.get("model"), cell.model)
    developer, _, model = base.rpartition("/")
    identifier = f"{_slug(developer)}/{_slug(model)}"
    if cell.is_base:
        return base, identifier
    method = cell.identity.without("model").title()
    return f"{base} debiased by {method}, step {step}", f"{identifier}--{_slug(method)}-{step}"


def _base_name(models: object, label: str) -> str:
    """What a model is called on a hub, if the spec says so; else its label."""
    for use in models if isinstance(models, list) else []:
        if isinstance(use, dict) and use.get("label") == label:
            config = use.get("config")
            identifier = config.get("id") if isinstance(config, dict) else None
            if isinstance(identifier, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", identifier):
                return identifier
    return label


def _path(run: str, cell: Cell, step: int, log: Json) -> str:
    developer, _, model = log["model_info"]["id"].partition("/")
    content = f"{run}\0{cell.identity!r}\0{step}\0{json.dumps(log, sort_keys=True)}"
    name = uuid.UUID(bytes=hashlib.sha256(content.encode()).digest()[:16], version=4)
    return f"data/{LIBRARY}/{developer}/{model}/{name}.json"


def _slug(text: str) -> str:
    """A text as a part of a path: letters, digits, ``.``, ``_`` and ``-``; begins with neither."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.")[:120] or "unknown"


def _seconds(created_at: str) -> int:
    """Unix time of a stored time; 0 if it cannot be read."""
    try:
        return int(datetime.fromisoformat(created_at).timestamp())
    except (ValueError, OverflowError, OSError):
        return 0


def _files(store: Store, options: ExportOptions) -> dict[str, bytes]:
    return {
        path: (json.dumps(log, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
        for path, log in evaluation_logs(store, options.organization).items()
    }


EVERY_EVAL_EVER = FolderFormat(
    "every-eval-ever",
    "a folder with a JSON file for each model, for the datastore of Every Eval Ever",
    _files,
)
