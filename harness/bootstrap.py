"""The paired bootstrap of any metric: one set of resampled units for all that is compared.

Every estimator of `harness.metrics` is a function of sums over items. So a bootstrap sample is a
row of counts (how often each unit was drawn), all samples of all models are one matrix product,
and base, method and control are always recomputed on the *same* resampled items. The unit is
the item's cluster (its term or template) where it has one, else the item, be it a pair, a text
or a window of text.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from harness.itemtable import ItemTable, aligned
from harness.metrics import Direction, Metric
from harness.stats import DRAWS, Floats, Interval, percentile_interval, resample

Memo = dict[tuple[int, bytes], "Sums"]

_NO_CLUSTER = "\0none"


class Sums(NamedTuple):
    """A metric's items, summed over resampling units.

    Attributes:
        units: name of each unit.
        sums: shape ``(units, components)``.
        value: from summed components, shape ``(…, components)``, to the metric, shape ``(…)``;
            nan where it has no value.
        items: how many items there are.
    """

    units: tuple[str, ...]
    sums: Floats
    value: Callable[[Floats], Floats]
    items: int


class Draws(NamedTuple):
    """Bootstrap values of one metric, before and after, on the same resampled items.

    Attributes:
        before: shape ``(draws,)``, of the base model.
        after: shape ``(draws,)``, of the debiased one.
        items: items that both were measured on.
        units: clusters, or items without one, that were resampled.
        direction: of the metric.
    """

    before: Floats
    after: Floats
    items: int
    units: int
    direction: Direction

    @property
    def change(self) -> Floats:
        """After minus before, shape ``(draws,)``."""
        return self.after - self.before

    @property
    def improvement(self) -> Floats:
        """How much nearer to the ideal, shape ``(draws,)``."""
        return distance(self.direction, self.before) - distance(self.direction, self.after)

    def interval(self) -> Interval | None:
        """Interval of the change; None for fewer than two units."""
        return percentile_interval(self.change) if self.units > 1 else None

    def improvement_interval(self) -> Interval | None:
        """Interval of the improvement; None for fewer than two units."""
        return percentile_interval(self.improvement) if self.units > 1 else None


class Resampler:
    """Draws bootstrap samples; the same units always get the same samples.

    Args:
        seed: of all samples.
        draws: how many.
    """

    def __init__(self, seed: int = 0, draws: int = DRAWS) -> None:
        self._seed = seed
        self._draws = draws
        self._weights: dict[tuple[str, ...], Floats] = {}

    def weights(self, units: tuple[str, ...]) -> Floats:
        """How often each unit is in each sample, shape ``(draws, units)``.

        Seeded by the units' names: independent for different suites, the same for one suite
        whatever else is in the table.
        """
        if units not in self._weights:
            name = zlib.crc32("\n".join(units).encode())
            rng = np.random.default_rng([self._seed, name])
            self._weights[units] = resample(len(units), rng, self._draws)
        return self._weights[units]

    def paired(
        self, metric: Metric, pairs: Sequence[tuple[ItemTable, ItemTable]]
    ) -> list[Draws | None]:
        """Resample one metric of several pairs (before, after), all in one product.

        None where a pair shares fewer than two units or the metric has no value on them.
        """
        memo: Memo = {}
        prepared = [paired_sums(metric, before, after, memo) for before, after in pairs]
        groups: dict[tuple[str, ...], list[int]] = {}
        for i, own in enumerate(prepared):
            if own is not None and len(own[0].units) > 1:
                groups.setdefault(own[0].units, []).append(i)
        found: list[Draws | None] = [None] * len(pairs)
        for units, members in groups.items():
            flat: dict[int, Floats] = {}  # each table once, however many pairs it is in
            both = {i: prepared[i] for i in members}
            for own in both.values():
                assert own is not None
                for side in own:
                    flat.setdefault(id(side.sums), side.sums)
            drawn = self.weights(units) @ np.concatenate(list(flat.values()), axis=1)
            width = next(iter(flat.values())).shape[1]
            at = {key: k * width for k, key in enumerate(flat)}
            values: dict[int, Floats] = {}
            for i, own in both.items():
                assert own is not None
                for side in own:
                    key = id(side.sums)
                    if key not in values:
                        values[key] = side.value(drawn[:, at[key] : at[key] + width])
                old, new = own
                found[i] = Draws(
                    values[id(old.sums)],
                    values[id(new.sums)],
                    new.items,
                    len(units),
                    metric.direction,
                )
        return found


def paired_sums(
    metric: Metric, before: ItemTable, after: ItemTable, memo: Memo | None = None
) -> tuple[Sums, Sums] | None:
    """Sums of both sides over the items that both have and that carry the metric's values.

    Args:
        metric: whose sums.
        before: items of the one side.
        after: items of the other; clusters and strata are read here.
        memo: sums made before, so that a base shared by many cells is summed once.
    """
    old_at, new_at = aligned(before, after)
    if not new_at:
        return None
    old, new = before.columns(metric.of)[old_at], after.columns(metric.of)[new_at]
    used = ~(np.isnan(old).any(axis=1) | np.isnan(new).any(axis=1))
    if metric.stratum is not None:
        used &= np.array([after.strata[j] == metric.stratum for j in new_at])
    if not used.any():
        return None
    made: Memo = {} if memo is None else memo
    sides: list[Sums] = []
    for table, at, values in ((before, old_at, old), (after, new_at, new)):
        kept = np.array(at)[used]
        key = (id(table), kept.tobytes())
        if key not in made:
            made[key] = sums_of(
                metric,
                values[used],
                [table.ids[k] for k in kept],
                [table.clusters[k] for k in kept],
                [table.strata[k] or "" for k in kept],
            )
        sides.append(made[key])
    return sides[0], sides[1]


def sums_of(
    metric: Metric,
    values: Floats,
    ids: Sequence[str],
    clusters: Sequence[str | None],
    strata: Sequence[str],
) -> Sums:
    """Sum the components of a metric over resampling units.

    Args:
        metric: says which estimator.
        values: shape ``(items, names in metric.of)``.
        ids: of the items.
        clusters: of the items.
        strata: of the items; ``""`` where there is none.
    """
    macro = metric.estimator in ("percent_macro", "icat")
    names = [
        (c if c is not None else _NO_CLUSTER) if macro else (c if c is not None else f"\0{i}")
        for c, i in zip(clusters, ids, strict=True)
    ]
    index: dict[str, int] = {}
    unit_of = np.array([index.setdefault(name, len(index)) for name in names])
    components, value = _components(metric, values, strata)
    sums = np.zeros((len(index), components.shape[1]))
    for k in range(components.shape[1]):
        sums[:, k] = np.bincount(unit_of, weights=components[:, k], minlength=len(index))
    if macro:  # a cluster counts once, however many items it has
        sums = sums / sums[:, -1:]
    return Sums(tuple(index), sums, value, len(ids))


def _components(
    metric: Metric, values: Floats, strata: Sequence[str]
) -> tuple[Floats, Callable[[Floats], Floats]]:
    """What is summed for an estimator (the last component counts), and what is made of it."""
    one = np.ones((len(values), 1))
    share = 100.0 * values.mean(axis=1, keepdims=True)
    estimator = metric.estimator
    if estimator in ("percent", "percent_macro"):
        return np.hstack([share, one]), lambda s: s[..., 0] / s[..., 1]
    if estimator == "mean":
        return np.hstack([values, one]), lambda s: s[..., 0] / s[..., 1]
    if estimator == "exp_rate":
        return values, lambda s: np.exp(s[..., 0] / s[..., 1])
    if estimator in ("icat", "icat_micro"):
        language = 100.0 * values[:, 1:].mean(axis=1, keepdims=True)
        return np.hstack([100.0 * values[:, :1], language, one]), _icat
    present = sorted(set(strata))
    margin = share if estimator == "percent_balanced" else values[:, :1] - values[:, 1:2]
    scale = 1.0 if estimator == "did" else 1.0 / max(1, len(present))
    kept = [s for s in present if s] if estimator == "did" else present
    masks = [np.array([own == stratum for own in strata])[:, None] for stratum in kept]
    parts = [part for mask in masks for part in (margin * mask, one * mask)]
    enough = len(kept) > 1

    def by_stratum(s: Floats) -> Floats:
        if not enough:
            return np.full(s.shape[:-1], np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            means: Floats = s[..., 0:-1:2] / s[..., 1::2][..., : len(kept)]
            found: Floats = means.sum(axis=-1) * scale
            return found

    return np.hstack([*parts, one]), by_stratum


def _icat(s: Floats) -> Floats:
    stereotype, language = s[..., 0] / s[..., 2], s[..., 1] / s[..., 2]
    found: Floats = language * np.minimum(stereotype, 100.0 - stereotype) / 50.0
    return found


def distance(direction: Direction, values: Floats) -> Floats:
    """`Direction.distance` of an array."""
    if direction.kind == "target":
        assert direction.target is not None
        return np.abs(values - direction.target)
    return values if direction.kind == "lower" else -values
