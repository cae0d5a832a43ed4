"""The pydantic models that cross the plugin boundary. Frozen; requests may gain fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from harness.data.places import DataStore
from harness.lm.handle import LanguageModel
from harness.metrics import Item, Metric, MetricDefinition
from harness.quantities import Quantity

Label = Literal["hateful", "non-hateful"]
Split = Literal["train", "test"]
ControlKind = Literal["identity", "masks", "texts", "change"]
"""Why methods are compared with a masker or debiaser instead of ranked against it.

``identity``: leaves the model as it is; ``masks``: the same texts with other words masked;
``texts``: texts that are not hateful; ``change``: changes the model without aiming at bias.
"""


class Frozen(BaseModel):
    """Base of everything that crosses the boundary: immutable, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


# -- corpora ---------------------------------------------------------------------------------


class Passage(Frozen):
    """A text about (or, for plain text, free of) a social group."""

    id: Annotated[str, Field(min_length=1, description="stable across runs and machines")]
    text: Annotated[str, Field(min_length=1)]
    domain: Annotated[str, Field(description="canonical domain, or 'none' for plain text")]
    group: Annotated[str | None, Field(description="target group, as the corpus names it")] = None
    label: Label
    split: Split

    @model_validator(mode="after")
    def _not_blank(self) -> Passage:
        if not self.text.strip():
            raise ValueError(f"passage {self.id!r} has a blank text")
        return self


class PassageRequest(Frozen):
    """Ask a corpus for passages of one domain, split and label."""

    domain: Annotated[str, Field(description="canonical domain; 'none' asks for plain text")]
    label: Label
    split: Split
    limit: Annotated[int | None, Field(ge=1)] = None
    seed: int = 0
    keep_seen: Annotated[
        bool,
        Field(
            description="for reports: also give test passages that nearly repeat training passages"
        ),
    ] = False
    data: DataStore


class Placing(NamedTuple):
    """A row whose target annotators coded, and whether the corpus's own rule finds it.

    Attributes:
        coded: the domains that the codes name.
        placed: True if the rule places the text in the domain that was asked about.
    """

    coded: frozenset[str]
    placed: bool


# -- maskers ---------------------------------------------------------------------------------


class Span(Frozen):
    """A half-open character range ``[start, end)`` of a passage to be masked."""

    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(gt=0)]
    kind: Annotated[str, Field(description="what the span is: attribute, harm, random, all, …")]
    reason: Annotated[str, Field(description="the rule or answer that chose it")]


class MaskedPassage(Frozen):
    """A passage with the spans to unlearn, sorted and not overlapping; spans may be empty."""

    passage: Passage
    spans: tuple[Span, ...]
    note: Annotated[
        str | None, Field(description="why a passage has no spans: refused, malformed answer, …")
    ] = None
    final: Annotated[
        bool,
        Field(description="False: a service failed to answer; another run asks it again"),
    ] = True

    @model_validator(mode="after")
    def _spans_fit(self) -> MaskedPassage:
        end = 0
        for span in self.spans:
            if span.start < end or span.end <= span.start or span.end > len(self.passage.text):
                raise ValueError(
                    f"span {span.start}-{span.end} of passage {self.passage.id!r} is out of "
                    "order, overlaps another, is empty, or leaves the text"
                )
            end = span.end
        return self


class MaskUsage(Frozen):
    """What a masker used of a service."""

    calls: Annotated[int, Field(description="requests that reached the service")] = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: Annotated[float | None, Field(description="US dollars; None if no price is known")] = 0.0
    unaccounted: Annotated[
        int, Field(description="calls whose tokens are not known and counted as the most possible")
    ] = 0
    events: Annotated[
        Mapping[str, int], Field(description="failed calls, refusals, …, by kind")
    ] = {}


class MaskRequest(Frozen):
    """Ask a masker which words of each passage to mask. One answer a passage, same order."""

    passages: tuple[Passage, ...]
    domain: str
    seed: int = 0
    data: DataStore
    progress: Progress
    account: Account = lambda usage: None
    """Called by a masker that used a service, also when it failed in the end."""


