"""Items, metrics, and which way a metric is good.

An evaluator says *which* estimator a metric applies to *which* item values (`MetricDefinition`);
`harness.estimators` does the arithmetic. So every stored number can be recomputed from the stored
items (``harness verify``), and a reader can compute a metric that a run did not store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

if TYPE_CHECKING:
    from harness.estimators import Estimate, Estimator, Sample

Role = Literal["bias", "language", "diagnostic"]
"""What a metric tells: ``bias`` is what a method should change, ``language`` is what that may
cost, ``diagnostic`` explains the others and is in no summary."""


class Item(BaseModel):
    """One scored unit: a pair, a triple, a window, a text.

    `values` holds numbers by name; the evaluator's `quantities` say what each of them is.
    `cluster` is the term or template that items share; `stratum` splits them into halves (stereo,
    antistereo).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(min_length=1)]
    cluster: str | None = None
    stratum: str | None = None
    values: dict[str, float]
    texts: Annotated[
        tuple[str, ...],
        Field(
            exclude=True,
            description="accepted from older plugins and not used; `Evaluator.items` gives texts",
        ),
    ] = ()


class Direction(BaseModel):
    """Which way is good: up, down, towards a target value, or none of these."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["higher", "lower", "target", "none"]
    target: float | None = None

    def distance(self, value: float) -> float:
        """Distance to the ideal in the metric's own unit.

        It is ``-value`` if higher is better, and 0 if the metric has no ideal.
        """
        if self.kind == "target":
            assert self.target is not None
            return abs(value - self.target)
        return {"lower": value, "higher": -value}.get(self.kind, 0.0)


HIGHER = Direction(kind="higher")
LOWER = Direction(kind="lower")
TOWARDS_50 = Direction(kind="target", target=50.0)
TOWARDS_0 = Direction(kind="target", target=0.0)
TOWARDS_1 = Direction(kind="target", target=1.0)
NO_IDEAL = Direction(kind="none")
"""For a diagnostic that is neither good nor bad, such as how rare a group's words are."""


