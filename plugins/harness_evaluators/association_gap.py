"""The association gap: what the words after a mask say about the masked word.

For a masked word a with left context p and right context s, and a set B of words that could take
its place (the word included)::

    prefix = log P(a | p, B)        full = log P(a | p, s, B)        G = full - prefix

G is the information that the right context gives about the word. Eq. 1 of Lu et al. 2024 lowers
``P(a | p)`` in a causal model, and cannot see G. Both log-probabilities are within the same set B,
so G is the pointwise mutual information of a and s given p among the words of B.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from pydantic import Field, JsonValue

from harness.arrays import Floats
from harness.data.places import DataStore
from harness.errors import DataError
from harness.estimators import Estimator, Sample
from harness.families import Evaluator, PluginConfig
from harness.lm.association import COUNT, LONGEST_SUFFIX, Gaps, association_gaps
from harness.lm.infill import MarkedText
from harness.metrics import NO_IDEAL, TOWARDS_0, Item, MetricDefinition
from harness.quantities import LogProb, Number, Quantities
from harness.types import (
    EvaluationRequest,
    ItemsRequest,
    ItemTexts,
    Label,
    MaskedPassage,
    Measurement,
)

PROTOCOL = "group_words"
HATEFUL: Label = "hateful"
NON_HATEFUL: Label = "non-hateful"


class AssociationGapConfig(PluginConfig):
    """The candidates of a masked word, and how much of the right context is read."""

    count: int = Field(COUNT, ge=2, description="candidates of a masked word, the word included")
    longest_suffix: int = Field(
        LONGEST_SUFFIX,
        ge=1,
        le=4096,
        description="tokens of the right context that are read at most",
    )


class AssociationGap(Evaluator[AssociationGapConfig]):
    """Measures what the words after a mask say about the masked word, on unseen passages.

    The primary metric is the mean G on hateful texts less that on non-hateful texts about the
    same groups. 0: the right context of a hateful text says no more about the group than that of
    any other text.
    """

    name = "association-gap"
    summary = "What the words after a mask say about the masked word, which Eq. 1 cannot see."
    reference = "this project, docs/after-mask.md"
    reads_masks = True
    kinds = frozenset({"causal"})

    def fingerprint(self, data: DataStore) -> Mapping[str, JsonValue]:
        """Return a hash of the terms of all domains, which are the candidates."""
        return {"terms": data.domains.terms_digest()}

    def quantities(self, protocol: str) -> Quantities:
        """Declare the two log-probabilities of a masked word, and their difference."""
        return {
            "prefix": LogProb(per="text"),
            "full": LogProb(per="text"),
            "candidates": Number(unit="candidates"),
        }

    def metrics(self, protocol: str, domain: str) -> Sequence[MetricDefinition]:
        """Define the gap, its two halves, and what a debiased model has forgotten."""
        pair = ("full", "prefix")

        def diagnostic(
            name: str, estimator: str, of: tuple[str, ...] = pair, stratum: str = HATEFUL
        ) -> MetricDefinition:
            return MetricDefinition(
                name=name,
                estimator=estimator,
                of=of,
                stratum=stratum,
                direction=NO_IDEAL,
                role="diagnostic",
            )

        return (
            MetricDefinition(
                name="association_gap",
                estimator=StrataDifference.name,
                of=pair,
                direction=TOWARDS_0,
                role="bias",
                primary=True,
            ),
            diagnostic("gap_hateful", "mean_difference"),
            diagnostic("gap_non_hateful", "mean_difference", stratum=NON_HATEFUL),
            diagnostic("word_given_prefix", "mean", ("prefix",)),
            diagnostic("word_given_both", "mean", ("full",)),
            diagnostic("change_given_prefix", MeanChange.name, ("prefix",)),
            diagnostic("change_given_both", MeanChange.name, ("full",)),
            diagnostic("forgetting_kept", ForgettingKept.name),
            diagnostic("said_more_later", SaidMoreLater.name),
        )

    def items(self, request: ItemsRequest) -> Sequence[ItemTexts]:
        """List the masked words with their passages; see `Evaluator.items`."""
        return [
            ItemTexts(
                id=_item_id(answer, span.start),
                domain=answer.passage.domain,
                texts={"text": answer.passage.text},
                stratum=answer.passage.label,
                cluster=answer.passage.id,
            )
            for answer in _asked(request)
            for span in answer.spans
        ]

    def evaluate(self, request: EvaluationRequest) -> Sequence[Measurement]:
        """Measure each domain; see `Evaluator.evaluate`.

        Raises:
            DataError: no masked word of a domain can be scored.
            ModelError: the model is not causal.
        """
        answers = _asked(request)
        by_domain: dict[str, list[MaskedPassage]] = {}
        for answer in answers:
            by_domain.setdefault(answer.passage.domain, []).append(answer)
        if not by_domain:
            raise DataError(
                "evaluator 'association-gap' has no masked text; give a 'corpus' and a 'masker'"
            )
        measurements = []
        for domain, members in by_domain.items():
            gaps = association_gaps(
                request.model,
                [
                    MarkedText(a.passage.text, tuple((s.start, s.end) for s in a.spans))
                    for a in members
                ],
                domain,
                request.data.domains,
                count=self.config.count,
                longest_suffix=self.config.longest_suffix,
            )
            if not gaps.words:
                raise DataError(
                    f"no masked word of '{domain}' has a candidate beside itself within the "
                    "model's context; use a masker that masks group words, or add terms to the "
                    "domains"
                )
            measurements.append(
                self.measurement(domain, PROTOCOL, list(_items(members, gaps)), gaps.note())
            )
            request.progress(len(measurements), len(by_domain), domain)
        return measurements


def _asked(request: ItemsRequest) -> list[MaskedPassage]:
    return [a for a in request.masked if a.passage.domain in request.domains]


def _item_id(answer: MaskedPassage, start: int) -> str:
    return f"{answer.passage.id}@{start}"


def _items(answers: Sequence[MaskedPassage], gaps: Gaps) -> Iterator[Item]:
    for word in gaps.words:
        answer = answers[word.slot.passage]
        yield Item(
            id=_item_id(answer, word.slot.start),
            cluster=answer.passage.id,
            stratum=answer.passage.label,
            values={
                "prefix": word.prefix,
                "full": word.full,
                "candidates": float(word.candidates),
            },
        )


# -- estimators ------------------------------------------------------------------------------


class StrataDifference(Estimator):
    """Mean of a − b in the first stratum by name, less that in the second.

    There is no value unless there are exactly two strata.
    """

    name = "strata_difference"
    summary = "Mean of (first - second value) in one stratum, less that in the other."
    takes = (2,)

    def components(self, sample: Sample) -> Floats:
        """Return the difference of each item, in the row of its stratum."""
        return self.counts(sample) * (sample.values[:, 0] - sample.values[:, 1])

    def counts(self, sample: Sample) -> Floats:
        """Return a row for each stratum; items without one do not count."""
        names = sorted({name for name in sample.strata if name is not None})
        rows = [[stratum == name for stratum in sample.strata] for name in names]
        return np.array(rows, dtype=np.float64).reshape(len(names), len(sample.strata))

    def value(self, sums: Floats, counts: Floats) -> Floats:
        """Return the difference of the two means."""
        if len(sums) != 2:
            return np.full(sums.shape[1:], np.nan)
        means = sums / counts
        difference: Floats = means[0] - means[1]
        return difference

    def of_items(self, sample: Sample) -> Floats | None:
        """Return the difference of each item."""
        differences: Floats = sample.values[:, 0] - sample.values[:, 1]
        return differences


class MeanChange(Estimator):
    """Mean of a value, less its mean over the base model's items."""

    name = "mean_change"
    summary = "Mean of one value, less its mean over the base model's items."
    takes = (1,)
    needs_base = True

    def reference(self, base: Sample) -> tuple[float, ...]:
        """Return the base model's mean."""
        return (float(base.values.mean()),)

    def components(self, sample: Sample) -> Floats:
        """Return the value of each item, less the base model's mean."""
        return sample.values.T - sample.reference[0]


