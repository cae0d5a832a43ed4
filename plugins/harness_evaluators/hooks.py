"""Entry point of the built-in evaluators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.estimators import Estimator
from harness.families import Evaluator
from harness.hookspecs import hookimpl
from harness_evaluators.crows_pairs import CrowsPairs
from harness_evaluators.embedded import EmbeddedPairs, EmbeddedPerplexity, EmbeddedTriples
from harness_evaluators.pairs import HalfDifference
from harness_evaluators.perplexity import CorpusPerplexity, WikiText2Perplexity
from harness_evaluators.stereoset import StereoSet


@hookimpl
def harness_evaluators() -> Sequence[type[Evaluator[Any]]]:
    """Return the built-in evaluators."""
    return [
        CorpusPerplexity,
        CrowsPairs,
        EmbeddedPairs,
        EmbeddedPerplexity,
        EmbeddedTriples,
        StereoSet,
        WikiText2Perplexity,
    ]


@hookimpl
def harness_estimators() -> Sequence[Estimator]:
    """Return the estimators that the built-in evaluators add."""
    return [HalfDifference()]
