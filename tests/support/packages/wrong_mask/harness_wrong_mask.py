"""A masker that loads well and answers with spans that leave the text."""

from collections.abc import Sequence
from typing import Any

from harness.families import Masker, PluginConfig
from harness.hookspecs import hookimpl
from harness.types import MaskRequest


class TooFar(Masker[PluginConfig]):
    """Masks beyond the end."""

    name = "too-far"
    summary = "Masks beyond the end of the text."
    reference = "tests"

    def mask(self, request: MaskRequest) -> Any:
        span = {"start": 0, "end": 9999, "kind": "all", "reason": "too far"}
        return [{"passage": passage, "spans": [span]} for passage in request.passages]


@hookimpl
def harness_maskers() -> Sequence[type[Masker[Any]]]:
    return [TooFar]
