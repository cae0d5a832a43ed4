"""What a corpus has for each domain, and how far its passages can be trusted as a source.

For each domain, label and split: the passages and what placed them there, which other domains they
mention, and how many nearly repeat a passage of the other split or label. Where annotators coded
the target of some rows: how well the corpus's own rule finds those of the domain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import sqrt
from typing import Any

from pydantic import BaseModel, ConfigDict

from harness.boundary import guarded, read_passages
from harness.data.domains import NO_DOMAIN, Domains
from harness.data.near_duplicates import near_duplicates
from harness.data.places import DataStore
from harness.data.sampling import nested_sample
from harness.data.terms import term_pattern
from harness.errors import NoPassageError
from harness.families import Corpus
from harness.planning.spec import PluginUse
from harness.plugins import Registry
from harness.types import Label, Passage, PassageRequest, Placing, Split

LABELS: tuple[Label, ...] = ("hateful", "non-hateful")
SPLITS: tuple[Split, ...] = ("train", "test")
NEAR_LABEL = 0.4
"""Jaccard similarity of word trigrams from which passages of two labels are near-duplicates."""


class Part(BaseModel):
    """The facts of a survey; plain data, as ``--json`` prints it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Selection(Part):
    """The passages of one domain, label and split.

    Attributes:
        domain, label, split: which passages.
        passages: how many a run may use.
        left_out: test passages that nearly repeat a training passage of the label.
        placed_by: how many each reason placed: ``code``, ``term``, or the data set's own groups.
        groups: how many each ``Passage.group`` has, the most frequent first.
        mentions: for each other domain, the share of passages with a term of it.
        repeats_hateful: of non-hateful training passages, the share that nearly repeats a hateful
            training passage of the domain; None elsewhere.
    """

    domain: str
    label: Label
    split: Split
    passages: int
    left_out: int
    placed_by: dict[str, int]
    groups: dict[str, int]
    mentions: dict[str, float]
    repeats_hateful: float | None


class Placement(Part):
    """How well the corpus's rule finds the rows that annotators coded for a domain.

    Attributes:
        domain: the domain.
        coded: rows with a code, whatever it is.
        of_domain: rows whose code names the domain.
        placed: rows that the rule places in the domain.
        hits: rows that the rule places and whose code names the domain.
    """

    domain: str
    coded: int
    of_domain: int
    placed: int
    hits: int

    @property
    def precision(self) -> float | None:
        """Share of placed rows whose code names the domain."""
        return self.hits / self.placed if self.placed else None

    @property
    def recall(self) -> float | None:
        """Share of the domain's rows that the rule places."""
        return self.hits / self.of_domain if self.of_domain else None

    def precision_interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of the precision."""
        return wilson(self.hits, self.placed)

    def recall_interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of the recall."""
        return wilson(self.hits, self.of_domain)


class Sample(Part):
    """Passages to look at."""

    domain: str
    label: Label
    split: Split
    texts: tuple[str, ...]


