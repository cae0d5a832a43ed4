"""What the hypotheses of a spec can detect, before they are run.

The variance of a contrast has three parts (`Noise`): between items, between fits, and what is left.
They come from the stored items of an earlier run or from assumptions. A design (items, fits) then
has a known standard error, and with it the smallest effect or equivalence margin that a test shows
with 80 % power at the level that Holm's correction leaves in the worst case.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from harness.analysis.effects import Effect, fit_variances
from harness.analysis.hypothesis_tests import contrasts
from harness.analysis.stats import FEWEST_FITS, FEWEST_UNITS, POWER, Variance, crossed
from harness.errors import StoreError
from harness.planning.hypotheses import Hypotheses, Hypothesis
from harness.storage.reader import RunReader

MOST_FITS = 200
MOST_ITEMS = 100_000


@dataclass(frozen=True)
class Noise:
    """Variance components of a contrast, for one item and one fit.

    Attributes:
        items: between items (or clusters), the same in every fit.
        fits: between fits, the same for every item; 0 where it is not known.
        rest: of one item in one fit.
        source: where the components come from, in words.
        fits_known: whether `fits` was estimated or stated.
        design: items and fits behind the estimate; None for assumptions.
    """

    items: float
    fits: float
    rest: float
    source: str
    fits_known: bool = True
    design: tuple[int, int] | None = None

    def variance(self, items: int, fits: int) -> Variance:
        """Variance and degrees of freedom of the contrast's mean in a design."""
        both = self.rest / (items * fits)
        over_items = Variance(np.asarray(self.items / items + both), np.asarray(items - 1.0))
        if fits < FEWEST_FITS:
            return over_items
        return crossed(
            over_items,
            Variance(np.asarray(self.fits / fits + both), np.asarray(2.0 * (fits - 1.0))),
            Variance(np.asarray(both), np.asarray((fits - 1.0) * (items - 1.0))),
        )


@dataclass(frozen=True)
class Planned:
    """A test of a hypothesis in a design.

    Attributes:
        hypothesis: as the spec has it.
        items, fits: the design.
        level: the level of one test that Holm's correction leaves in the worst case.
        error: standard error of the contrast; None where the noise is not known.
        detectable: the smallest effect that the test shows with 80 % power, or the smallest
            margin within which it shows equivalence if there is no effect.
        power: the probability to show the effect that was asked for; None if none was.
        fits_needed: fits for 80 % power at that effect with these items; None if no number will do.
        items_needed: items for 80 % power with these fits; None if no number will do.
        note: what limits these figures.
        unit: of the error, the effect and the margin.
    """

    hypothesis: Hypothesis
    items: int
    fits: int
    level: float
    noise: Noise
    error: float
    detectable: float
    power: float | None = None
    fits_needed: int | None = None
    items_needed: int | None = None
    note: str = ""
    unit: str = ""


def tests_in(section: Hypotheses, sources: Sequence[str], targets: Sequence[str]) -> int:
    """How many tests a section asks for: of each question one, or one for each cell."""
    return sum(
        len(test.questions())
        * (1 if test.contrast.pool else max(1, len(test.contrast.pairs(sources, targets))))
        for test in section.tests
    )


def plan_test(
    hypothesis: Hypothesis,
    noise: Noise,
    *,
    items: int,
    fits: int,
    level: float,
    effect: float | None = None,
    unit: str = "",
) -> Planned:
    """What a hypothesis can detect in a design.

    Args:
        hypothesis: what is tested.
        noise: variance components of its contrast.
        items: independent items (or clusters) of the endpoint.
        fits: fits of each arm, one for each seed.
        level: of the test, after the correction.
        effect: an effect to compute power for, in the endpoint's unit; default: the margin of an
            equivalence, for which it is the margin that is wanted.
        unit: of the endpoint.
    """
    wanted = effect if effect is not None else hypothesis.margin
    variance = noise.variance(items, fits)
    power = None if wanted is None else power_of(hypothesis, variance, level, wanted)
    fits_needed = items_needed = None
    if wanted is not None:
        fits_needed = _least(
            FEWEST_FITS,
            MOST_FITS,
            lambda n: power_of(hypothesis, noise.variance(items, n), level, wanted),
        )
        items_needed = _least(
            FEWEST_UNITS,
            MOST_ITEMS,
            lambda n: power_of(hypothesis, noise.variance(n, fits), level, wanted),
        )
    notes = []
    if items < FEWEST_UNITS:
        notes.append(f"fewer than {FEWEST_UNITS} independent items: nothing can be tested")
    if fits < FEWEST_FITS:
        notes.append(f"fewer than {FEWEST_FITS} fits: the result speaks of these fits only")
    elif not noise.fits_known:
        notes.append("the spread between fits is not known and taken as zero")
    return Planned(
        hypothesis=hypothesis,
        items=items,
        fits=fits,
        level=level,
        noise=noise,
        error=math.sqrt(float(variance.value)),
        detectable=_detectable(hypothesis, variance, level),
        power=power,
        fits_needed=fits_needed,
        items_needed=items_needed,
        note="; ".join(notes),
        unit=unit,
    )


