"""Stored items scored again: how far are the new scores from the stored ones, what is decided.

The unit of a value is found, not known: the evaluator is asked again with every log-probability
shifted by the same amount, and what a value moves by is what one nat a token is worth in it (1 for
a mean over tokens, n for a sum over n of them). So differences of all evaluators are in nats a
token, and no evaluator need say how it makes its values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from harness.lm.handle import LanguageModel
from harness.metrics import Item
from harness.planning.plan import MeasureTask
from harness.replay.recording import Recorder
from harness.replay.rerun import Rerun
from harness.types import Measurement

TOLERANCE = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 2e-1}
"""Largest difference, in nats a token, between a run's scores and the same text's run alone."""

HALF_SHIFT = 0.5
"""Nats by which log-probabilities are moved up and down to see what a value is made of."""

FIXED = 1e-5
"""A value that moves by a smaller share of itself is none of log-probabilities."""

DECIDING = ("percent", "percent_macro", "percent_balanced", "icat", "icat_micro")
"""Estimators over decisions, 0 or 1."""


@dataclass
class Agreement:
    """How the items of one evaluator and protocol compare, over all domains.

    Attributes:
        evaluator: its label.
        protocol: scorer or windows.
        items: ids of those compared.
        largest: largest difference of a score, in nats a token; of a value that is not made of
            log-probabilities, in its own unit.
        where: id of that item and name of that value.
        decided: ids of items that decide something.
        changed: ids of those of which a decision differs.
        missing: ids of items that the record does not have.
    """

    evaluator: str
    protocol: str
    items: set[str] = field(default_factory=set)
    largest: float = 0.0
    where: str = ""
    decided: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)

    def within(self, tolerance: float) -> bool:
        """Whether all items are there and no score differs by more."""
        return not self.missing and self.largest <= tolerance


def reproduce(
    run: Rerun,
    model: LanguageModel,
    tasks: Iterable[tuple[str, MeasureTask]],
    sample: int | None,
    *,
    alone: bool,
) -> list[Agreement]:
    """Score a sample of stored items again.

    Args:
        run: what was stored.
        model: the one that the records are of.
        tasks: keys of records, each with its task.
        sample: about so many items a domain; None: all.
        alone: each text by itself through the whole model, with nothing shared or kept; else as
            a run does.

    Raises:
        HarnessError: an evaluator's data cannot be had, or the model cannot score texts alone.
    """
    found: dict[tuple[str, str], Agreement] = {}
    for key, task in tasks:
        record = run.store.record(key)
        assert record is not None
        with model.alone() if alone else nullcontext():
            now, up, down = _thrice(run, model, task, sample)
        stored = {(m.domain, m.protocol): m for m in record.measurements}
        for measurements in zip(now, up, down, strict=True):
            own = measurements[0]
            place = task.evaluator.label, own.protocol
            agreement = found.setdefault(place, Agreement(*place))
            _compare(agreement, stored.get((own.domain, own.protocol)), measurements)
    return list(found.values())


def _thrice(
    run: Rerun, model: LanguageModel, task: MeasureTask, sample: int | None
) -> list[tuple[Measurement, ...]]:
    """Measurements as they are, and with all log-probabilities moved up and down."""
    model.forget_scores()
    recorder = Recorder(model)
    answers = []
    for shift in (0.0, HALF_SHIFT, -HALF_SHIFT):
        recorder.shift = shift
        answers.append(run.measure(task, recorder, sample))
    return answers


def _compare(
    agreement: Agreement, stored: Measurement | None, measured: Sequence[Measurement]
) -> None:
    """Add a measurement's items; ``measured``: as they are, moved up, moved down."""
    own = measured[0]
    before = {item.id: item for item in stored.items} if stored else {}
    decisions = {n for m in own.metrics if m.estimator in DECIDING for n in m.of}
    digits = _digits(before.values())
    for item, up, down in zip(*(m.items for m in measured), strict=True):
        agreement.items.add(item.id)
        old = before.get(item.id)
        if old is None or old.values.keys() != item.values.keys():
            agreement.missing.add(item.id)
            continue
        for name, value in item.values.items():
            if name in decisions:
                agreement.decided.add(item.id)
                if value != old.values[name]:
                    agreement.changed.add(item.id)
                continue
            away = max(0.0, abs(value - old.values[name]) - digits.get(name, 0.0))
            worth = abs(up.values[name] - down.values[name]) / (2 * HALF_SHIFT)
            if worth > FIXED * abs(value):
                away /= worth
            if not away <= agreement.largest:  # or not a number
                agreement.largest = away if math.isfinite(away) else math.inf
                agreement.where = f"{item.id}, {name}"


def _digits(items: Iterable[Item]) -> dict[str, float]:
    """The last digit of values that are stored rounded, by name: 0.001 where all end there.

    A hair's breadth in front of rounding can be a whole last digit behind it.
    """
    columns: dict[str, list[float]] = {}
    for item in items:
        for name, value in item.values.items():
            columns.setdefault(name, []).append(value)
    return dict(_last_digits(columns))


def _last_digits(columns: dict[str, list[float]]) -> Iterator[tuple[str, float]]:
    for name, values in columns.items():
        fits = (d for d in range(7) if all(round(value, d) == value for value in values))
        digits = next(fits, 0)
        if digits >= 3:  # fewer are whole numbers and made-up values, not rounded scores
            yield name, 10.0**-digits
