"""The dose of a fit: how far the model is from its base on plain text."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from harness.data.domains import NO_DOMAIN
from harness.errors import DataError
from harness.families import Evaluator, PluginConfig
from harness.lm.divergence import BaseDistributions
from harness.metrics import NO_IDEAL, Item, MetricDefinition
from harness.quantities import Number, Quantities
from harness.types import EvaluationRequest, Measurement

PROTOCOL = "base_to_model"


class NeutralKlConfig(PluginConfig):
    """How much text the divergence is a mean over."""

    windows: int = Field(40, ge=40, le=10_000, description="texts of the neutral test split")
    tokens: int = Field(64, ge=8, le=4096, description="tokens of a text that are used")


class NeutralKl(Evaluator[NeutralKlConfig]):
    """Measures KL(base || model) a token on held-out neutral text; 0 for the base itself.

    The base model's distributions are kept in memory while a fit runs; see
    `harness.lm.divergence.BaseDistributions`.
    """

    name = "neutral-kl"
    summary = "KL from the base model on neutral text, in nats a token: the dose of a method."
    reference = "this project"
    reads_neutral = True

    def remember(self, request: EvaluationRequest) -> BaseDistributions:
        """Read the base model's distributions.

        Raises:
            ModelError: the neutral corpus has too few texts.
        """
        texts = [passage.text for passage in request.neutral]
        config = self.config
        return BaseDistributions.of(
            request.model, texts, windows=config.windows, tokens=config.tokens
        )

    def least_neutral(self) -> int:
        """See `Evaluator.least_neutral`: a window a text."""
        return self.config.windows

    def quantities(self, protocol: str) -> Quantities:
        """Declare the divergence of a window."""
        return {"kl": Number(unit="nats a token")}

    def metrics(self, protocol: str, domain: str) -> Sequence[MetricDefinition]:
        """Define the mean over windows of the divergence a token."""
        return (
            MetricDefinition(
                name="kl",
                estimator="mean",
                of=("kl",),
                direction=NO_IDEAL,
                role="diagnostic",
                primary=True,
            ),
        )

    def evaluate(self, request: EvaluationRequest) -> Sequence[Measurement]:
        """Measure each window.

        Raises:
            DataError: the base model was not seen before the fit.
        """
        base = request.remembered
        if not isinstance(base, BaseDistributions):
            raise DataError(
                "evaluator 'neutral-kl' compares with the base model, which only `harness run` "
                "and `harness eval` have at hand"
            )
        items = [
            Item(id=f"window-{number}", values={"kl": float(kl)})
            for number, kl in enumerate(base.divergences(request.model))
        ]
        return [self.measurement(NO_DOMAIN, PROTOCOL, items)]
