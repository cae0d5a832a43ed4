"""RedditBias: phrases about a group, and the same about another (Barikeri et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from harness.data.aliases import Aliases
from harness.data.pins import Pin, Row
from harness.data.tabular import read_csv, require_text
from harness.errors import DataError
from harness.families import PinnedConfig, pinned_rows
from harness.metrics import TOWARDS_0, TOWARDS_50, MetricDefinition
from harness.types import ItemsRequest
from harness_evaluators.categories import sampled
from harness_evaluators.pairs import Pair, PairConfig, PairEvaluator, margin_metrics
from harness_evaluators.pin_files import checksums_of

GROUPS = {
    "gender": ("female", "male"),
    "race": ("black", "white"),
    "religion1": ("jews", "christians"),
    "religion2": ("muslims", "christians"),
    "orientation": ("lgbtq", "straight"),
}
"""The collected group of each axis, and the group that it was swapped for."""

AXES = Aliases(
    "redditbias",
    {
        "gender": "gender",
        "race": "race",
        "religion1": "religion",
        "religion2": "religion",
        "orientation": "orientation",
    },
)
"""The domain of each axis."""


def parse(folder: Path) -> Iterator[Row]:
    """Yield axis, split, number, and the two phrases; row k of both files of a pair."""
    for axis, groups in GROUPS.items():
        for split in ("test", "valid"):
            paths = [
                folder / axis / f"reddit_comments_{axis}_{group}_biased_{split}_reduced.csv"
                for group in groups
            ]
            collected, swapped = (_phrases(path) for path in paths)
            if len(collected) != len(swapped):
                raise DataError(f"{paths[0]} has {len(collected)} rows, {paths[1]} {len(swapped)}")
            for number, phrases in enumerate(zip(collected, swapped, strict=True), start=1):
                yield axis, split, str(number), *phrases


def _phrases(path: Path) -> list[str]:
    column = "comments_processed"
    return [
        require_text(path, number, values[column]) for number, values in read_csv(path, (column,))
    ]


_ADDRESS, _FILES = checksums_of("redditbias-pairs")
PIN = Pin(
    name="redditbias-pairs",
    filename="redditbias",
    url=_ADDRESS,
    sha256=None,
    items_sha256="800994ef82340da0040689356f4f707222d4f98fb58e02d30ecbfe3bcec087c5",
    parse=parse,
    licence="MIT",
    citation="Barikeri et al. 2021, RedditBias, ACL",
    homepage="https://github.com/umanlp/RedditBias",
    defects="the reduced files leave out pairs whose perplexity is an outlier for the authors' "
    "model; some phrases mention a group in passing",
    files=_FILES,
    n_items=2428,
)


class RedditBiasConfig(PairConfig, PinnedConfig):
    """Which pairs."""

    split: Literal["test", "valid", "both"] = Field(
        "test",
        description="test, valid, or both; the corpus 'redditbias' gives valid for training",
    )


class RedditBiasPairs(PairEvaluator[RedditBiasConfig]):
    """How much likelier a biased phrase is about one group than about another."""

    name = "redditbias"
    summary = "RedditBias: biased phrases with the group swapped; five axes in four domains."
    reference = "Barikeri et al. 2021, https://aclanthology.org/2021.acl-long.151"
    pins = (PIN,)
    domains = AXES.all_domains()

    def pairs(self, request: ItemsRequest) -> Mapping[str, Sequence[Pair]]:
        """Return the pairs of each domain; see `PairEvaluator.pairs`."""
        by_domain: dict[str, list[Pair]] = {domain: [] for domain in request.domains}
        for axis, split, number, collected, swapped in pinned_rows(PIN, self.config, request.data):
            domain = AXES.domain(axis)
            if domain in by_domain and self.config.split in (split, "both"):
                identity = f"redditbias/{axis}/{split}/{number}"
                by_domain[domain].append(Pair(identity, collected, swapped, axis))
        return sampled(self, by_domain, request, lambda pair: pair.id)

    def metrics(self, protocol: str, domain: str) -> Sequence[MetricDefinition]:
        """Define the metrics of a domain; a domain of two axes has a share for each.

        ``paired_difference`` is the mean over pairs of the negative score of the collected phrase
        less that of the swapped one, in the scorer's unit: what the authors test with a paired t
        test.
        """
        axes = [axis for axis in AXES if AXES.domain(axis) == domain]
        share = MetricDefinition(
            name="stereotype_score",
            estimator="percent",
            of=("prefers_stereotype",),
            direction=TOWARDS_50,
            primary=True,
        )
        difference = MetricDefinition(
            name="paired_difference",
            estimator="mean_difference",
            of=("less", "more"),
            direction=TOWARDS_0,
        )
        return (
            share,
            *(share.halves(axes) if len(axes) > 1 else ()),
            *margin_metrics("more", "less"),
            difference,
        )
