"""One cell of a transfer matrix: a metric of a debiased model, compared with the base."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from harness.analysis.changes import Change, Side
from harness.analysis.corrections import ALPHA
from harness.analysis.effects import (
    BASE,
    Block,
    Distance,
    Effect,
    Estimated,
    combined,
    nearer,
)
from harness.analysis.interval import Interval
from harness.analysis.stats import (
    FEWEST_FITS,
    FEWEST_UNITS,
    FitSummary,
    McNemar,
    detectable_change,
    detectable_share_change,
    mcnemar_p,
    share_change_interval,
    t_interval,
    t_quantile,
)
from harness.analysis.tables import Evidence, Mark
from harness.metrics import Metric, Role
from harness.once import cached_property
from harness.storage.reader import Column

Status = Literal["measured", "failed", "missing"]

UNDEFINED = (
    "the base is not significantly different from the ideal, so a change is neither better nor "
    "worse"
)
PASSED = "moved past the ideal, and is neither significantly nearer to it nor further from it"


def few_in_part(units: int) -> str:
    """Why there is no interval, test or mark of a metric that combines halves."""
    return f"{units} {'unit' if units == 1 else 'units'} in one half: too few"


@dataclass(frozen=True)
class Half:
    """A part of a score before and after: a stratum, or the balanced mean of the strata."""

    name: str
    base: Metric | None
    after: Metric
    compared: Change | None = field(default=None, repr=False, compare=False)
    """Influence of the units; only the balanced mean has it."""

    @property
    def change(self) -> float | None:
        """After minus before."""
        if self.base is None or self.base.value is None or self.after.value is None:
            return None
        return self.after.value - self.base.value

    @cached_property
    def interval(self) -> Interval | None:
        """95 % interval of the change over items; only the balanced mean has one."""
        if self.compared is None:
            return None
        return change_effect(("",), (self.compared,)).interval


@dataclass(frozen=True)
class Entry:
    """One metric of a method compared with the base: one fit, or several that differ in the seed.

    Attributes:
        column: what is measured.
        status: whether it was measured; `reason` says why not.
        base: the metric of the base model.
        after: the metric of the first fit.
        value: of the debiased model, the mean over fits.
        fits: names of the fits that are measured.
        spread: of the change over fits, on the same items; None for one fit.
        changes: of each fit, on the items that it shares with the base.
        variance: of the change, with its degrees of freedom; None: too few units.
        p: uncorrected p-value of "no change"; None: not tested.
        adjusted_p: corrected over the family of the metric's role.
        level: the largest uncorrected p-value that is significant in that family.
        family: how many tests the family has.
        halves: the strata of a paired suite (stereo, antistereo); empty where there are none.
        balanced: the unweighted mean of the halves, with the interval of its change.
    """

    column: Column
    status: Status
    reason: str | None = None
    base: Metric | None = None
    after: Metric | None = None
    value: float | None = None
    fits: tuple[str, ...] = ()
    spread: FitSummary | None = None
    changes: tuple[Change, ...] = field(default=(), repr=False, compare=False)
    variance: tuple[float, float] | None = None
    p: float | None = None
    adjusted_p: float | None = None
    level: float = ALPHA
    family: int = 0
    halves: tuple[Half, ...] = ()
    balanced: Half | None = None

    # -- the change ----------------------------------------------------------------------------

    @property
    def change(self) -> float | None:
        """After minus before."""
        if self.base is None or self.base.value is None or self.value is None:
            return None
        return self.value - self.base.value

    @property
    def shared(self) -> int:
        """Items that the base and the debiased models share."""
        return min((change.items for change in self.changes), default=0)

    @property
    def units(self) -> int:
        """Independent units (items, clusters or windows) behind the change."""
        return min((len(change.units) for change in self.changes), default=0)

    @property
    def few(self) -> str:
        """Why a part of the metric cannot be judged, in words; empty where every part can."""
        known = [change.few for change in self.changes if change.few is not None]
        return few_in_part(min(known)) if known else ""

    @cached_property
    def exact(self) -> bool:
        """Whether every item has the same values as in the base, as of a model that is the same."""
        return bool(self.changes) and all(change.same for change in self.changes)

    @cached_property
    def test(self) -> McNemar | None:
        """Flips of the decisions of one fit over independent items, with McNemar's exact test."""
        if len(self.changes) != 1 or self.changes[0].flips is None:
            return None
        gained, lost = self.changes[0].flips
        return McNemar(gained, lost, mcnemar_p(gained, lost))

    @cached_property
    def effect(self) -> Effect | None:
        """The change with the influence of every unit on every fit."""
        return change_effect(self.fits, self.changes) if self.changes else None

    @cached_property
    def interval(self) -> Interval | None:
        """95 % interval of the change, over items, or over items and fits (see `covers`)."""
        if self.exact or not self.changes or self.units < FEWEST_UNITS:
            return None
        if self.test is not None:
            return share_change_interval(self.test.gained, self.test.lost, self.shared)
        if self.variance is None or self.variance[0] <= 0:
            return None
        change = math.fsum(c.value for c in self.changes) / len(self.changes)
        return t_interval(change, *self.variance)

    @property
    def covers(self) -> str:
        """What is random in the interval: ``items``, or ``items and fits``."""
        if len(self.fits) < FEWEST_FITS or self.effect is None:
            return "items"
        return self.effect.covers

    @property
    def evidence(self) -> Evidence | None:
        """Whether the change can be chance; None where there is no change to judge."""
        if self.change is None:
            return None
        if self.exact:
            return "exact"
        if self.adjusted_p is None:
            return "untested"
        return "significant" if self.adjusted_p < ALPHA else "not significant"

    @property
    def significant(self) -> bool:
        """Whether the corrected p-value of the change is below 0.05."""
        return self.adjusted_p is not None and self.adjusted_p < ALPHA

    @cached_property
    def detectable(self) -> float | None:
        """The change that this cell's test finds in four of five cases, at the corrected level.

        From the run itself: the share of items that flipped, or the variance of the change.
        """
        if self.p is None or self.variance is None:
            return None
        if self.test is not None:
            flipped = (self.test.gained + self.test.lost) / self.shared
            if flipped > 0:
                return detectable_share_change(self.shared, flipped, alpha=self.level)
            return None
        variance, df = self.variance
        return detectable_change(variance, df, alpha=self.level) if variance > 0 else None

    # -- the distance to the ideal -------------------------------------------------------------

    @property
    def role(self) -> Role:
        """What the metric is for."""
        known = self.after or self.base
        return known.role or "diagnostic" if known is not None else "diagnostic"

    @cached_property
    def towards_target(self) -> bool:
        """Whether the metric has a target, as bias scores do."""
        known = self.after or self.base
        return known is not None and known.direction.kind == "target"

    @property
    def no_ideal(self) -> bool:
        """Whether no value of the metric is better than another."""
        return self._direction == "none"

    @cached_property
    def defined(self) -> bool:
        """Whether a change can be called better or worse.

        For a metric with a target: whether the 95 % interval of the base excludes the target.
        """
        if self.no_ideal:
            return False
        if not self.towards_target:
            return self.change is not None
        return bool(self.changes) and excludes_ideal(self.changes[0])

    @cached_property
    def base_distance(self) -> Distance | None:
        """Distance of the base to the ideal; None for a metric without a target."""
        if not self.changes or not self.towards_target:
            return None
        first = self.changes[0]
        return distance_of(BASE, (first.before,), first)

    @cached_property
    def distance(self) -> Distance | None:
        """Distance of the debiased models to the ideal; None for a metric without a target."""
        if not self.changes or not self.towards_target:
            return None
        return distance_of(self.fits, [change.after for change in self.changes], self.changes[0])

    @cached_property
    def improved(self) -> Estimated | None:
        """How much nearer to the ideal than the base; None where that is undefined."""
        if self.change is None or not self.defined:
            return None
        if self.exact:
            return Estimated(0.0)
        if not self.towards_target:
            sign = 1.0 if self._direction == "higher" else -1.0
            interval = self.interval
            if interval is not None and sign < 0:
                interval = Interval(-interval.high, -interval.low)
            return Estimated(sign * self.change, interval, self.covers)
        if self.base_distance is None or self.distance is None:
            return None
        return nearer(self.base_distance, self.distance, selected=True)

    @cached_property
    def improvement(self) -> float | None:
        """How much nearer to the ideal, in the metric's unit; negative is harm; None: undefined.

        The value of `improved`, without its interval.
        """
        if self.change is None or not self.defined:
            return None
        if self.exact:
            return 0.0
        if not self.towards_target:
            return self.change if self._direction == "higher" else -self.change
        before, after = self._squares()
        if before is None or after is None:
            return None
        gain = math.sqrt(max(before, 0.0)) - math.sqrt(max(after, 0.0))
        return 0.0 if close_squares(before, after) else gain

    @property
    def improvement_interval(self) -> Interval | None:
        """95 % interval of `improvement`."""
        return self.improved.interval if self.improved is not None else None

    @property
    def _direction(self) -> str:
        known = self.after or self.base
        return known.direction.kind if known is not None else ""

    @cached_property
    def mark(self) -> Mark:
        """Direction of the change, as tables mark it."""
        if not self.change or self.exact or self.no_ideal or self.few:
            return "same"
        if not self.towards_target:
            return "better" if (self.change > 0) == (self._direction == "higher") else "worse"
        if not self.defined or self.passed:
            return "undefined"
        before, after = self._squares()
        if before is None or after is None or close_squares(before, after):
            return "same"
        return "better" if after < before else "worse"

    def _squares(self) -> tuple[float | None, float | None]:
        """The squared distances before and after, the latter as the mean over fits."""
        if not self.changes:
            return None, None
        after = [c.after.square for c in self.changes if c.after.square is not None]
        if len(after) < len(self.changes):
            return None, None
        return self.changes[0].before.square, math.fsum(after) / len(after)

    @cached_property
    def passed(self) -> bool:
        """Whether the score moved past the ideal, and may be nearer or further now."""
        known = self.after or self.base
        if known is None or known.direction.target is None or self.base is None:
            return False
        if self.base.value is None or self.value is None:
            return False
        target = known.direction.target
        if (self.base.value - target) * (self.value - target) >= 0:
            return False
        interval = self.improvement_interval
        return interval is None or not interval.excludes(0.0)

    @property
    def note(self) -> str:
        """Why the cell has no direction, test or value; empty where there is nothing to say."""
        if self.status != "measured":
            return self.reason or ""
        if self.change is None:
            return "the metric has no value on these items"
        if self.few and not self.exact:
            return self.few
        if self.mark == "undefined":
            return UNDEFINED if not self.defined else PASSED
        if self.evidence == "untested" and self.units < FEWEST_UNITS:
            return f"{self.units} independent units are too few for a test"
        return ""

    @cached_property
    def warning(self) -> str | None:
        """One line where the score moved and the balanced mean of its halves did not."""
        half, change, interval = self.balanced, self.change, self.interval
        if half is None or change is None or half.change is None or interval is None:
            return None
        few = half.compared.few if half.compared is not None else None
        if few is not None and interval.excludes(0.0):
            return f"the score moved by {change:+.2f}; of the halves, {few_in_part(few)}"
        if not interval.excludes(0.0) or half.interval is None or half.interval.excludes(0.0):
            return None
        low, high = half.interval
        return (
            f"the score moved by {change:+.2f} but the balanced mean of its halves by "
            f"{half.change:+.2f} [{low:+.2f}, {high:+.2f}]: group words may only have become rarer"
        )


