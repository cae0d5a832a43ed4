"""How much nearer to their ideals some scores came: the mean over cells, and net of a control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.effects import Distance, Effect, Estimated, combined, mean_distance, nearer
from harness.analysis.entry import Entry
from harness.analysis.interval import Interval
from harness.analysis.stats import ratio_interval
from harness.once import cached_property

UNDEFINED = "the base is not significantly different from the ideal"


@dataclass(frozen=True)
class Gain:
    """Scores before and after, as distances to their ideals.

    Attributes:
        before: of the base model.
        after: of the debiased models.
    """

    before: Distance
    after: Distance

    @property
    def defined(self) -> bool:
        """Whether the base differs significantly from the ideal, so that nearer has a meaning."""
        return self.before.distinguishable

    @cached_property
    def estimated(self) -> Estimated | None:
        """How much nearer; None where that is undefined."""
        return nearer(self.before, self.after, selected=True) if self.defined else None

    @cached_property
    def effect(self) -> Effect:
        """Influences on the gain."""
        return combined([(1.0, self.before.points), (-1.0, self.after.points)])


def gain_of(entries: Sequence[Entry]) -> Gain | None:
    """The gain over entries, of the metrics with a target that are measured; None without any."""
    before = [e.base_distance for e in entries if e.base_distance and e.distance]
    after = [e.distance for e in entries if e.base_distance and e.distance]
    if not before:
        return None
    return Gain(
        mean_distance([d for d in before if d is not None]),
        mean_distance([d for d in after if d is not None]),
    )


def net_gain(entries: Sequence[Entry], controls: Sequence[Entry]) -> Estimated | None:
    """How much nearer to the ideal some scores are than those of their controls.

    Args:
        entries: of a method.
        controls: the same columns of the control, in the same order.

    Returns:
        None where a score of either is missing. The base cancels, so this is defined even where
        the base is not significantly different from the ideal, as long as the control is.
    """
    mine = [e.distance for e in entries if e.distance is not None]
    theirs = [e.distance for e in controls if e.distance is not None]
    if not mine or len(mine) < len(entries) or len(theirs) < len(controls):
        return None
    return nearer(mean_distance(theirs), mean_distance(mine))


@dataclass(frozen=True)
class Ratio:
    """A ratio of gains, or the reason why it is undefined.

    Attributes:
        value: the ratio; None where it is undefined.
        interval: 95 % interval; None where it is undefined or unbounded.
        reason: why there is no value, or no interval.
    """

    value: float | None
    interval: Interval | None
    reason: str | None


def ratio(on_target: Gain | None, on_source: Gain | None) -> Ratio:
    """Gain on other domains over that on the source, with Fieller's interval.

    Undefined unless the gain on the source is significant, which is the condition for a bounded
    interval.
    """
    if on_source is None:
        return Ratio(None, None, "the source is not measured")
    if on_target is None:
        return Ratio(None, None, "no other domain is measured")
    top, bottom = on_target.estimated, on_source.estimated
    if bottom is None:
        return Ratio(None, None, f"on the source, {UNDEFINED}")
    if top is None:
        return Ratio(None, None, f"on other domains, {UNDEFINED}")
    if bottom.value < 0:
        return Ratio(None, None, "the source got worse")
    if bottom.interval is None or top.interval is None:
        return Ratio(None, None, "too few items to tell that the source improved")
    variances = (
        on_target.effect.variance,
        on_source.effect.variance,
        combined([(1.0, on_target.effect), (1.0, on_source.effect)]).variance,
    )
    if bottom.interval.low <= 0 or bottom.value == 0 or None in variances:
        return Ratio(None, None, "the source may not have improved at all")
    (one, two, both) = (float(v.value) for v in variances if v is not None)
    df = min(float(v.df) for v in variances if v is not None)
    interval = ratio_interval(top.value, bottom.value, one, two, (both - one - two) / 2.0, df)
    return Ratio(
        top.value / bottom.value, interval, None if interval else "the interval is unbounded"
    )
