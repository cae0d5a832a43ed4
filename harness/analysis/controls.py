"""Effects net of a control: what a method does beyond what the control does on the same items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.interval import Interval
from harness.analysis.matrix import Entry, Row, seed_summary
from harness.analysis.stats import SeedSummary, percentile_interval
from harness.analysis.transfer import Estimated
from harness.arrays import Floats
from harness.errors import StoreError, did_you_mean
from harness.storage.cells import method_labels, shared_axes
from harness.types import ControlKind

PREFERENCE: tuple[ControlKind, ...] = ("masks", "texts", "change", "identity")
"""Which control is subtracted unless another is asked for: the one most like the method."""


@dataclass(frozen=True)
class Net:
    """One entry's improvement minus that of its control, in points.

    Attributes:
        control: title of the control's cell.
        improvement: the method's minus the control's; above 0 the method does more.
        interval: 95 % over items, paired: both on the same resampled items.
        draws: bootstrap values, shape ``(draws,)``, where there are any.
    """

    control: str
    improvement: float
    interval: Interval | None
    draws: Floats | None


@dataclass(frozen=True)
class MeanNet:
    """Mean improvement of a method minus that of a control, over all its bias scores.

    Attributes:
        control: name of the control's method.
        effect: in points, with the interval over items; both on the same resampled items.
        over_seeds: the same over seeds, each minus the control of its own seed; None for one.
    """

    control: str
    effect: Estimated
    over_seeds: SeedSummary | None


def control_of(row: Row, rows: Sequence[Row], label: str | None = None) -> Row | None:
    """The control of a row: of the same model, the kind most like it, as alike as possible.

    Args:
        row: of a method.
        rows: all rows of the matrix.
        label: take the control of this debiaser, masker or passage label instead.
    """
    same = [other for other in rows if other is not row and other.cell.model == row.cell.model]
    if label is not None:
        if label in method_labels(row.cell):
            return None
        same = [other for other in same if label in method_labels(other.cell)]
        return max(same, key=lambda other: _likeness(row, other), default=None)
    for kind in PREFERENCE:
        of_kind = [other for other in same if other.cell.control_kind == kind and _fits(row, other)]
        if of_kind:
            return max(of_kind, key=lambda other: _likeness(row, other))
    return None


def alike(row: Row, control: Sequence[Row]) -> Row | None:
    """The row of one control that is most like a row; None where it is no control of that method.

    Args:
        row: of a method.
        control: the rows of one control, over its sources and seeds.
    """
    fit = [other for other in control if other.cell.model == row.cell.model and _fits(row, other)]
    return max(fit, key=lambda other: _likeness(row, other), default=None)


def _fits(row: Row, other: Row) -> bool:
    """Controls of masks or texts are the same method: only its masks or texts may differ."""
    same = other.cell.debiaser == row.cell.debiaser
    return same if other.cell.control_kind in ("masks", "texts") else True


def mean_net(
    bias: Sequence[tuple[Row, Entry]], partners: Mapping[int, Row | None], name: str
) -> MeanNet | None:
    """Mean effect net of controls; None unless every entry has one.

    Args:
        bias: entries of a method, with their rows.
        partners: the control of each row, by the row's `id`.
        name: what to call the control.
    """
    effects: list[tuple[Row, float]] = []
    draws: list[Floats] = []
    for row, entry in bias:
        partner = partners.get(id(row))
        own = net(entry, partner) if partner is not None else None
        if own is None:
            return None
        effects.append((row, own.improvement))
        if own.draws is not None:
            draws.append(own.draws)
    if not effects:
        return None
    whole = len(draws) == len(effects)
    interval = percentile_interval(np.mean(draws, axis=0)) if whole else None
    mean = sum(value for _, value in effects) / len(effects)
    return MeanNet(name, Estimated(mean, interval), seed_summary(effects))


def check_control(label: str, rows: Sequence[Row]) -> None:
    """Refuse a control that no row has.

    Raises:
        StoreError: says which labels there are.
    """
    known = {name for row in rows for name in method_labels(row.cell)}
    if label not in known:
        raise StoreError(f"no run here has a control '{label}'{did_you_mean(label, known)}")


def net(entry: Entry, control: Row) -> Net | None:
    """An entry net of the same column of its control; None where either has no value."""
    other = control.entry(entry.column)
    if other is None or entry.improvement is None or other.improvement is None:
        return None
    drawn: Floats | None = None
    if entry.draws is not None and other.draws is not None:
        drawn = entry.draws.improvement - other.draws.improvement
    return Net(
        control.cell.title(),
        entry.improvement - other.improvement,
        percentile_interval(drawn) if drawn is not None else None,
        drawn,
    )


def _likeness(row: Row, other: Row) -> tuple[int, int]:
    shared = shared_axes(row.cell, other.cell)
    return 10 * ("source" in shared) + len(shared), -abs(row.step - other.step)
