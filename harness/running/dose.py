"""Stopping a fit at a dose instead of measuring it at every step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.errors import DebiasError
from harness.lm.divergence import BaseDistributions
from harness.lm.handle import LanguageModel
from harness.planning.plan import Fit
from harness.planning.spec import FASTEST_GROWTH
from harness.running.units import Inputs
from harness.types import Checkpoint

Timed = tuple[Checkpoint, dict[str, float]]
"""A checkpoint, and the seconds spent so far by phase."""


class BaseDistributionsOnce:
    """The base model's distributions, worked out once for all fits that stop on the same texts."""

    def __init__(self) -> None:
        self._last: tuple[tuple[object, ...], BaseDistributions] | None = None

    def of(
        self, fit: Fit, inputs: Inputs, model: LanguageModel, label: str
    ) -> BaseDistributions | None:
        """Read the base model's distributions before a fit changes it; None: it stops at no dose.

        Args:
            fit: what is to be fitted.
            inputs: its texts.
            model: freshly loaded.
            label: of the model in the spec. Each load of one label gives the same weights.

        Raises:
            ModelError: there is too little held-out text.
        """
        if fit.stop_at is None:
            return None
        texts = tuple(passage.text for passage in inputs.held_out)
        windows, tokens = fit.stop_at.windows, fit.stop_at.tokens
        key = (label, windows, tokens, texts)
        if self._last is None or self._last[0] != key:
            self._last = None  # half a gigabyte and more: never two at a time
            base = BaseDistributions.of(model, texts, windows=windows, tokens=tokens)
            self._last = key, base
        return self._last[1]


def until_dose(
    fit: Fit, base: BaseDistributions | None, checkpoints: Iterable[Timed]
) -> Iterator[Timed]:
    """Yield a fit's checkpoints; of one that stops at a dose, the one that reaches it.

    Steps at which the dose cannot have been reached yet, if the divergence grows no faster than
    step ** FASTEST_GROWTH, are passed over: working out a divergence takes longer than a step.

    That checkpoint is named after the last step of the fit, as its tasks are. Its log holds the
    step at which the fit stopped, and the divergence there.

    Raises:
        DebiasError: the last step has a smaller divergence.
    """
    if base is None or fit.stop_at is None:
        yield from checkpoints
        return
    reached, soonest = 0.0, 0
    for checkpoint, seconds in checkpoints:
        if checkpoint.step < min(soonest, fit.steps[-1]):
            continue
        reached = base.divergence(checkpoint.model)
        if reached >= fit.stop_at.kl:
            stop = {"stopped_at_step": checkpoint.step, "stopped_at_kl": reached}
            log = {**checkpoint.log, **stop}
            yield Checkpoint(fit.steps[-1], checkpoint.model, log), seconds
            return
        if reached > 0:
            soonest = int(checkpoint.step * (fit.stop_at.kl / reached) ** (1 / FASTEST_GROWTH))
    raise DebiasError(
        f"the fit reached a divergence of {reached:.4g} nats a token by step {fit.steps[-1]}, not "
        f"the {fit.stop_at.kl:g} of stop_at; add later steps or raise the learning rate"
    )
