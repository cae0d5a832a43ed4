"""Stored items scored again: how far the new scores are from the stored ones, what is decided.

The evaluator declares what each value is (`harness.quantities`), so the differences of all
evaluators are compared in nats a token: a sum over a text is divided by the text's tokens, a total
by its own count, and probabilities are compared by their logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field

from harness.lm.handle import LanguageModel
from harness.metrics import Item
from harness.planning.plan import MeasureTask
from harness.quantities import Decision, LogProb, Nats, Probability, Quantity
from harness.replay.rerun import Rerun
from harness.types import Measurement

TOLERANCE = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 2e-1}
"""Largest difference, in nats a token, between a run's scores and the same text's run alone."""

Texts = Mapping[str, Mapping[str, str]]
"""Texts by item id and role."""


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
    remembered: Mapping[str, object],
) -> list[Agreement]:
    """Score a sample of stored items again.

    Args:
        run: what was stored.
        model: the one that the records are of.
        tasks: keys of records, each with its task.
        sample: about so many items a domain; None: all.
        alone: each text by itself through the whole model, with nothing shared or kept; else as
            a run does.
        remembered: what the evaluators know of the base model, by label; see `Rerun.remembered`.

    Raises:
        HarnessError: an evaluator's data cannot be read, or the model cannot score texts alone.
    """
    agreements: dict[tuple[str, str], Agreement] = {}
    for key, task in tasks:
        record = run.store.record(key)
        assert record is not None
        model.forget_scores()
        with model.alone() if alone else nullcontext():
            measured = run.measure(task, model, sample, remembered)
        texts = {item.id: item.texts for item in run.listed(task, sample)}
        stored = {(m.domain, m.protocol): m for m in record.measurements}
        for measurement in measured:
            place = task.evaluator.label, measurement.protocol
            agreement = agreements.setdefault(place, Agreement(*place))
            before = stored.get((measurement.domain, measurement.protocol))
            _compare(agreement, before, measurement, model, texts)
    return list(agreements.values())


def _compare(
    agreement: Agreement,
    stored: Measurement | None,
    measured: Measurement,
    model: LanguageModel,
    texts: Texts,
) -> None:
    """Add a measurement's items to an agreement."""
    before = {item.id: item for item in stored.items} if stored else {}
    for item in measured.items:
        agreement.items.add(item.id)
        old = before.get(item.id)
        if old is None or not old.values.keys() <= item.values.keys():
            agreement.missing.add(item.id)
            continue
        for name, value in old.values.items():
            quantity = measured.quantities.get(name)
            if isinstance(quantity, Decision):
                agreement.decided.add(item.id)
                if item.values[name] != value:
                    agreement.changed.add(item.id)
                continue
            text = texts.get(item.id, {}).get(name)
            away = _difference(quantity, value, item, name, model, text)
            if not away <= agreement.largest:  # or not a number
                agreement.largest = away if math.isfinite(away) else math.inf
                agreement.where = f"{item.id}, {name}"


def _difference(
    quantity: Quantity | None,
    before: float,
    item: Item,
    name: str,
    model: LanguageModel,
    text: str | None,
) -> float:
    """How far a value is from the stored one: nats a token, else in its own unit."""
    after = item.values[name]
    away = abs(after - before)
    if isinstance(quantity, Probability):
        both_positive = min(before, after) > 0
        return abs(math.log(after) - math.log(before)) if both_positive else away
    if isinstance(quantity, Nats):
        return away / max(1.0, item.values[quantity.tokens])
    if isinstance(quantity, LogProb):
        if quantity.digits is not None:  # a tiny difference can change the last digit
            away = max(0.0, away - 10.0**-quantity.digits)
        if quantity.per == "text" and text is not None:
            away /= max(1, len(model.encode(text)))
    return away
