"""Hypotheses: what a study sets out to test, written in its spec before there is a result.

    hypotheses:
      alpha: 0.05
      tests:
        - name: transfer-beats-random-masks
          endpoint: {evaluator: crows-pairs, metric: association, protocol: hf_nll}
          contrast:
            method: {debiaser: mlm-unlearning, masker: wordlist}
            control: {debiaser: mlm-unlearning, masker: random}
            cells: transfer
            pool: false
          side: lower
        - name: no-language-cost
          endpoint: {evaluator: wikitext2-perplexity, metric: perplexity}
          contrast: {method: {debiaser: mlm-unlearning}, cells: all}
          margin: 1.0

Everything that is not a test of this section is exploratory. The section is fixed by its hash in
the index of a run; see `harness.storage.records.Registration`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Side = Literal["lower", "higher", "two-sided"]
Cells = Literal["transfer", "source", "all"]


class HypothesisPart(BaseModel):
    """Base of the parts of the section: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Endpoint(HypothesisPart):
    """The metric that a hypothesis is about."""

    evaluator: Annotated[str, Field(description="label of an entry of the spec's evaluators")]
    metric: Annotated[str, Field(description="name of one of its metrics")]
    protocol: Annotated[
        str | None, Field(description="scorer; default: the only one of the evaluator")
    ] = None


class Arm(HypothesisPart):
    """The cells of one method or control, by their labels in the spec; None: any."""

    debiaser: Annotated[str, Field(description="label of an entry of the spec's debiaser")]
    masker: Annotated[str | None, Field(description="label of an entry of masker")] = None
    corpus: Annotated[str | None, Field(description="label of an entry of corpus")] = None
    label: Annotated[str | None, Field(description="an entry of label")] = None


class Pair(HypothesisPart):
    """One cell of the matrix: debiased in ``source``, measured in ``target``."""

    source: str
    target: str


class Contrast(HypothesisPart):
    """What is compared: the change that a method makes, less the change that a control makes."""

    method: Arm
    control: Annotated[
        Arm | None, Field(description="what is subtracted; absent: the change itself is tested")
    ] = None
    cells: Annotated[
        Cells | tuple[Pair, ...],
        Field(
            description="transfer: every target but the source; source: the source itself; all: "
            "both; or a list of {source, target}"
        ),
    ] = "transfer"
    pool: Annotated[
        bool,
        Field(description="true: one test of the mean over the cells; false: one for each cell"),
    ] = True

    def pairs(self, sources: Sequence[str], targets: Sequence[str]) -> tuple[Pair, ...]:
        """Return the cells that are compared, in the order of the sources and targets given."""
        if not isinstance(self.cells, str):
            return self.cells
        pairs = [Pair(source=source, target=target) for source in sources for target in targets]
        if self.cells == "all":
            return tuple(pairs)
        transfer = self.cells == "transfer"
        return tuple(pair for pair in pairs if (pair.source != pair.target) == transfer)


class Hypothesis(HypothesisPart):
    """One statement that the results can contradict."""

    name: Annotated[str, Field(min_length=1, description="names it in tables")]
    endpoint: Endpoint
    contrast: Contrast
    side: Annotated[
        Side,
        Field(
            description="lower: the method lowers the endpoint by more than the control does; "
            "higher: it raises it by more; two-sided: it differs"
        ),
    ] = "two-sided"
    margin: Annotated[
        float | None,
        Field(
            gt=0,
            allow_inf_nan=False,
            description="equivalence: the contrast is within plus or minus this much of the "
            "endpoint's unit (two one-sided tests); absent: a difference is tested. With a side, "
            "equivalence is tested, too",
        ),
    ] = None
    models: Annotated[
        tuple[str, ...] | None,
        Field(description="labels of the spec's models, each tested by itself; absent: all"),
    ] = None
    step: Annotated[
        int | None, Field(ge=1, description="checkpoint; absent: the last one of each fit")
    ] = None

    def questions(self) -> tuple[Hypothesis, ...]:
        """Return what is tested, each with a p-value of its own: a difference, an equivalence.

        A hypothesis with a side and a margin asks both.
        """
        if self.margin is None or self.side == "two-sided":
            return (self,)
        return (
            self.model_copy(update={"margin": None}),
            self.model_copy(update={"side": "two-sided"}),
        )


class Hypotheses(HypothesisPart):
    """The section as a whole: a family of tests with one error rate (corrected by Holm)."""

    alpha: Annotated[
        float, Field(gt=0, lt=0.5, description="family-wise error rate, corrected by Holm")
    ] = 0.05
    tests: Annotated[tuple[Hypothesis, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self) -> Hypotheses:
        names = [test.name for test in self.tests]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two tests are called '{name}'")
        return self

    def sha256(self) -> str:
        """Return the hash of what is claimed: of the section as validated, not of its spelling."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def mentions(self) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
        """Yield every name that must exist in the spec: where it is, its axis, and the name."""
        for i, test in enumerate(self.tests):
            at = ("hypotheses", "tests", i)
            yield (*at, "endpoint", "evaluator"), "evaluators", test.endpoint.evaluator
            for k, model in enumerate(test.models or ()):
                yield (*at, "models", k), "model", model
            for role in ("method", "control"):
                arm: Arm | None = getattr(test.contrast, role)
                for axis in ("debiaser", "masker", "corpus", "label"):
                    name = getattr(arm, axis, None)
                    if name is not None:
                        yield (*at, "contrast", role, axis), axis, name
            if not isinstance(test.contrast.cells, str):
                for k, pair in enumerate(test.contrast.cells):
                    yield (*at, "contrast", "cells", k, "source"), "source", pair.source
                    yield (*at, "contrast", "cells", k, "target"), "targets", pair.target
            if test.step is not None:
                yield (*at, "step"), "steps", str(test.step)
