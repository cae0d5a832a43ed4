"""Entry point of the built-in debiasers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.families import Debiaser
from harness.hookspecs import hookimpl
from harness_debiasers.cda import Cda
from harness_debiasers.dpo import Dpo
from harness_debiasers.dropout import Dropout
from harness_debiasers.grad_diff import GradDiff
from harness_debiasers.gradient_ascent import GradientAscent, NeutralAscent
from harness_debiasers.identity import Identity
from harness_debiasers.infill_unlearning import InfillUnlearning
from harness_debiasers.inlp import Inlp
from harness_debiasers.leace import Leace
from harness_debiasers.mlm_unlearning import MlmUnlearning
from harness_debiasers.npo import Npo, SimNpo
from harness_debiasers.pcgu import Pcgu
from harness_debiasers.self_debias import SelfDebias
from harness_debiasers.sentence_debias import SentenceDebias
from harness_debiasers.task_vector import TaskVector
from harness_debiasers.weight_noise import WeightNoise


@hookimpl
def harness_debiasers() -> Sequence[type[Debiaser[Any]]]:
    """Return the built-in debiasers."""
    return [
        Cda,
        Dpo,
        Dropout,
        GradDiff,
        GradientAscent,
        Identity,
        InfillUnlearning,
        Inlp,
        Leace,
        MlmUnlearning,
        NeutralAscent,
        Npo,
        Pcgu,
        SelfDebias,
        SentenceDebias,
        SimNpo,
        TaskVector,
        WeightNoise,
    ]
