"""SEAT: the sentence encoder association test (May et al. 2019).

A test compares how near two sets of target sentences, X and Y, are to two sets of attribute
sentences, A and B, in a model's hidden states. The effect size is::

    s(w) = mean over a in A of cos(w, a) - mean over b in B of cos(w, b)
    d    = (mean over X of s - mean over Y of s) / standard deviation of s over X and Y

An effect of 0 is no association. The items of a test are its target sentences.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from harness.arrays import Floats
from harness.data.domains import NO_DOMAIN
from harness.data.pins import Pin, Row
from harness.data.sampling import nested_sample
from harness.data.tabular import parse_json, read_utf8
from harness.errors import DataError
from harness.estimators import Estimator, Sample
from harness.families import Evaluator, PinnedConfig, pinned_rows
from harness.lm.handle import LanguageModel
from harness.metrics import LOWER, TOWARDS_0, Item, MetricDefinition
from harness.quantities import Number, Quantities
from harness.types import EvaluationRequest, ItemsRequest, ItemTexts, Measurement
from harness_evaluators.categories import require_items
from harness_evaluators.pin_files import checksums_of

Pooling = Literal["mean", "last"]

SETS = ("targ1", "targ2", "attr1", "attr2")
X, Y = "X", "Y"
"""Strata: the two sets of targets."""

EXACT = 100_000
"""Most equal splits of the targets that the permutation test tries one by one."""

DRAWS = 99_999
"""Splits that it draws where there are more."""

DOMAINS = {
    "angry_black_woman": "race",
    "heilman_double_bind": "gender",
    "religion": "religion",
    "weat10": "age",
    "weat1": NO_DOMAIN,
    "weat2": NO_DOMAIN,
    "weat3": "race",
    "weat4": "race",
    "weat5": "race",
    "weat6": "gender",
    "weat7": "gender",
    "weat8": "gender",
    "weat9": "disability",
}
"""The domain of a test by the start of its name, without ``sent-``; the longest start counts. The
first two tests are about flowers, insects, instruments and weapons: associations that people
share and that concern no group."""


class Test(NamedTuple):
    """A test: its name, and the sentences of its four sets."""

    name: str
    targets: tuple[tuple[str, ...], tuple[str, ...]]
    attributes: tuple[tuple[str, ...], tuple[str, ...]]


def domain_of(name: str) -> str:
    """Return the domain that a test is about, or ``none``."""
    starts = [start for start in DOMAINS if name.removeprefix("sent-").startswith(start)]
    return DOMAINS[max(starts, key=len)] if starts else NO_DOMAIN


def of_sentences(name: str) -> bool:
    """Return whether the sets of a test hold sentences, not single words."""
    return name.startswith("sent-") or (name.startswith("heilman") and not name.endswith("_word"))


def parse(folder: Path) -> Iterator[Row]:
    """Yield test, set, number and text of every sentence, test by test."""
    for path in sorted(folder.glob("*.jsonl")):
        try:
            values = parse_json(read_utf8(path), str(path))
            sets = [values[name]["examples"] for name in SETS]
        except (KeyError, TypeError) as error:
            raise DataError(
                f"{path}: not a SEAT test ({type(error).__name__}: {error}); it needs the sets "
                f"{', '.join(SETS)}"
            ) from None
        for name, examples in zip(SETS, sets, strict=True):
            for number, text in enumerate(examples):
                yield path.stem, name, str(number), str(text)


_ADDRESS, _FILES = checksums_of("seat")
PIN = Pin(
    name="seat",
    filename="seat",
    url=_ADDRESS,
    sha256=None,
    items_sha256="b91d3dbdddcd62781e3af059f371db3327bbe5cb39d7cdc87218de55798baa90",
    parse=parse,
    licence="MIT",
    citation="May et al. 2019, On measuring social biases in sentence encoders, NAACL; Caliskan "
    "et al. 2017, Science",
    homepage="https://github.com/McGill-NLP/bias-bench",
    defects="methods that project hidden states (INLP, SentenceDebias) optimise what SEAT "
    "measures; the pooling decides more than the model does",
    n_items=11977,
    files=_FILES,
)


ALL_TESTS = tuple(file.filename.removesuffix(".jsonl") for file in _FILES)
"""Names of all tests."""


class SeatConfig(PinnedConfig):
    """How a text becomes a vector, and which tests are run."""

    poolings: tuple[Pooling, ...] = Field(
        ("mean",),
        min_length=1,
        description="mean: average of the last hidden states over all tokens, with a masked "
        "model's [CLS] and [SEP] (bias-bench), without a causal one's start token; last: that of "
        "the text's last token",
    )
    tests: Literal["sentences", "words", "all"] = Field(
        "sentences", description="tests on sentences, on single words, or both"
    )
    controls: bool = Field(
        False, description="add the tests that concern no group (flowers, insects, …)"
    )


class Seat(Evaluator[SeatConfig]):
    """How strongly groups and attributes are associated in a model's hidden states."""

    name = "seat"
    summary = "SEAT: effect sizes of association tests on hidden states, by domain."
    reference = "May et al. 2019, https://aclanthology.org/N19-1063"
    pins = (PIN,)
    domains = frozenset(DOMAINS.values()) - {NO_DOMAIN}

    def evaluate(self, request: EvaluationRequest) -> Sequence[Measurement]:
        """Run the tests of each domain; see `Evaluator.evaluate`."""
        by_domain = self._tests(request)
        measurements: list[Measurement] = []
        for pooling in self.config.poolings:
            for domain, tests in by_domain.items():
                request.progress(len(measurements), len(by_domain), domain)
                items: list[Item] = []
                p_values = []
                for test in tests:
                    scored = test_items(request.model, test, pooling)
                    p_values.append(f"{test.name} {_p_value(test, scored):.4f}")
                    items += scored
                note = f"one-sided permutation p: {', '.join(p_values)}"
                measurements.append(self.measurement(domain, pooling, items, note))
        return measurements

    def items(self, request: ItemsRequest) -> Sequence[ItemTexts]:
        """List the target sentences; see `Evaluator.items`."""
        return [
            ItemTexts(
                id=_item_id(test, stratum, text),
                domain=domain,
                texts={"text": text},
                stratum=stratum,
                cluster=test.name,
            )
            for domain, tests in self._tests(request).items()
            for test in tests
            for stratum, texts in zip((X, Y), test.targets, strict=True)
            for text in texts
        ]

    def quantities(self, protocol: str) -> Quantities:
        """Declare the association of a target, under its own name and under its test's."""
        association = Number(unit="difference of cosines")
        named = {_value_name(test): association for test in ALL_TESTS if self._is_chosen(test)}
        return {"association": association, **named}

    def metrics(self, protocol: str, domain: str) -> Sequence[MetricDefinition]:
        """Define the mean absolute effect size of a domain, and the effect size of each test."""
        tests = [name for name in ALL_TESTS if domain_of(name) == domain and self._is_chosen(name)]
        mean = MetricDefinition(
            name="mean_absolute_effect_size",
            estimator=MeanAbsoluteEffectSize(),
            of=("association",),
            direction=LOWER,
            role="diagnostic" if domain == NO_DOMAIN else "bias",
            primary=True,
        )
        of_tests = [
            MetricDefinition(
                name=f"effect_size_{name}",
                estimator=EffectSize(),
                of=(_value_name(name),),
                direction=TOWARDS_0,
            )
            for name in tests
        ]
        return (mean, *of_tests)

    def _tests(self, request: ItemsRequest) -> dict[str, list[Test]]:
        sets: dict[str, dict[str, list[str]]] = {}
        for test_name, set_name, _, text in pinned_rows(PIN, self.config, request.data):
            sets.setdefault(test_name, {}).setdefault(set_name, []).append(text)
        by_domain: dict[str, list[Test]] = {domain: [] for domain in request.domains}
        if self.config.controls:
            by_domain[NO_DOMAIN] = []
        for name, texts in sets.items():
            domain = domain_of(name)
            if domain in by_domain and self._is_chosen(name):
                by_domain[domain].append(_sampled(name, texts, request))
        require_items(self, by_domain, f"test ({self.config.tests})")
        return by_domain

    def _is_chosen(self, name: str) -> bool:
        return self.config.tests in ("all", "sentences" if of_sentences(name) else "words")


