"""What tests of evaluators share: requests, and the loss of one sentence by transformers."""

from __future__ import annotations

import torch

from harness.data.places import DataStore
from harness.lm.handle import LanguageModel
from harness.types import EvaluationRequest, Measurement, no_progress

TEXTS = ["Women wait near the station.", "They are seen from the old window."]


def request(
    model: LanguageModel, data: DataStore, *domains: str, limit: int | None = None
) -> EvaluationRequest:
    return EvaluationRequest(
        model=model,
        domains=domains,
        limit=limit,
        unlearned=(),
        unseen=(),
        data=data,
        progress=no_progress,
    )


def metric(measurement: Measurement, name: str) -> float | None:
    (found,) = [m for m in measurement.metrics if m.name == name]
    return found.value


def hf_loss(model: LanguageModel, text: str, *, start: bool) -> float:
    """The transformers loss of one sentence: mean over its predicted tokens."""
    ids = ([model.start_id] if start else []) + model.encode(text)
    row = torch.tensor([ids])
    with torch.no_grad():
        return float(model.module(input_ids=row, labels=row).loss)