class MaskEstimate(Frozen):
    """What masking would cost, before anything is asked of a service."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: Annotated[float | None, Field(description="US dollars; None if no price is known")] = 0.0


# -- debiasers -------------------------------------------------------------------------------


class DebiasRequest(Frozen):
    """A private copy of the model and what to learn from."""

    model: LanguageModel
    domain: Annotated[str, Field(description="the source domain")]
    passages: tuple[Passage, ...] = ()
    masked: tuple[MaskedPassage, ...] = ()
    neutral: tuple[Passage, ...] = ()
    steps: Annotated[tuple[int, ...], Field(description="steps to yield at, ascending")]
    seed: int = 0
    data: DataStore
    progress: Progress


class Checkpoint(NamedTuple):
    """A model to be measured before the debiaser continues, and what it has logged so far.

    The model may be the request's own, changed in place: it is measured before the iterator
    is advanced.
    """

    step: int
    model: LanguageModel
    log: Mapping[str, JsonValue]


# -- evaluators ------------------------------------------------------------------------------


class ItemsRequest(Frozen):
    """Ask which items a measurement would have, without a model."""

    domains: tuple[str, ...]
    limit: Annotated[int | None, Field(ge=1, description="items a domain")] = None
    seed: int = 0
    unlearned: Annotated[
        tuple[Passage, ...], Field(description="texts the method was fitted on")
    ] = ()
    unseen: Annotated[
        tuple[Passage, ...], Field(description="test texts of the target domains")
    ] = ()
    masked: Annotated[
        tuple[MaskedPassage, ...],
        Field(description="masked test texts of the target domains, of both labels"),
    ] = ()
    data: DataStore


class ItemTexts(Frozen):
    """An item and its texts, as the data set has them.

    The roles of the texts are the names of their scores where each text has one: ``more`` and
    ``less``; ``stereotype``, ``antistereotype`` and ``unrelated``; ``text``.
    """

    id: Annotated[str, Field(min_length=1, description="as in the measurement")]
    domain: str
    texts: Annotated[dict[str, str], Field(description="by role, in the order to show them")]
    stratum: str | None = None
    cluster: str | None = None


class EvaluationRequest(ItemsRequest):
    """A model and the target domains to measure it on."""

    model: LanguageModel
    sample: Annotated[
        int | None,
        Field(
            ge=1,
            description="for `harness repro`: evaluate about this many of the items that `limit` "
            "does not bound (windows), under their usual ids",
        ),
    ] = None
    neutral: Annotated[
        tuple[Passage, ...], Field(description="held-out plain text, for those that read it")
    ] = ()
    remembered: Annotated[
        Any, Field(description="what `Evaluator.remember` returned for the base model")
    ] = None
    progress: Progress


class Measurement(Frozen):
    """One evaluator, domain and protocol (scorer): metrics, and the items behind them.

    `Evaluator.measurement` makes one from items. `quantities` and `derived` are filled from the
    evaluator's declarations where they are empty; records of older versions have neither, and
    readers ask the evaluator.
    """

    domain: str
    protocol: str
    metrics: tuple[Metric, ...]
    items: tuple[Item, ...]
    note: Annotated[str | None, Field(description="what a reader must know")] = None
    quantities: Annotated[
        dict[str, Quantity], Field(description="what each item value is, by its name")
    ] = {}
    derived: Annotated[
        tuple[MetricDefinition, ...],
        Field(description="metrics that readers compute from these items and the base model's"),
    ] = ()


# -- models ----------------------------------------------------------------------------------


class LoadRequest(Frozen):
    """Where a model shall live. What it is, is its plugin's config."""

    device: str = "cpu"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    cache_dir: Path


Progress = Callable[[int, int, str], Any]
"""``progress(done, total, what)``: called as work advances; cheap, never raises."""

Account = Callable[[MaskUsage], Any]
"""``account(usage)``: told what a service was used for; cheap, never raises."""


def no_progress(done: int, total: int, what: str) -> None:
    """Report nothing."""


for _model in (MaskRequest, DebiasRequest, EvaluationRequest):
    _model.model_rebuild()