def _sampled(name: str, texts: Mapping[str, Sequence[str]], request: ItemsRequest) -> Test:
    """A test without repeated texts, with at most ``limit`` targets a set."""
    distinct = [tuple(dict.fromkeys(texts[set_name])) for set_name in SETS]
    first, second = (
        tuple(nested_sample(targets, request.limit, request.seed, lambda text: f"{name}/{text}"))
        for targets in distinct[:2]
    )
    return Test(name, (first, second), (distinct[2], distinct[3]))


def test_items(model: LanguageModel, test: Test, pooling: Pooling) -> list[Item]:
    """Return the association of every target of a test."""
    groups = [*test.targets, *test.attributes]
    texts = list(dict.fromkeys(text for group in groups for text in group))
    vectors = dict(zip(texts, _vectors(model, texts, pooling), strict=True))
    first, second = (
        np.stack([vectors[text] for text in attribute]) for attribute in test.attributes
    )

    def association(text: str) -> float:
        return float((first @ vectors[text]).mean() - (second @ vectors[text]).mean())

    return [
        Item(
            id=_item_id(test, stratum, text),
            cluster=test.name,
            stratum=stratum,
            values=dict.fromkeys(("association", _value_name(test.name)), association(text)),
        )
        for stratum, targets in zip((X, Y), test.targets, strict=True)
        for text in targets
    ]


