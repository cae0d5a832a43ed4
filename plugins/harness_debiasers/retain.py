"""What unlearning keeps: a loss on neutral text, added to the one that forgets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from harness.lm.handle import LanguageModel
from harness.types import DebiasRequest
from harness_debiasers.lm_loss import TextRow, endless, mean_logprob, row_logits, text_rows

if TYPE_CHECKING:
    import torch

Retain = Literal["none", "nll", "kl"]


def retainer(
    request: DebiasRequest, kind: Retain, batch_size: int, longest: int
) -> Callable[[LanguageModel], torch.Tensor] | None:
    """Return the loss on a batch of neutral texts, drawn again at each call; None for ``none``.

    ``nll`` is the mean cross entropy a token; ``kl`` the mean over tokens of
    ``KL(base || model)``, for which a frozen copy of the base is kept.

    Raises:
        DebiasError: there is no neutral text.
    """
    if kind == "none":
        return None
    texts = [p.text for p in request.neutral]
    rows = text_rows(request.model, texts, seed=request.seed, longest=longest)
    draw = endless(rows, batch_size, request.seed + 1, "the neutral corpus")
    if kind == "nll":
        return lambda model: -mean_logprob(model, next(draw))
    base = request.model.copy()

    def divergence(model: LanguageModel) -> torch.Tensor:
        return base_divergence(base, model, next(draw))

    return divergence


def base_divergence(
    base: LanguageModel, model: LanguageModel, rows: Sequence[TextRow]
) -> torch.Tensor:
    """Return the mean ``KL(base || model)`` of next-token distributions, in nats.

    The mean is over the tokens of the texts; the code published with TOFU-style benchmarks sums
    over padding as well.
    """
    import torch

    with torch.no_grad():
        expected = torch.log_softmax(row_logits(base, rows), dim=-1)
    logprobs = torch.log_softmax(row_logits(model, rows), dim=-1)
    total = torch.nn.functional.kl_div(logprobs, expected, reduction="sum", log_target=True)
    return total / len(logprobs)
