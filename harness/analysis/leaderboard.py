"""What a leaderboard is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from harness.analysis.effects import Distance, Estimated
from harness.analysis.entry import Entry
from harness.analysis.interval import Interval
from harness.analysis.matched_cost import Matched
from harness.analysis.matrix import Row
from harness.analysis.reported import Publication
from harness.analysis.stats import FitSummary
from harness.storage.reader import Column, Stop


class Rank(NamedTuple):
    """The rank of a method with its 95 % interval, or the reason why it has none.

    Attributes:
        value: None where the method has no rank.
        low, high: the ranks that the data allow; None where they are not known.
        reason: why there is no rank; empty where there is one.
    """

    value: int | None
    low: int | None = None
    high: int | None = None
    reason: str = ""


NOT_RANKED = Rank(None)


@dataclass(frozen=True)
class MeanNet:
    """Improvement of a method minus that of a control, over all its bias scores.

    Attributes:
        control: name of the control's method.
        effect: in the leaderboard's unit, on the same items.
        over_fits: the same over fits, each minus the control of its own seed; None for one.
    """

    control: str
    effect: Estimated
    over_fits: FitSummary | None


@dataclass(frozen=True)
class LanguageCost:
    """A language metric of a method, as means over its fits.

    Attributes:
        value: the mean value.
        change: its change, in percent of the base's value, or in the metric's own unit where the
            base's value is zero or the metric has no such unit.
        unit: ``%``, or empty.
        interval: 95 % interval of the change; None where there are too few windows.
    """

    value: float
    change: float
    unit: str
    interval: Interval | None


@dataclass(frozen=True)
class Standing:
    """One method of one run, over all its sources and fits, at each fit's last step.

    Attributes:
        run, model, method: what it is.
        control: whether methods are compared with it.
        scores: its bias scores, each with its row of the matrix. A column can compute any
            statistic from them.
        distance: root mean square distance of the bias scores to their ideals.
        base_distance: the same of the base model.
        improvement: how much nearer than the base; None where that is undefined.
        shift: mean signed change of the bias scores.
        in_domain: improvement on the source domains themselves.
        transfer: improvement on the other domains.
        gained, harmed, undefined: bias scores that came nearer to their ideal, got further from
            it, or whose base may be at the ideal, of `compared`.
        surely_gained, surely_harmed: of these, the significant ones.
        expected: bias scores that the run is to have; `compared` are fewer where some failed.
        costs: the language metrics, by column.
        cost: the increase of the leaderboard's language metric; None where it is not measured.
        dose: mean divergence from the base; None where it is not measured.
        stops: where each fit ended that stopped at a dose; empty where none did.
        net: improvement minus that of the leaderboard's control, on the same items.
        nets: the same for each control by itself.
        over_fits: improvement over fits alone; None for a single fit.
        matched: improvement where its curves cross each of the leaderboard's costs.
        dosed: the same for each of its doses.
        rank: its rank, or why it has none.
        pareto: whether it improves and no other method of the model improves more at a lower or
            equal cost.
        in_budget: whether `cost` is within the budget; None where none was set.
        comparable: whether its run has the same limits and protocols as the first one.
        fits: how many models were fitted.
        failed: failed entries; `reasons` says why, each reason once.
        warnings: what a reader must know of its entries, each once.
    """

    run: str
    model: str
    method: str
    control: bool
    scores: tuple[tuple[Row, Entry], ...] = ()
    distance: Distance | None = None
    base_distance: Distance | None = None
    improvement: Estimated | None = None
    shift: Estimated | None = None
    in_domain: Estimated | None = None
    transfer: Estimated | None = None
    gained: int = 0
    harmed: int = 0
    undefined: int = 0
    surely_gained: int = 0
    surely_harmed: int = 0
    compared: int = 0
    expected: int = 0
    costs: tuple[tuple[Column, LanguageCost], ...] = ()
    cost: float | None = None
    dose: float | None = None
    stops: tuple[Stop, ...] = ()
    net: MeanNet | None = None
    nets: tuple[MeanNet, ...] = ()
    over_fits: FitSummary | None = None
    matched: tuple[Matched, ...] = ()
    dosed: tuple[Matched, ...] = ()
    rank: Rank = NOT_RANKED
    pareto: bool = False
    in_budget: bool | None = None
    comparable: bool = True
    fits: int = 0
    failed: int = 0
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Leaderboard:
    """Standings, and what they were made with.

    Attributes:
        standings: nearest to the ideal first; those without a rank for another reason than their
            rank interval after the others.
        control: name of the control of `Standing.net`; None where no method has one.
        levels: the costs at which curves were read: first the largest that all methods reach (or
            the one asked for), then round ones; empty if there is none.
        doses: the doses at which curves were read, in the same way.
        language: the metric that is the cost.
        dose: the metric that is the dose.
        budget: the greatest cost allowed.
        unit: of the bias scores that are averaged, their distances and improvements.
        other_scores: bias scores in no mean, because they have another unit or no ideal value:
            name and unit of each.
        differences: how the runs differ in limits and protocols, one line each; their methods are
            not ranked together.
        left_out: names of runs that were left out because they differ.
        few: scores that cannot be judged, with the reason; each once.
        reported: numbers from the literature, never ranked with measured ones.
    """

    standings: tuple[Standing, ...]
    control: str | None = None
    levels: tuple[float, ...] = ()
    doses: tuple[float, ...] = ()
    language: Column | None = None
    dose: Column | None = None
    budget: float | None = None
    unit: str = ""
    other_scores: tuple[tuple[str, str], ...] = ()
    differences: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    few: tuple[str, ...] = ()
    reported: tuple[Publication, ...] = ()

    @property
    def several(self) -> bool:
        """Whether names need the run and model in front."""
        return len({(s.run, s.model) for s in self.standings}) > 1
