"""A spec: one readable YAML that says what to run. Any axis may be a list: the run is the product.

A plugin is named by a bare word, or by a mapping ``{use: NAME, as: LABEL, <config fields>}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, JsonValue

from harness.data.domains import Domain
from harness.data.places import DataStore
from harness.families import Family
from harness.planning.hypotheses import Hypotheses
from harness.planning.narrowing import Narrowing
from harness.plugins import Registry
from harness.storage.cells import PLURALS
from harness.types import Label

PLUGIN_KEYS: Mapping[str, Family] = {
    "model": "model",
    "corpus": "corpus",
    "masker": "masker",
    "debiaser": "debiaser",
    "neutral": "corpus",
    "evaluators": "evaluator",
}
"""Spec keys whose entries name plugins, and of which family."""

LIST_KEYS = ("source", "label", "seed", "targets", "steps", *PLUGIN_KEYS)
"""Spec keys that may be one value or a list of them."""


class Part(BaseModel):
    """Base of the parts of a spec."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PluginUse(Part):
    """A plugin, its config as validated (defaults filled in), and the label shown in tables."""

    use: str
    label: str
    config: dict[str, JsonValue]
    domains: Annotated[
        tuple[str, ...] | None, Field(description="evaluators: narrower than the targets")
    ] = None
    only: Annotated[Narrowing | None, Field(description="debiasers: narrower than the axes")] = None


class Limits(Part):
    """How much of the data is used; absent: all of it."""

    passages: Annotated[int | None, Field(ge=1, description="passages to unlearn")] = None
    unseen: Annotated[int | None, Field(ge=1, description="unseen passages a target")] = 200
    neutral: Annotated[int | None, Field(ge=1, description="neutral passages")] = 2000
    items: Annotated[int | None, Field(ge=1, description="evaluation items a domain")] = None
    sample_seed: Annotated[
        int,
        Field(
            validation_alias=AliasChoices("sample_seed", "seed"),
            description="draws evaluation items and unseen passages, the same for every fit",
        ),
    ] = 0
    fixed_passages: Annotated[
        bool,
        Field(
            description="true: every fit learns from the same passages, drawn by sample_seed; "
            "false: the seed of a fit draws its passages"
        ),
    ] = False

    @property
    def item_seed(self) -> int:
        """The seed that draws evaluation items; 0 where none are left out."""
        return 0 if self.items is None else self.sample_seed


def stored_limits(limits: object) -> dict[str, Any]:
    """Return the limits of a stored spec under today's names.

    Runs from before the seed of a fit drew its passages have ``seed`` instead of ``sample_seed``.

    Args:
        limits: as the index of a run has them; None for none.
    """
    if not isinstance(limits, Mapping):
        return {}
    renamed = dict(limits)
    if renamed and "sample_seed" not in renamed:
        renamed |= {"sample_seed": renamed.pop("seed", 0), "fixed_passages": True}
    return renamed


FASTEST_GROWTH = 4
"""Power of the step that bounds how fast a fit's divergence from the base grows.

At a constant learning rate it grows about with the square of the step, in a warm-up about with the
fourth power. Steps that are too early for a dose by this bound are not checked.
"""


class StopAt(Part):
    """The dose at which a fit stops, instead of being measured at every step.

    The dose is the Kullback-Leibler divergence of the base model from the debiased one on held-out
    neutral text, in nats a token. It is worked out at each of the spec's steps; the fit is measured
    at the first one that reaches it.
    """

    kl: Annotated[
        float, Field(gt=0, allow_inf_nan=False, description="nats a token at which fits stop")
    ]
    windows: Annotated[
        int, Field(ge=40, le=10_000, description="texts of the neutral corpus's test split")
    ] = 40
    tokens: Annotated[int, Field(ge=8, le=4096, description="tokens of a text that are used")] = 64


class Spec(Part):
    """What to run. Every axis is a tuple; the run is their product."""

    name: Annotated[str, Field(description="names the run's folder")]
    description: str = ""
    model: tuple[PluginUse, ...]
    corpus: tuple[PluginUse, ...] = ()
    source: Annotated[tuple[str, ...], Field(description="domains to debias in")] = ()
    label: Annotated[tuple[Label, ...], Field(description="which passages to unlearn")] = (
        "hateful",
    )
    masker: tuple[PluginUse, ...] = ()
    debiaser: tuple[PluginUse, ...] = ()
    neutral: Annotated[tuple[PluginUse, ...], Field(max_length=1)] = ()
    evaluators: Annotated[tuple[PluginUse, ...], Field(min_length=1)]
    targets: Annotated[tuple[str, ...], Field(description="domains to measure in")]
    steps: Annotated[tuple[int, ...], Field(description="checkpoints to measure")] = (
        10,
        20,
        30,
        40,
        50,
    )
    seed: tuple[int, ...] = (0,)
    device: str = "cpu"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    limits: Limits = Limits()
    domains: Annotated[
        tuple[Domain, ...], Field(description="domains of your own: terms and counterparts")
    ] = ()
    stop_at: Annotated[
        StopAt | None, Field(description="stop stepwise fits at a dose; absent: measure all steps")
    ] = None
    keep_checkpoints: Annotated[
        bool, Field(description="keep the debiased models in the run's folder")
    ] = False
    hypotheses: Annotated[
        Hypotheses | None, Field(description="what the study tests; the rest is exploratory")
    ] = None

    def axes(self) -> dict[str, list[str | int]]:
        """The values of each axis, plugins by their labels, under the axis's plural."""
        return {
            plural: [
                use.label if isinstance(use, PluginUse) else use for use in getattr(self, axis)
            ]
            for axis, plural in PLURALS.items()
        }


def known_data(spec: Spec, registry: Registry, data: DataStore) -> DataStore:
    """Return the places of data with the domains of the plugins and of the spec.

    Where both describe a domain, the spec's description counts.
    """
    return replace(data, domains=data.domains | registry.domains | spec.domains)


# -- validation ------------------------------------------------------------------------------


def measured_domains(spec: Spec, use: PluginUse, registry: Registry) -> tuple[str, ...]:
    """Target domains an evaluator is asked for: its own list or the targets, that it has."""
    evaluator = registry.get("evaluator", use.use).plugin
    wanted = use.domains or spec.targets
    if not evaluator.domains:
        return wanted
    return tuple(domain for domain in wanted if domain in evaluator.domains)


def masker_of_words(spec: Spec, registry: Registry) -> PluginUse | None:
    """Return the first masker that is not a control; None if there is none."""
    for use in spec.masker:
        if registry.get("masker", use.use).plugin.control is None:
            return use
    return None
