"""The five plugin families: what a plugin class is.

A plugin class has a `name`, a one-line `summary`, a `reference`, a pydantic `Config` that
documents every parameter, and one method that takes one frozen request and gives one typed
answer. It is constructed with its validated config and keeps no other state between calls.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from harness.data.pins import Pin, Row, check, verified
from harness.data.places import DataStore
from harness.lm.handle import LanguageModel, ModelKind
from harness.metrics import Item, MetricDefinition
from harness.quantities import Quantities
from harness.types import (
    Checkpoint,
    ControlKind,
    DebiasRequest,
    EvaluationRequest,
    ItemsRequest,
    ItemTexts,
    LoadRequest,
    MaskedPassage,
    MaskEstimate,
    MaskRequest,
    Measurement,
    Passage,
    PassageRequest,
    Placing,
)

DebiaserInput = Literal["passages", "masks", "neutral", "domain"]
Family = Literal["corpus", "masker", "debiaser", "evaluator", "model"]


NOT_IN_KEY: dict[str, JsonValue] = {"x-not-in-key": True}
"""``Field(json_schema_extra=NOT_IN_KEY)``: a setting that cannot change an answer (a timeout), or
whose effect the fingerprint already covers (a file's path: its content is hashed)."""

HIDDEN_INPUT = "hidden_input"
"""Type of a ``PydanticCustomError`` from a config validator whose input may hold a secret: the
message to the user then does not show the value."""


class PluginConfig(BaseModel):
    """Base of a plugin's Config. Every field needs a description: it is the documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PinnedConfig(PluginConfig):
    """Base of the Config of a plugin that reads one pinned data set; see `pinned_rows`."""

    path: Annotated[
        str | None,
        Field(
            description="the data set's file or folder, or a folder that holds it; default: the "
            "data folders",
            json_schema_extra=NOT_IN_KEY,
        ),
    ] = None
    verify: Annotated[
        bool,
        Field(
            description="refuse items that differ from the pinned ones",
            json_schema_extra=NOT_IN_KEY,
        ),
    ] = True


def pinned_rows(pin: Pin, config: PluginConfig, data: DataStore) -> tuple[Row, ...]:
    """Return the items of a pinned data set, found where a `PinnedConfig` and the data say.

    The file is parsed once in a process.

    Raises:
        DataError: the data set is missing, altered or malformed.
    """
    path, verify = getattr(config, "path", None), getattr(config, "verify", True)
    return verified(pin, data.locate(pin, path), verify=verify)


ConfigT = TypeVar("ConfigT", bound=PluginConfig)


class Plugin(ABC, Generic[ConfigT]):
    """What the five families share. Subclass a family, not this."""

    family: ClassVar[Family]
    name: ClassVar[str]
    summary: ClassVar[str]
    reference: ClassVar[str]
    Config: ClassVar[type[PluginConfig]] = PluginConfig
    pins: ClassVar[tuple[Pin, ...]] = ()
    """Data sets it may read: shown, fetched and verified by `harness data`."""
    every_domain: ClassVar[bool] = False
    """True: it reads the term lists of all domains, so all of them are in its content key. False:
    those of the source domain alone are."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Take `Config` from the type argument: ``class Mine(Debiaser[MineConfig])`` needs no
        ``Config = MineConfig``.
        """
        super().__init_subclass__(**kwargs)
        if "Config" in cls.__dict__:
            return
        for base in getattr(cls, "__orig_bases__", ()):
            for argument in get_args(base):
                if isinstance(argument, type) and issubclass(argument, PluginConfig):
                    cls.Config = argument

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    def reads(self) -> Sequence[tuple[Pin, str | None]]:
        """The data sets that it reads as configured, each with the path given for it, if any."""
        path = getattr(self.config, "path", None)
        return [(pin, None if path is None else str(path)) for pin in self.pins]

    def paths(self) -> Mapping[str, Path]:
        """Fields of its config that name local files or folders: a worker on another machine gets
        copies of those that exist, and a config that names the copies.
        """
        return {
            key: Path(value)
            for key, value in self.config
            if isinstance(value, Path) or (key == "path" and isinstance(value, str))
        }

    def obstacles(self) -> Sequence[str]:
        """Say what would keep the plugin from working on this machine: a missing package or key.

        One line each; none is the default. ``harness plan`` asks, so it must be quick.
        """
        return ()

    def fingerprint(self, data: DataStore) -> Mapping[str, JsonValue]:
        """Return everything outside the config that can change the answer: a file's hash, a
        revision.

        It goes into the content key of each task that the plugin takes part in. It must not load
        a model. By default: a hash of the items of the data sets that it `reads`, for a plugin
        with a `PinnedConfig`.

        Raises:
            HarnessError: what is hashed cannot be read.
        """
        if not isinstance(self.config, PinnedConfig):
            return {}
        hashes = {}
        for pin, _ in self.reads():
            pinned_rows(pin, self.config, data)  # refuses altered items
            hashes[pin.name] = check(pin, data.locate(pin, self.config.path)).items_sha256
        return {"items": next(iter(hashes.values())) if len(hashes) == 1 else dict(hashes)}


class Corpus(Plugin[ConfigT]):
    """Gives hateful and, where it has them, non-hateful passages of a domain."""

    family = "corpus"
    domains: ClassVar[frozenset[str]] = frozenset()
    """Domains that it has passages of; empty: any (a user's own file)."""
    plain: ClassVar[bool] = False
    """True: plain text in domain ``none``, fit to be the neutral text of a spec that names none."""

    @abstractmethod
    def passages(self, request: PassageRequest) -> Sequence[Passage]:
        """Return the passages of a domain, split and label, in a stable order.

        Raises:
            DataError: the data is missing, altered or malformed, or holds no such passage.
        """

    def placings(self, domain: str, data: DataStore) -> Sequence[Placing]:
        """Return how the corpus's own rule does on rows whose target annotators coded.

        For `harness corpus`, which works out precision and recall. By default: none, for a corpus
        that places no text by a rule or has no codes.

        Raises:
            DataError: the data is missing, altered or malformed, or the domain has no terms.
        """
        return ()


class Masker(Plugin[ConfigT]):
    """Chooses the words of a passage to unlearn."""

    family = "masker"
    control: ClassVar[ControlKind | None] = None
    """``masks``: it masks words that no method is about (`random`), so a method fitted on its masks
    is a control of the same method with other masks. None: it is not a control."""

    seeded: ClassVar[bool] = True
    """False: its masks do not depend on the seed, so the seed is not in their keys."""

    @abstractmethod
    def mask(self, request: MaskRequest) -> Sequence[MaskedPassage]:
        """Return one masked passage for each passage, in order."""

    def server(self) -> str | None:
        """Return the address of the service that `mask` sends passages to; None: there is none.

        Redoing a fit of a stored run asks a service only if its address is given on the command
        line, because the run may come from anyone.
        """
        return None

    def estimate(self, request: MaskRequest) -> MaskEstimate:
        """Say what `mask` would cost. Makes no call."""
        return MaskEstimate()


class Debiaser(Plugin[ConfigT]):
    """Changes a private copy of a model: weights, hidden states, or next-token distributions."""

    family = "debiaser"
    inputs: ClassVar[frozenset[DebiaserInput]] = frozenset({"masks"})
    """What its answer depends on: the source's ``passages``, their ``masks`` (which imply the
    passages), ``neutral`` text, or the name of the source ``domain`` alone (word lists of a
    domain applied to neutral text). What is not named is neither given nor part of its key."""
    kinds: ClassVar[frozenset[ModelKind]] = frozenset({"causal", "masked"})
    stepwise: ClassVar[bool] = True
    """False: fitted at once; it is asked for the single step 1."""
    seeded: ClassVar[bool] = True
    """False: no randomness, so one seed is fitted for all."""
    control: ClassVar[ControlKind | None] = None
    """``identity``: it is meant to leave the model's outputs as they are. ``change``: it changes
    the model without aiming at bias (`dropout`, `weight-noise`). None: it is a method."""

    def depends_on_last_step(self) -> bool:
        """Whether the model at a step depends on the last step of the request.

        It does where a learning rate falls towards the last step. True (the default, always safe)
        puts the last step into the content keys, so that longer fits are measured again.
        """
        return True

    @abstractmethod
    def debias(self, request: DebiasRequest) -> Iterator[Checkpoint]:
        """Yield a checkpoint at each requested step, in order.

        The checkpoint of a step must not depend on which other steps were asked for (the last one
        aside, see `depends_on_last_step`). The global generators of Python, numpy and torch are
        seeded with the request's seed before the first step, and never again.

        Raises:
            DebiasError: nothing to learn from, or training diverged.
        """


class Evaluator(Plugin[ConfigT]):
    """Measures a model, on items, in target domains."""

    family = "evaluator"
    domains: ClassVar[frozenset[str]] = frozenset()
    """Canonical domains it has items for; empty: it speaks of no domain (perplexity) and
    answers with domain ``none``."""
    reads_source: ClassVar[bool] = False
    """True: the answer depends on the texts a method was fitted on (`corpus-perplexity`)."""
    reads_neutral: ClassVar[bool] = False
    """True: it reads held-out plain text of the spec's neutral corpus, which is then part of its
    keys; see `EvaluationRequest.neutral`."""
    reads_masks: ClassVar[bool] = False
    """True: it reads masked test passages of the target domains, hateful and non-hateful, from the
    spec's first corpus and first masker that is not a control; see `ItemsRequest.masked`. They
    are the same for every cell, and part of its keys."""
    kinds: ClassVar[frozenset[ModelKind]] = frozenset({"causal", "masked"})

    def remember(self, request: EvaluationRequest) -> object:
        """Return what the evaluator must know of the base model to measure a debiased one.

        Called with the base model, before a fit changes it; `evaluate` gets the answer as
        ``request.remembered``. None (the default): nothing.
        """
        return None

    def least_neutral(self) -> int:
        """Return how many held-out neutral texts it needs at least; 0 by default."""
        return 0

    @abstractmethod
    def evaluate(self, request: EvaluationRequest) -> Sequence[Measurement]:
        """Measure the model: a measurement for each domain and protocol.

        Raises:
            DataError: the data is missing, altered or malformed, or has no item for a domain.
        """

    def quantities(self, protocol: str) -> Quantities:
        """Declare what each value of an item is, by its name.

        ``harness show`` needs it to find flipped decisions and margins, ``harness repro`` to
        compare scores in nats a token, ``harness verify`` to check decisions. An undeclared
        value is a number without a unit.
        """
        return {}

    def metrics(self, protocol: str, domain: str) -> Sequence[MetricDefinition]:
        """Define the metrics of a measurement.

        `measurement` computes them; those that need the base model's items are computed by
        readers. Readers also compute the ones that an older record lacks.
        """
        return ()

    def items(self, request: ItemsRequest) -> Sequence[ItemTexts]:
        """List the items of a measurement and their texts, without a model.

        An item that a scorer leaves out may be among them. Empty: the items have no texts to
        read, or the texts are those of the request's passages.

        Raises:
            DataError: the data is missing, altered or malformed, or has no item for a domain.
        """
        return ()

    def measurement(
        self, domain: str, protocol: str, items: Sequence[Item], note: str | None = None
    ) -> Measurement:
        """Make a measurement of scored items, with the metrics that `metrics` defines."""
        definitions = self.metrics(protocol, domain)
        return Measurement(
            domain=domain,
            protocol=protocol,
            metrics=tuple(d.compute(items) for d in definitions if not d.needs_base),
            items=tuple(items),
            note=note,
            quantities=dict(self.quantities(protocol)),
            derived=tuple(d for d in definitions if d.needs_base),
        )


class Model(Plugin[ConfigT]):
    """Loads a language model."""

    family = "model"
    terms: ClassVar[str | None] = None
    """Terms under which the model may be used, by name and address: shown in `harness plan`, and
    once when the model is first made ready. None: those of a licence that asks for no notice."""

    @abstractmethod
    def load(self, request: LoadRequest) -> LanguageModel:
        """Load the model.

        Raises:
            ModelError: it cannot be found or cannot be read.
        """

    def pinned(self) -> ConfigT:
        """The config with which another machine loads the very same model: what would be looked
        up there (where a hub's branch has moved to) is written out.
        """
        return self.config

    def cached(self, cache_dir: Path) -> Path | None:
        """A folder right below ``cache_dir`` that `load` reads instead of its source, made if need
        be; another machine gets a copy below its own. None: there is no such folder.

        Raises:
            ModelError: it cannot be made.
        """
        return None


FAMILIES: Mapping[Family, type[Plugin[Any]]] = {
    "corpus": Corpus,
    "masker": Masker,
    "debiaser": Debiaser,
    "evaluator": Evaluator,
    "model": Model,
}