def change_effect(fits: Sequence[str], changes: Sequence[Change]) -> Effect:
    """The mean change over fits, with the influence of every unit."""
    return _effect(
        fits, changes, [change.value for change in changes], [c.influences for c in changes]
    )


def _effect(
    fits: Sequence[str],
    changes: Sequence[Change],
    values: Sequence[float],
    influences: Sequence[np.ndarray | None],
) -> Effect:
    units = changes[0].units
    if all(change.units == units for change in changes):
        known = [part for part in influences if part is not None]
        stacked = np.stack(known) if len(known) == len(values) else None
        return Effect((Block(tuple(fits), units, np.array(values, dtype=float), stacked),))
    parts = [
        Block(
            (fit,),
            change.units,
            np.array([value]),
            None if influence is None else influence[None, :],
        )
        for fit, change, value, influence in zip(fits, changes, values, influences, strict=True)
    ]
    return combined([(1.0 / len(parts), Effect((part,))) for part in parts])


def close_squares(before: float, after: float) -> bool:
    """Whether two squared distances differ by rounding only, as those of mirrored scores do."""
    return abs(before - after) <= 1e-9 * max(abs(before), abs(after))


def excludes_ideal(change: Change) -> bool:
    """Whether the 95 % interval of the base over the shared units excludes the target."""
    target, variance = change.direction.target, change.before.variance
    if target is None or variance is None or len(change.units) < FEWEST_UNITS:
        return False
    if variance == 0:
        return change.before.value != target
    reach = t_quantile(len(change.units) - 1.0) * math.sqrt(variance)
    return abs(change.before.value - target) > reach


def distance_of(fits: Sequence[str], sides: Sequence[Side], change: Change) -> Distance | None:
    """Distance of models to the ideal; without an interval where there are too few units."""
    target = change.direction.target
    if target is None:
        return None
    like = [change] * len(sides)
    variances = [side.variance for side in sides if side.variance is not None]
    squares = [side.square for side in sides if side.square is not None]
    if len(squares) < len(sides) or len(variances) < len(sides):
        plain = [(side.value - target) ** 2 for side in sides]
        return Distance(_effect(fits, like, plain, [None] * len(sides)), {})
    effect = _effect(fits, like, squares, [side.square_influences for side in sides])
    noise = math.fsum(variances) / len(variances)
    signed = _effect(
        fits, like, [side.value - target for side in sides], [side.influences for side in sides]
    )
    return Distance(effect, {change.units: noise}, signed)
