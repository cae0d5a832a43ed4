"""Helpers for plugin authors: contract checks, sample requests and tiny models."""

from harness.testing.checks import (
    ContractError,
    Step,
    check_corpus,
    check_debiaser,
    check_evaluator,
    check_masker,
    check_model,
    load_plugin,
)
from harness.testing.samples import sample_masked, sample_passages
from harness.testing.tiny_models import save_tiny_model, tiny_causal_model, tiny_masked_model

__all__ = [
    "ContractError",
    "Step",
    "check_corpus",
    "check_debiaser",
    "check_evaluator",
    "check_masker",
    "check_model",
    "load_plugin",
    "sample_masked",
    "sample_passages",
    "save_tiny_model",
    "tiny_causal_model",
    "tiny_masked_model",
]
