"""How far a changed model is from its base: KL(base || model) a token on plain text.

The divergence is the dose of a fit. Methods are compared at equal doses.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import ModelError
from harness.lm.handle import LanguageModel

if TYPE_CHECKING:
    import numpy as np
    import torch

MASKED_SHARE = 0.15
"""Share of a text's tokens that a masked model predicts, all masked at once."""

BATCH = 8
"""Windows that are run at a time."""


class Window(NamedTuple):
    """Tokens as they are run, and the positions at which the next-token distribution is read."""

    ids: tuple[int, ...]
    positions: tuple[int, ...]


@dataclass(frozen=True)
class BaseDistributions:
    """Next-token distributions of a base model on some windows of text.

    They take ``positions x vocabulary x 4`` bytes of the CPU's memory: about 0.5 GB for 40
    windows of 64 tokens and 50,000 pieces.

    Attributes:
        windows: the tokens, as the base model's tokenizer cuts the text.
        logprobs: natural-log probabilities of each window, ``(positions, vocabulary)``, float32.
    """

    windows: tuple[Window, ...]
    logprobs: tuple[torch.Tensor, ...]

    @classmethod
    def of(
        cls, model: LanguageModel, texts: Sequence[str], *, windows: int, tokens: int
    ) -> BaseDistributions:
        """Run a base model on the beginnings of texts.

        Args:
            model: before it is changed.
            texts: plain text, a window each; those without a token are left out.
            windows: how many windows to use, in the order of the texts.
            tokens: tokens of a text that are used.

        Raises:
            ModelError: there are fewer windows than asked for.
        """
        chosen = _windows(model, texts, tokens)[:windows]
        if len(chosen) < windows:
            raise ModelError(
                f"the neutral corpus has {len(chosen)} texts for the divergence from the base "
                f"model, {windows} are needed; choose another corpus or raise limits.unseen"
            )
        return cls(tuple(chosen), tuple(_logprobs(model, chosen)))

    def divergences(self, model: LanguageModel) -> np.ndarray:
        """Return KL(base || model) a token of each window, in nats, float64, ``(windows,)``.

        Raises:
            ModelError: the model is corrected by prompts, which its raw distributions do not show.
        """
        import numpy as np

        return np.array(
            [
                float((base.exp() * (base - now)).sum(dim=-1).double().mean())
                for base, now in zip(self.logprobs, _logprobs(model, self.windows), strict=True)
            ]
        )

    def divergence(self, model: LanguageModel) -> float:
        """Return KL(base || model) in nats a token: the mean of `divergences`."""
        return float(self.divergences(model).mean())


def _windows(model: LanguageModel, texts: Sequence[str], tokens: int) -> list[Window]:
    windows = []
    for text in texts:
        if model.kind == "causal":
            ids = model.encode(text)[: min(tokens, model.max_tokens - 1)]
            if ids:
                windows.append(Window((model.start_id, *ids[:-1]), tuple(range(len(ids)))))
            continue
        ids = model.encode(text)[: min(tokens, model.max_tokens - 2)]
        if ids:
            count = max(1, round(MASKED_SHARE * len(ids)))
            chosen = sorted(random.Random(text).sample(range(len(ids)), count))
            run, first = model.masked_input(ids, chosen)
            windows.append(Window(tuple(run), tuple(k + first for k in chosen)))
    return windows


def _logprobs(model: LanguageModel, windows: Sequence[Window]) -> Iterator[torch.Tensor]:
    """Log-probabilities at the positions of each window, on the CPU."""
    import torch

    if getattr(model, "contrast", None) is not None:
        raise ModelError(
            f"model '{model.name}' is corrected by prompts; its divergence from the base model is "
            "not available"
        )
    with torch.no_grad():
        for start in range(0, len(windows), BATCH):
            batch = windows[start : start + BATCH]
            index = [i for i, window in enumerate(batch) for _ in window.positions]
            positions = [p for window in batch for p in window.positions]
            logits = model.training_logits([window.ids for window in batch], index, positions)
            table = torch.log_softmax(logits.float(), dim=-1).cpu()
            yield from torch.split(table, [len(window.positions) for window in batch])
