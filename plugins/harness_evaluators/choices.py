"""Multiple choice: scores of the answers to a question, and estimators over such items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from harness.arrays import Floats
from harness.estimators import Estimator, Sample
from harness.lm.handle import LanguageModel

Norm = Literal["sum", "mean"]


def choice_scores(
    model: LanguageModel,
    contexts: Sequence[str],
    choices: Sequence[Sequence[str]],
    norm: Norm,
) -> list[list[float]]:
    """Score the choices of each context; each context is run once for all of its choices.

    Args:
        model: a causal model.
        contexts: the questions.
        choices: the continuations of each question, with the white space in front of them.
        norm: add up the log-probabilities of a choice's tokens, or take their mean.

    Returns:
        Natural-log scores of the choices of each context, in their order.

    Raises:
        ModelError: a text is too long, or the tokenizer merges a context with its choice.
    """
    flat = model.continuation_scores(
        [
            context
            for context, of_context in zip(contexts, choices, strict=True)
            for _ in of_context
        ],
        [choice for of_context in choices for choice in of_context],
    )
    scores = iter(
        float(token.logprobs.sum() if norm == "sum" else token.logprobs.mean()) for token in flat
    )
    return [[next(scores) for _ in of_context] for of_context in choices]


def chosen(scores: Sequence[float]) -> int | None:
    """Return the number of the highest score; None where two share it."""
    best = max(scores)
    winners = [number for number, score in enumerate(scores) if score == best]
    return winners[0] if len(winners) == 1 else None


class SignedPercent(Estimator):
    """100 times the mean of a value that is +1, -1 or 0."""

    name = "signed_percent"
    summary = "100 times the mean of one value between -1 and 1."
    takes = (1,)

    def components(self, sample: Sample) -> Floats:
        """Return the value of each item."""
        return sample.values.T

    def value(self, sums: Floats, counts: Floats) -> Floats:
        """Return the mean in percent."""
        return np.asarray(100.0 * sums[0] / counts[0])


class SignedPercentOfAnswered(Estimator):
    """100 times the sum of the first value over the sum of the second.

    With +1, -1 or 0 and 1 or 0, it is the mean of the first over the items that the second counts.
    """

    name = "signed_percent_of_answered"
    summary = "100 * sum of the first value / sum of the second."
    takes = (2,)

    def components(self, sample: Sample) -> Floats:
        """Return both values of each item."""
        return sample.values.T

    def value(self, sums: Floats, counts: Floats) -> Floats:
        """Return the ratio in percent; no value where nothing is counted."""
        return np.asarray(100.0 * sums[0] / np.where(sums[1] > 0, sums[1], np.nan))

    def of_items(self, sample: Sample) -> Floats | None:
        """Return the first value of each item."""
        return np.asarray(sample.values[:, 0])


class PercentDifference(Estimator):
    """100 times the mean of a − b, for two values that are 0 or 1."""

    name = "percent_difference"
    summary = "100 * mean of (first - second)."
    takes = (2,)

    def components(self, sample: Sample) -> Floats:
        """Return the difference of each item."""
        return np.atleast_2d(sample.values[:, 0] - sample.values[:, 1])

    def value(self, sums: Floats, counts: Floats) -> Floats:
        """Return the mean in percent."""
        return np.asarray(100.0 * sums[0] / counts[0])


class StratumGap(Estimator):
    """100 times the mean of a value over one stratum less that over another.

    The strata are those whose names end in ``aligned`` and ``conflicting``; other items do not
    count.
    """

    name = "stratum_gap"
    summary = "100 * (mean over the stratum 'aligned' - mean over 'conflicting')."
    takes = (1,)

    def components(self, sample: Sample) -> Floats:
        """Return the value of each item, in the row of its stratum."""
        return self.counts(sample) * sample.values[:, 0]

    def counts(self, sample: Sample) -> Floats:
        """Return a row for each of the two strata."""
        rows = [[stratum == name for stratum in sample.strata] for name in (ALIGNED, CONFLICTING)]
        return np.array(rows, dtype=np.float64).reshape(2, len(sample.ids))

    def value(self, sums: Floats, counts: Floats) -> Floats:
        """Return the difference of the two means in percent points."""
        means = 100.0 * sums / counts
        return np.asarray(means[0] - means[1])

    def of_items(self, sample: Sample) -> Floats | None:
        """Return the value of each item."""
        return np.asarray(sample.values[:, 0])


ALIGNED, CONFLICTING = "aligned", "conflicting"


class Slope(Estimator):
    """Slope of the least-squares line of the first value against the second."""

    name = "slope"
    summary = "Least-squares slope of the first value against the second."
    takes = (2,)

    def components(self, sample: Sample) -> Floats:
        """Return y, x, xy and x² of each item."""
        y, x = sample.values.T
        return np.stack([y, x, x * y, x * x])

    def value(self, sums: Floats, counts: Floats) -> Floats:
        """Return the slope; no value where x does not vary."""
        y, x, xy, xx = sums
        n = counts[0]
        spread = xx - x * x / n
        return np.asarray((xy - x * y / n) / np.where(spread > 0, spread, np.nan))

    def of_items(self, sample: Sample) -> Floats | None:
        """Return the first value of each item."""
        return np.asarray(sample.values[:, 0])


ESTIMATORS: tuple[Estimator, ...] = (
    SignedPercent(),
    SignedPercentOfAnswered(),
    PercentDifference(),
    StratumGap(),
    Slope(),
)
