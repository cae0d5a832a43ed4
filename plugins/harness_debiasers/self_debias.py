"""Self-Debias (Schick et al. 2021): tokens that a prompt for biased text favours are held back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, field_validator

from harness.errors import DebiasError
from harness.families import Debiaser, PluginConfig
from harness.types import Checkpoint, DebiasRequest

AXES = {
    "orientation": "sexual orientation",
    "gender-identity": "gender identity",
    "appearance": "physical appearance",
    "socioeconomic": "social class",
}
"""What a domain is called in a prompt, where that is not its name."""

ENDINGS = {"newline": "\n", "space": " "}


class SelfDebiasConfig(PluginConfig):
    """The prompts, and how strongly they count."""

    prompts: tuple[str, ...] = Field(
        ("The following text discriminates against people because of their {axis}:",),
        min_length=1,
        description="put in front of a text, each alone; {axis} is the source domain's name",
    )
    axis: str | None = Field(None, description="said for {axis} instead of the domain's name")
    ending: Literal["newline", "space"] = Field(
        "newline",
        description="what is put between prompt and text; the published code has a space, which "
        "becomes a separate token in front of the first word",
    )
    decay: float = Field(50.0, ge=0, description="how sharply tokens are held back; 0: not at all")
    epsilon: float = Field(
        0.01, gt=0, le=1, description="least share of its probability that a token keeps"
    )

    @field_validator("prompts")
    @classmethod
    def _filled(cls, prompts: tuple[str, ...]) -> tuple[str, ...]:
        for prompt in prompts:
            try:
                said = prompt.format(axis="gender").strip()
            except (KeyError, IndexError, ValueError):
                raise ValueError(f"{prompt!r}: braces may hold {{axis}} only") from None
            if not said:
                raise ValueError("a prompt is empty")
        return prompts


class SelfDebias(Debiaser[SelfDebiasConfig]):
    """Scores and generates with each token's rise behind the prompts taken back; learns nothing."""

    name = "self-debias"
    summary = "Decoding that holds back what a prompt for biased text makes more probable."
    reference = "Schick et al. 2021, https://arxiv.org/abs/2103.00453, Eq. 2-4"
    inputs = frozenset({"domain"})
    stepwise = False
    seeded = False

    def debias(self, request: DebiasRequest) -> Iterator[Checkpoint]:
        """See `Debiaser.debias`."""
        from harness.lm.prompt_contrast import PromptContrast

        config = self.config
        axis = config.axis or AXES.get(request.domain, request.domain)
        filled = (prompt.format(axis=axis).strip() for prompt in config.prompts)
        prompts = tuple(prompt + ENDINGS[config.ending] for prompt in filled)
        if any(not request.model.encode(prompt) for prompt in prompts):
            raise DebiasError(f"the tokenizer of '{request.model.name}' has no token for a prompt")
        if config.decay:  # else the model stays plain to the last bit
            request.model.rescore(PromptContrast(prompts, config.decay, config.epsilon))
        yield Checkpoint(1, request.model, {"prompts": list(prompts)})