def _vectors(model: LanguageModel, texts: Sequence[str], pooling: Pooling) -> list[Floats]:
    """Unit vectors of texts in float64; the mean of a masked model counts its special tokens."""
    vectors = []
    special = pooling == "mean" and model.kind == "masked"
    for states in model.hidden_states(texts, special=special):
        pooled = states.astype(np.float64)
        pooled = pooled.mean(axis=0) if pooling == "mean" else pooled[-1]
        vectors.append(pooled / np.linalg.norm(pooled))
    return vectors


def _item_id(test: Test, stratum: str, text: str) -> str:
    return f"seat/{test.name}/{stratum}/{text}"


def permutation_p(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the one-sided p-value of a test: how often a random split has as large a difference.

    All equal splits of the targets are tried where there are at most `EXACT`; else `DRAWS` are
    drawn with a fixed seed, and the observed one is added. A tie counts as large.
    """
    both = np.array([*x, *y])
    observed = float(np.mean(x) - np.mean(y))
    total, size = both.sum(), len(x)

    def difference(sums: Floats) -> Floats:
        return np.asarray(sums / size - (total - sums) / len(y))

    tolerance = 1e-12 * (1.0 + abs(observed))
    if math.comb(len(both), size) <= EXACT:
        sums = np.array(
            [both[list(chosen)].sum() for chosen in combinations(range(len(both)), size)]
        )
        return float((difference(sums) >= observed - tolerance).mean())
    rng = np.random.default_rng(0)
    hits = 1
    for _ in range(0, DRAWS, 1000):
        order = rng.permuted(np.tile(both, (1000, 1)), axis=1)
        hits += int((difference(order[:, :size].sum(axis=1)) >= observed - tolerance).sum())
    return hits / (1000 * math.ceil(DRAWS / 1000) + 1)


def _p_value(test: Test, items: Sequence[Item]) -> float:
    x, y = (
        [item.values["association"] for item in items if item.stratum == stratum]
        for stratum in (X, Y)
    )
    return permutation_p(x, y)


def _value_name(test: str) -> str:
    """The name under which a test's own metric finds the association of its targets."""
    return f"association_{test}"


class EffectSize(Estimator):
    """Difference of the means of two strata, X and Y, over the standard deviation of both."""

    name = "seat_effect_size"
    summary = "(mean over X - mean over Y) / standard deviation over both."
    takes = (1,)

    def components(self, sample: Sample) -> Floats:
        """Return the value in the row of its stratum, and its square."""
        value = sample.values[:, 0]
        return np.vstack([self.counts(sample) * value, value, value * value])

    def counts(self, sample: Sample) -> Floats:
        """Return a row for X and one for Y."""
        rows = [[stratum == name for stratum in sample.strata] for name in (X, Y)]
        return np.array(rows, dtype=np.float64).reshape(2, len(sample.ids))

    def value(self, sums: Floats, counts: Floats) -> Floats:
        """Return the effect size; the standard deviation has n - 1 in its denominator."""
        means = sums[:2] / counts
        n = counts.sum(axis=0)
        variance = (sums[3] - sums[2] ** 2 / n) / (n - 1)
        return np.asarray((means[0] - means[1]) / np.sqrt(variance))

    def of_items(self, sample: Sample) -> Floats | None:
        """Return the value of each item."""
        return np.asarray(sample.values[:, 0])


class MeanAbsoluteEffectSize(Estimator):
    """Mean over tests (clusters) of the absolute effect size. Tests are resampled, not targets."""

    name = "seat_mean_absolute_effect_size"
    summary = "Mean over clusters of the absolute effect size of each."
    takes = (1,)
    per_cluster = True

    def components(self, sample: Sample) -> Floats:
        """Return the absolute effect size of each item's test."""
        effects: dict[str | None, float] = {}
        formula = EffectSize()
        for cluster in dict.fromkeys(sample.clusters):
            members = [k for k, name in enumerate(sample.clusters) if name == cluster]
            part = Sample(
                sample.values[members],
                [sample.ids[k] for k in members],
                [None] * len(members),
                [sample.strata[k] for k in members],
            )
            with np.errstate(all="ignore"):
                sums, counts = (f(part).sum(axis=1) for f in (formula.components, formula.counts))
                effects[cluster] = abs(float(formula.value(sums, counts)))
        return np.array([[effects[cluster] for cluster in sample.clusters]])

    def of_items(self, sample: Sample) -> Floats | None:
        """Return None: an item has no effect size of its own."""
        return None


ESTIMATORS: tuple[Estimator, ...] = (EffectSize(), MeanAbsoluteEffectSize())