def _sides(hypothesis: Hypothesis) -> float:
    return 2.0 if hypothesis.margin is None and hypothesis.side == "two-sided" else 1.0


def _detectable(hypothesis: Hypothesis, variance: Variance, level: float) -> float:
    """Effect in standard errors, times the standard error; for a margin both sides must reject."""
    df = max(float(variance.df), 1.0)
    critical = float(special.stdtrit(df, 1.0 - level / _sides(hypothesis)))
    beyond = POWER if hypothesis.margin is None else (1.0 + POWER) / 2.0
    return (critical + float(special.stdtrit(df, beyond))) * math.sqrt(float(variance.value))


def power_of(hypothesis: Hypothesis, variance: Variance, level: float, effect: float) -> float:
    """Probability that a test is significant.

    Args:
        hypothesis: says which test.
        variance: of the contrast.
        level: of the test.
        effect: the true contrast; of an equivalence, the margin while the true contrast is zero.
    """
    df, error = max(float(variance.df), 1.0), math.sqrt(float(variance.value))
    critical = float(special.stdtrit(df, 1.0 - level / _sides(hypothesis)))
    size = abs(effect) / error if error > 0 else math.inf
    if math.isinf(size):
        return 1.0
    if hypothesis.margin is not None:
        return max(0.0, 2.0 * float(special.stdtr(df, size - critical)) - 1.0)
    above = 1.0 - float(special.nctdtr(df, size, critical))
    if _sides(hypothesis) == 1.0:
        return above
    return above + float(special.nctdtr(df, size, -critical))


def _least(low: int, high: int, power: Callable[[int], float]) -> int | None:
    """The smallest number with enough power, which grows with the number; None if none has."""
    if power(high) < POWER:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= POWER else (middle + 1, high)
    return high


# -- noise of an earlier run -------------------------------------------------------------------


def noise_of(reader: RunReader, hypothesis: Hypothesis) -> Noise:
    """The variance components of a hypothesis' contrast in a run that has its arms.

    Raises:
        StoreError: the run has not measured the contrast.
    """
    tests = [test for test in contrasts(reader, hypothesis) if test.effect is not None]
    known = [n for test in tests if test.effect is not None if (n := components(test.effect))]
    if not known:
        reasons = dict.fromkeys(test.reason for test in tests if test.reason)
        why = f" ({'; '.join(reasons)})" if reasons else ""
        raise StoreError(
            f"{reader.store.folder}: the arms and cells of '{hypothesis.name}' are not measured "
            f"there with enough items{why}; state the noise with --item-sd and --items instead"
        )
    middle = sorted(known, key=lambda noise: noise.items + noise.rest)[len(known) // 2]
    return Noise(
        middle.items,
        middle.fits,
        middle.rest,
        f"stored items of {reader.index.name}",
        middle.fits_known,
        middle.design,
    )


def components(effect: Effect) -> Noise | None:
    """The variance components behind an effect; None where items are too few.

    The effect is a mean over cells: its components are those of that mean, for one item in each of
    its suites and one fit in each of its groups.
    """
    over_items = effect.items_variance
    if over_items is None:
        return None
    sizes = [len(block.units) for block in effect.blocks]
    counts = [len(block.fits) for block in effect.blocks if block.fits != ("",)]
    items, fits = round(sum(sizes) / len(sizes)), min(counts, default=1)
    total = float(over_items.value)
    if not effect.covers_fits:
        return Noise(total * items, 0.0, 0.0, "", fits_known=False, design=(items, fits))
    over_fits, both = (float(v.value) for v in fit_variances(effect))
    return Noise(
        max(total - both, 0.0) * items,
        max(over_fits - both, 0.0) * fits,
        both * items * fits,
        "",
        design=(items, fits),
    )
