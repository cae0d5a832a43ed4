"""The control that does nothing."""

from __future__ import annotations

from collections.abc import Iterator

from harness.families import Debiaser, PluginConfig
from harness.types import Checkpoint, DebiasRequest


class Identity(Debiaser[PluginConfig]):
    """Returns the model as it is: any change that it seems to make is an error of the harness."""

    name = "identity"
    summary = "Control: leaves the model as it is."
    reference = "this project"
    inputs = frozenset()
    stepwise = False
    seeded = False
    control = "identity"

    def debias(self, request: DebiasRequest) -> Iterator[Checkpoint]:
        """See `Debiaser.debias`."""
        for step in request.steps:
            yield Checkpoint(step, request.model, {})
