"""A plugin that takes a name that the harness has."""

from collections.abc import Sequence
from typing import Any

from harness.families import Debiaser, PluginConfig
from harness.hookspecs import hookimpl
from harness.types import DebiasRequest


class OtherIdentity(Debiaser[PluginConfig]):
    """Claims to be the control."""

    name = "identity"
    summary = "Not the control."
    reference = "tests"

    def debias(self, request: DebiasRequest) -> Any:
        return iter(())


@hookimpl
def harness_debiasers() -> Sequence[type[Debiaser[Any]]]:
    return [OtherIdentity]
