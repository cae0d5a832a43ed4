"""How long a plan will take, from the times that stored results took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median

from harness.errors import StoreError
from harness.planning.plan import Fit, Plan
from harness.storage.cells import Cell
from harness.storage.store import Store

MOST_RECORDS = 200
"""Records that are read of a run; its times hardly differ."""


class Rates:
    """Median times of stored results.

    Attributes:
        measure: seconds of a measurement, by the name of the evaluator plugin.
        fit: seconds of a step of a fit, by the name of the debiaser plugin.
    """

    def __init__(self, stores: Iterator[Store]) -> None:
        measured: dict[str, list[float]] = defaultdict(list)
        fitted: dict[str, list[float]] = defaultdict(list)
        for store in stores:
            for evaluator, debiaser, step, seconds in _times(store):
                measured[evaluator].append(seconds.get("measure", 0.0))
                if debiaser is not None and step and "fit" in seconds:
                    fitted[debiaser].append(seconds["fit"] / step)
        self.measure = {name: median(times) for name, times in measured.items()}
        self.fit = {name: median(times) for name, times in fitted.items()}


def estimated_seconds(plan: Plan, missing: set[str], store: Store) -> float | None:
    """Estimate how long the missing tasks of a plan take, on one worker.

    The times are those of the run's own results, or else of the runs beside it. They were taken on
    whatever machine made those results.

    Args:
        plan: what is to be done.
        missing: keys of the tasks that have no result.
        store: the run's folder, which need not exist.

    Returns:
        Seconds; None if no stored result says how long an evaluator or method takes.
    """
    rates = Rates(iter([store]))
    if not rates.measure:
        rates = Rates(_beside(store.folder))
    total = 0.0
    for model in plan.models:
        waiting: list[Fit] = [
            fit for fit in model.fits if any(task.key in missing for task in fit.tasks)
        ]
        for fit in waiting:
            if fit.debiaser.use not in rates.fit:
                return None
            total += rates.fit[fit.debiaser.use] * fit.steps[-1]
    tasks = plan.tasks()
    for key in missing:
        task = tasks[key]
        if task.evaluator.use not in rates.measure:
            return None
        total += rates.measure[task.evaluator.use]
    return total


def _beside(folder: Path) -> Iterator[Store]:
    if folder.parent.is_dir():
        for index in sorted(folder.parent.glob("*/index.json"))[:10]:
            yield Store(index.parent)


def _times(store: Store) -> Iterator[tuple[str, str | None, int, dict[str, float]]]:
    """Evaluator, debiaser, step and seconds of some results of a run."""
    try:
        cells: tuple[Cell, ...] = store.index().cells
    except StoreError:
        return
    seen: set[str] = set()
    for cell in cells:
        for ref in cell.measures:
            if ref.key in seen or len(seen) >= MOST_RECORDS:
                continue
            seen.add(ref.key)
            try:
                record = store.record(ref.key, items=False)
            except StoreError:
                continue
            if record is not None:
                evaluator = _name(record.inputs, "evaluator") or ""
                yield evaluator, _name(record.inputs, "debiaser"), ref.step, record.seconds


def _name(inputs: Mapping[str, object], part: str) -> str | None:
    value = inputs.get(part)
    return str(value["name"]) if isinstance(value, dict) and "name" in value else None