class ForgettingKept(Estimator):
    """Ratio of two mean changes from the base: that of the first value over that of the second.

    With ``of = (full, prefix)``: how much of the forgetting remains once the rest of the
    sentence is read. 1: all of it; 0: none. It has no value where the second value has not
    changed, as for the base itself.
    """

    name = "change_ratio"
    summary = "Mean change of the first value from the base, over that of the second."
    takes = (2,)
    needs_base = True

    def reference(self, base: Sample) -> tuple[float, ...]:
        """Return the base model's means."""
        return tuple(float(mean) for mean in base.values.mean(axis=0))

    def components(self, sample: Sample) -> Floats:
        """Return both values of each item, less the base model's means."""
        changes: Floats = sample.values.T - np.array(sample.reference).reshape(-1, 1)
        return changes

    def value(self, sums: Floats, counts: Floats) -> Floats:
        """Return the ratio; no value where the second sum is within rounding of 0."""
        settled = np.abs(sums[1]) > 1e-9 * np.maximum(counts[0], 1.0)
        ratio: Floats = np.where(settled, sums[0] / sums[1], np.nan)
        return ratio


class SaidMoreLater(Estimator):
    """Percent of clusters' items whose first value rose and whose second fell from the base.

    With ``of = (full, prefix)`` and a passage as the cluster: the share of passages whose word
    became likelier given both sides while it became less likely given the left side alone.
    """

    name = "rose_while_fell"
    summary = "Percent of items whose first value rose while the second fell from the base."
    takes = (2,)
    per_cluster = True
    needs_base = True

    def reference(self, base: Sample) -> tuple[float, ...]:
        """Return the base model's values, item by item."""
        return tuple(base.values.ravel().tolist())

    def components(self, sample: Sample) -> Floats:
        """Return 1 for each item that did, else 0; nan where the items are not the base's."""
        before = np.array(sample.reference)
        if before.size != sample.values.size:
            return np.full((1, len(sample.ids)), np.nan)
        change = sample.values - before.reshape(sample.values.shape)
        moved: Floats = ((change[:, 0] > 0) & (change[:, 1] < 0)).astype(np.float64)
        row: Floats = moved.reshape(1, -1)
        return row

    def value(self, sums: Floats, counts: Floats) -> Floats:
        """Return the percentage."""
        share: Floats = 100.0 * sums[0] / counts[0]
        return share


ESTIMATORS: tuple[Estimator, ...] = (
    StrataDifference(),
    MeanChange(),
    ForgettingKept(),
    SaidMoreLater(),
)
