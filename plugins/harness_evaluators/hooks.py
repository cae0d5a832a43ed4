"""Entry point of the built-in evaluators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.estimators import Estimator
from harness.families import Evaluator
from harness.hookspecs import hookimpl
from harness_evaluators import association_gap, choices, seat
from harness_evaluators.association_gap import AssociationGap
from harness_evaluators.bbq import Bbq
from harness_evaluators.blimp import Blimp
from harness_evaluators.crows_pairs import CrowsPairs
from harness_evaluators.embedded import EmbeddedPairs, EmbeddedPerplexity, EmbeddedTriples
from harness_evaluators.lm_eval_tasks import LmEval
from harness_evaluators.neutral_kl import NeutralKl
from harness_evaluators.own_items import OwnPairs, OwnTriples
from harness_evaluators.pairs import HalfDifference
from harness_evaluators.perplexity import CorpusPerplexity, WikiText2Perplexity
from harness_evaluators.redditbias import RedditBiasPairs
from harness_evaluators.seat import Seat
from harness_evaluators.stereoset import StereoSet
from harness_evaluators.winobias import WinoBias
from harness_evaluators.winogender import Winogender


@hookimpl
def harness_evaluators() -> Sequence[type[Evaluator[Any]]]:
    """Return the built-in evaluators."""
    return [
        AssociationGap,
        Bbq,
        Blimp,
        CorpusPerplexity,
        CrowsPairs,
        EmbeddedPairs,
        EmbeddedPerplexity,
        EmbeddedTriples,
        LmEval,
        NeutralKl,
        OwnPairs,
        OwnTriples,
        RedditBiasPairs,
        Seat,
        StereoSet,
        WikiText2Perplexity,
        WinoBias,
        Winogender,
    ]


@hookimpl
def harness_estimators() -> Sequence[Estimator]:
    """Return the estimators that the built-in evaluators add."""
    return [HalfDifference(), *choices.ESTIMATORS, *seat.ESTIMATORS, *association_gap.ESTIMATORS]
