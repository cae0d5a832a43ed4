"""A control: noise in the weights, as large as the change that a method makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field, JsonValue, ValidationError, model_validator

from harness.families import Debiaser, PluginConfig
from harness.types import Checkpoint, DebiasRequest
from harness_debiasers.gradient_ascent import GradientAscent
from harness_debiasers.mlm_unlearning import MlmUnlearning

MEASURED: Mapping[str, type[Debiaser[Any]]] = {
    method.name: method for method in (MlmUnlearning, GradientAscent)
}


class WeightNoiseConfig(PluginConfig):
    """Whose change sets the size."""

    method: Literal["mlm-unlearning", "gradient-ascent"] = Field(
        "mlm-unlearning", description="it is fitted on a copy, to measure how far each weight goes"
    )
    settings: dict[str, JsonValue] = Field({}, description="settings of that method")

    @model_validator(mode="after")
    def _known(self) -> WeightNoiseConfig:
        try:
            MEASURED[self.method].Config(**self.settings)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, ("settings", *first["loc"])))
            raise ValueError(f"{where}: {first['msg']}") from None
        if self.settings.get("lora") is not None:
            raise ValueError("settings.lora: an adapter leaves the weights, whose change is asked")
        return self


class WeightNoise(Debiaser[WeightNoiseConfig]):
    """Adds to each weight matrix Gaussian noise of the norm of a method's change of it."""

    name = "weight-noise"
    summary = "Control: random noise in the weights, of the same norm as a method's change."
    reference = "this project"
    inputs = frozenset({"masks"})
    control = "change"

    def depends_on_last_step(self) -> bool:
        """See `Debiaser.depends_on_last_step`: that of the measured method."""
        return self._method().depends_on_last_step()

    def _method(self) -> Debiaser[Any]:
        kind = MEASURED[self.config.method]
        return kind(kind.Config(**self.config.settings))

    def debias(self, request: DebiasRequest) -> Iterator[Checkpoint]:
        """See `Debiaser.debias`. The noise keeps its direction from step to step and grows."""
        import torch

        method = self._method()
        weights = dict(request.model.module.named_parameters())
        base = {name: w.detach().clone() for name, w in weights.items()}
        for step, tuned, log in method.debias(
            request.model_copy(update={"model": request.model.copy()})
        ):
            draw = torch.Generator().manual_seed(request.seed)
            total = 0.0
            with torch.no_grad():
                for name, after in tuned.module.named_parameters():
                    start = base[name]
                    size = float((after.detach() - start).norm())
                    noise = torch.randn(start.shape, generator=draw).to(start)
                    weights[name].copy_(start + noise * (size / float(noise.norm())))
                    total += size**2
            request.model.forget_scores()
            yield Checkpoint(step, request.model, {**log, "change_norm": total**0.5})