class MetricDefinition(BaseModel):
    """How a metric comes from the items, which way is good, and what it is for.

    `estimator` is the name of an estimator, or an `harness.estimators.Estimator` object, which is
    then known by its name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    estimator: str
    of: Annotated[tuple[str, ...], Field(min_length=1, description="the item values it reads")]
    direction: Direction
    stratum: Annotated[str | None, Field(description="only items of this stratum")] = None
    role: Annotated[
        Role | None,
        Field(
            description="bias, language or diagnostic; default: bias for a metric with a target, "
            "language for another primary one, else diagnostic"
        ),
    ] = None
    primary: Annotated[bool, Field(description="shown in a matrix unless another is asked")] = False
    whole: Annotated[
        str | None,
        Field(
            description="name of the metric that this one is a half of (with a stratum), or of "
            "which it is the mean of the halves (without one)"
        ),
    ] = None

    @field_validator("estimator", mode="before")
    @classmethod
    def _estimator_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            return value
        from harness.estimators import Estimator, install

        if isinstance(value, Estimator):
            install([value])
            return value.name
        return value

    @model_validator(mode="after")
    def _with_role(self) -> MetricDefinition:
        """Fill in the role of a metric that was made or stored without one."""
        if self.role is None:
            other: Role = "language" if self.primary else "diagnostic"
            role: Role = "bias" if self.direction.kind == "target" else other
            object.__setattr__(self, "role", role)  # frozen, and not yet seen by anyone
        return self

    def halves(self, strata: Iterable[str]) -> Iterator[MetricDefinition]:
        """Yield the metric of each stratum alone, called ``NAME_STRATUM``; none is primary."""
        for stratum in strata:
            yield self.model_copy(
                update={
                    "name": f"{self.name}_{stratum}",
                    "stratum": stratum,
                    "primary": False,
                    "whole": self.name,
                }
            )

    @property
    def needs_base(self) -> bool:
        """Whether the value of a debiased model needs the base model's items.

        Raises:
            PluginError: the estimator is unknown, or takes another number of values.
        """
        return self.formula().needs_base

    def compute(self, items: Iterable[Item]) -> Metric:
        """Compute the metric from the items that carry all the values it reads.

        Raises:
            PluginError: the estimator is unknown, takes another number of values, or needs the
                base model's items.
        """
        return self.compute_sample(self.sample(items))

    def compute_sample(self, sample: Sample) -> Metric:
        """Compute the metric from a sample; ``sample.reference`` is stored with it."""
        from harness.estimators import estimate_sample

        result = estimate_sample(self.formula(based=bool(sample.reference)), sample)
        return Metric(
            **{name: getattr(self, name) for name in MetricDefinition.model_fields},
            value=result.value,
            n=result.n,
            numerator=result.numerator,
            reference=sample.reference,
        )

    def sample(self, items: Iterable[Item], reference: tuple[float, ...] = ()) -> Sample:
        """Return the items that the metric is made of."""
        return sample_of(items, self.of, self.stratum, reference)

    def formula(self, *, based: bool = True) -> Estimator:
        """Return the estimator behind the name.

        Args:
            based: whether the numbers that it takes from the base model's items are known.

        Raises:
            PluginError: it is unknown, takes another number of values than ``of`` names, or
                needs the base model's items.
        """
        return _formula(self.estimator, self.of, based=based)


class Metric(MetricDefinition):
    """A metric with its value.

    `value` is None where the estimator has none: no item, an empty stratum, a division by zero,
    an overflow. `n` counts the items used, `numerator` the hits of a percentage.
    """

    value: float | None
    n: int
    numerator: float | None = None
    reference: Annotated[
        tuple[float, ...],
        Field(description="numbers that the estimator took from the base model's items"),
    ] = ()

    @classmethod
    def of_items(
        cls,
        name: str,
        items: Iterable[Item],
        *,
        estimator: str | Estimator,
        of: tuple[str, ...],
        direction: Direction,
        stratum: str | None = None,
        role: Role | None = None,
        primary: bool = False,
        whole: str | None = None,
    ) -> Metric:
        """Define a metric and compute it from the items that carry all the values it is of."""
        definition = MetricDefinition(
            name=name,
            estimator=estimator,
            of=of,
            direction=direction,
            stratum=stratum,
            role=role,
            primary=primary,
            whole=whole,
        )
        return definition.compute(items)


def estimate(
    items: Iterable[Item], estimator: str, of: Sequence[str], stratum: str | None = None
) -> Estimate:
    """Apply an estimator to the items of a stratum that carry every value in ``of``.

    Raises:
        PluginError: the estimator is unknown, takes another number of values, or needs the base
            model's items.
    """
    from harness.estimators import estimate_sample

    formula = _formula(estimator, of, based=False)
    return estimate_sample(formula, sample_of(items, of, stratum))


def sample_of(
    items: Iterable[Item],
    of: Sequence[str],
    stratum: str | None = None,
    reference: tuple[float, ...] = (),
) -> Sample:
    """Return the items of a stratum that carry every value in ``of``, as arrays."""
    import numpy as np

    from harness.estimators import Sample

    used = [
        item
        for item in items
        if (stratum is None or item.stratum == stratum) and all(k in item.values for k in of)
    ]
    values = np.array([[item.values[k] for k in of] for item in used], dtype=np.float64)
    return Sample(
        values.reshape(len(used), len(of)),
        [item.id for item in used],
        [item.cluster for item in used],
        [item.stratum for item in used],
        reference,
    )


def _formula(name: str, of: Sequence[str], *, based: bool) -> Estimator:
    from harness.errors import PluginError
    from harness.estimators import find_estimator

    estimator = find_estimator(name)
    if estimator.takes and len(of) not in estimator.takes:
        wanted = " or ".join(map(str, estimator.takes))
        raise PluginError(f"estimator '{name}' reads {wanted} item values, not {len(of)}: {of}")
    if estimator.needs_base and not based:
        raise PluginError(
            f"estimator '{name}' reads a model relative to its base: return its definition from "
            "Evaluator.metrics() instead of computing it"
        )
    return estimator
