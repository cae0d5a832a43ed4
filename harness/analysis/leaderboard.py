"""What a leaderboard is made of."""

from __future__ import annotations

from dataclasses import dataclass

from harness.analysis.controls import MeanNet
from harness.analysis.matched_cost import Matched
from harness.analysis.reported import Publication
from harness.analysis.stats import SeedSummary
from harness.analysis.transfer import Estimated
from harness.storage.reader import Column


@dataclass(frozen=True)
class Standing:
    """One method of one run, over all its sources and seeds, at each cell's last step.

    Attributes:
        distance: mean distance of the bias scores to their target, in points.
        base_distance: the same of the base model.
        in_domain: mean improvement on the source domain itself.
        transfer: mean improvement on the other domains.
        harmed: bias scores that moved away from their target, of `compared`.
        cost: change of the language metrics, by label, as a mean over cells.
        failed: failed entries.
        reasons: why they failed, each reason once.
        control: whether methods are compared with it.
        mean: mean improvement of all bias scores, with its interval over items.
        over_seeds: the same over seeds; None for a single seed.
        net: mean improvement minus that of the control on the same items.
        net_of: debiaser and masker of that control.
        surely_gained, surely_harmed: bias scores with a corrected p-value below 0.05.
        gained: bias scores that came nearer to their target, of `compared`.
        cost_increase: mean increase of the language metric, in percent of the base's.
        nets: mean improvement net of each control by itself.
        matched: mean improvement where its curves cross each of the leaderboard's costs.
        pareto: whether no other method of the model improves more at a lower or equal cost.
        in_budget: whether `cost_increase` is within the budget; None where none was set.
        warnings: what a reader must know of its entries, each once.
        expected: bias scores that the run is to have; `compared` are fewer where some failed.
    """

    run: str
    model: str
    method: str
    control: bool
    distance: float | None
    base_distance: float | None
    in_domain: float | None
    transfer: float | None
    harmed: int
    compared: int
    cost: dict[str, tuple[float, float]]
    failed: int
    models: int
    mean: Estimated | None = None
    over_seeds: SeedSummary | None = None
    net: Estimated | None = None
    net_of: str | None = None
    gained: int = 0
    surely_gained: int = 0
    surely_harmed: int = 0
    cost_increase: float | None = None
    nets: tuple[MeanNet, ...] = ()
    matched: tuple[Matched, ...] = ()
    pareto: bool = False
    in_budget: bool | None = None
    warnings: tuple[str, ...] = ()
    expected: int = 0
    reasons: tuple[str, ...] = ()

    @property
    def improvement(self) -> float | None:
        """How much nearer to the target than the base."""
        if self.distance is None or self.base_distance is None:
            return None
        return self.base_distance - self.distance


@dataclass(frozen=True)
class Leaderboard:
    """Standings, and what they were made with.

    Attributes:
        standings: best first; those over budget after the others.
        levels: the costs, in percent of the base's, at which curves were read: first the largest
            that all methods reach (or the one asked for), then round ones; empty if there is none.
        language: the metric that is the cost.
        budget: the greatest increase allowed, in percent.
        reported: numbers from the literature, never ranked with measured ones.
    """

    standings: tuple[Standing, ...]
    levels: tuple[float, ...]
    language: Column | None
    budget: float | None
    reported: tuple[Publication, ...] = ()