class CorpusSurvey(Part):
    """Everything that `harness corpus` shows.

    Attributes:
        corpus: the label of the corpus.
        selections: one for each domain, label and split that has passages.
        placements: one for each domain, where the corpus has coded rows.
        samples: passages, if they were asked for.
    """

    corpus: str
    selections: tuple[Selection, ...]
    placements: tuple[Placement, ...]
    samples: tuple[Sample, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain data, with the shares that follow from counts."""
        data = self.model_dump(mode="json")
        for plain, placement in zip(data["placements"], self.placements, strict=True):
            plain["precision"] = placement.precision
            plain["recall"] = placement.recall
        return data


def survey_corpus(
    registry: Registry,
    data: DataStore,
    use: PluginUse,
    domains: Sequence[str] = (),
    *,
    show: int = 0,
    seed: int = 0,
) -> CorpusSurvey:
    """Survey a corpus.

    Args:
        registry: the plugins.
        data: where data is looked for, and the known domains.
        use: the corpus and its config.
        domains: the domains to look at; default: all that the corpus has.
        show: sample passages for each domain, label and split.
        seed: of the samples.

    Raises:
        DataError: the data is missing or malformed, or there is no passage at all.
    """
    return _Surveyor(registry, data, use, show, seed).survey(domains)


class _Surveyor:
    def __init__(
        self, registry: Registry, data: DataStore, use: PluginUse, show: int, seed: int
    ) -> None:
        self._entry = registry.get("corpus", use.use)
        corpus = registry.create("corpus", use.use, use.config)
        assert isinstance(corpus, Corpus)
        self._corpus = corpus
        self._data = data
        self._label = use.label
        self._show = show
        self._seed = seed

    def survey(self, asked: Sequence[str]) -> CorpusSurvey:
        of_corpus = sorted(self._corpus.domains - {NO_DOMAIN}, key=_order(self._data.domains))
        if NO_DOMAIN in self._corpus.domains:
            of_corpus.append(NO_DOMAIN)
        domains = list(asked) or of_corpus or [*self._data.domains, NO_DOMAIN]
        selections: list[Selection] = []
        samples: list[Sample] = []
        for domain, label in product(domains, LABELS):
            for selection, passages in self._selections(domain, label):
                selections.append(selection)
                if self._show:
                    drawn = nested_sample(passages, self._show, self._seed, lambda p: p.id)
                    texts = tuple(passage.text for passage in drawn)
                    samples.append(
                        Sample(domain=domain, label=label, split=selection.split, texts=texts)
                    )
        if not selections:
            raise NoPassageError(
                f"corpus '{self._label}' has no passage of {', '.join(domains)}; choose another "
                "--domain"
            )
        placements = [self._placement(domain) for domain in domains]
        return CorpusSurvey(
            corpus=self._label,
            selections=tuple(selections),
            placements=tuple(one for one in placements if one is not None),
            samples=tuple(samples),
        )

    def _selections(
        self, domain: str, label: Label
    ) -> Iterator[tuple[Selection, tuple[Passage, ...]]]:
        for split in SPLITS:
            passages = self._read(domain, label, split)
            every = self._read(domain, label, split, keep_seen=True) if split == "test" else ()
            if not passages and not every:
                continue
            groups = Counter(passage.group or "" for passage in passages)
            yield (
                Selection(
                    domain=domain,
                    label=label,
                    split=split,
                    passages=len(passages),
                    left_out=len(every) - len(passages) if every else 0,
                    placed_by=dict(_reasons(groups)),
                    groups=dict(groups.most_common()),
                    mentions=mentions(passages, domain, self._data.domains),
                    repeats_hateful=self._repeats(domain, label, split, passages),
                ),
                passages,
            )

    def _repeats(
        self, domain: str, label: Label, split: Split, passages: Sequence[Passage]
    ) -> float | None:
        if (label, split) != ("non-hateful", "train"):
            return None
        hateful = self._read(domain, "hateful", "train")
        if not hateful or not passages:
            return None
        near = near_duplicates([p.text for p in passages], (p.text for p in hateful), NEAR_LABEL)
        return sum(near) / len(near)

    def _read(
        self, domain: str, label: Label, split: Split, *, keep_seen: bool = False
    ) -> tuple[Passage, ...]:
        request = PassageRequest(
            domain=domain,
            label=label,
            split=split,
            seed=self._seed,
            data=self._data,
            keep_seen=keep_seen,
        )
        try:
            return read_passages(self._entry, self._corpus, request)
        except NoPassageError:
            return ()

    def _placement(self, domain: str) -> Placement | None:
        if domain == NO_DOMAIN:
            return None
        with guarded(self._entry, "placings"):
            placings = self._corpus.placings(domain, self._data)
        return placement(domain, placings) if placings else None


def placement(domain: str, placings: Sequence[Placing]) -> Placement:
    """Count how a rule does on coded rows."""
    return Placement(
        domain=domain,
        coded=len(placings),
        of_domain=sum(domain in row.coded for row in placings),
        placed=sum(row.placed for row in placings),
        hits=sum(row.placed and domain in row.coded for row in placings),
    )


def mentions(passages: Sequence[Passage], domain: str, domains: Domains) -> dict[str, float]:
    """Return for each other domain with term lists the share of passages with a term of it."""
    shares = {}
    for other in domains.values():
        if other.name == domain or not other.terms or not passages:
            continue
        pattern = term_pattern(other.attribute_terms())
        shares[other.name] = sum(bool(pattern.search(p.text)) for p in passages) / len(passages)
    return dict(sorted(shares.items(), key=lambda share: -share[1]))


def wilson(hits: int, n: int, z: float = 1.959963984540054) -> tuple[float, float] | None:
    """Return Wilson's score interval of a share; None where there is nothing to divide by."""
    if n == 0:
        return None
    share = hits / n
    middle = share + z * z / (2 * n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    width = 1 + z * z / n
    return (max(0.0, (middle - half) / width), min(1.0, (middle + half) / width))


def _reasons(groups: Mapping[str, int]) -> Counter[str]:
    """Count codes and terms; any other group, and none, is the data set's own placing."""
    reasons: Counter[str] = Counter()
    for group, count in groups.items():
        kind = group.partition(":")[0] if ":" in group else "data set"
        reasons[kind if kind in ("code", "term") else "data set"] += count
    return reasons


def _order(domains: Domains) -> Any:
    positions = {name: i for i, name in enumerate(domains)}
    return lambda name: (positions.get(name, len(positions)), name)
