"""A plugin whose config says nothing about its field."""

from collections.abc import Sequence
from typing import Any

from harness.families import Masker, PluginConfig
from harness.hookspecs import hookimpl
from harness.types import MaskRequest


class Config(PluginConfig):
    """What does strength mean?"""

    strength: float = 1.0


class Undescribed(Masker[Config]):
    """Masks nothing."""

    name = "undescribed"
    summary = "Has a field without a description."
    reference = "tests"
    Config = Config

    def mask(self, request: MaskRequest) -> Any:
        return []


@hookimpl
def harness_maskers() -> Sequence[type[Masker[Any]]]:
    return [Undescribed]
