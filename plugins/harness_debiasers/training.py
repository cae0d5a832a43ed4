"""The training loop that every method which changes weights shares.

A method supplies examples, and a loss over a batch of them (`Objective`); optimiser, schedule,
accumulation, clipping, dropout, batch order, checkpoints, logs and the divergence stop are here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from pydantic import Field, JsonValue

from harness.errors import DebiasError
from harness.families import Debiaser, PluginConfig
from harness.lm.handle import LanguageModel
from harness.types import Checkpoint, DebiasRequest
from harness_debiasers.adapter import LoraSettings, attach

if TYPE_CHECKING:
    import torch

E = TypeVar("E")
E_contra = TypeVar("E_contra", contravariant=True)


class TrainingConfig(PluginConfig):
    """How weights are moved. Where the paper is silent, defaults are this project's."""

    learning_rate: float = Field(1e-5, gt=0, description="step size (paper: 1e-5)")
    batch_size: int = Field(8, ge=1, description="examples a step (paper: 8)")
    optimizer: Literal["adamw", "adam", "sgd"] = Field(
        "adamw", description="optimiser; the paper does not state it"
    )
    betas: tuple[float, float] = Field((0.9, 0.999), description="of adam and adamw")
    weight_decay: float = Field(0.0, ge=0, description="decay of the weights")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant", description="learning rate over the steps, after the warm-up"
    )
    warmup_steps: int = Field(0, ge=0, description="steps of linear warm-up")
    accumulation: int = Field(1, ge=1, description="batches whose gradients make one step")
    max_grad_norm: float | None = Field(None, gt=0, description="clip gradients to this norm")
    dropout: bool = Field(False, description="leave the model's own dropout on while training")
    lora: LoraSettings | None = Field(
        None, description="train a low-rank adapter instead of the weights (extra [lora])"
    )
    gradient_checkpointing: bool = Field(
        False, description="compute activations twice instead of keeping them: slower, smaller"
    )


TrainingConfigT = TypeVar("TrainingConfigT", bound=TrainingConfig)


class TrainedDebiaser(Debiaser[TrainingConfigT]):
    """Base of the methods that move weights with `train`."""

    def depends_on_last_step(self) -> bool:
        """See `Debiaser.depends_on_last_step`: only a falling learning rate knows the last step."""
        return self.config.schedule != "constant"

    def obstacles(self) -> Sequence[str]:
        """See `Plugin.obstacles`: an adapter needs peft."""
        if self.config.lora is not None and find_spec("peft") is None:
            return ["lora needs peft: pip install 'bias-transfer-harness[lora]', or leave lora out"]
        return ()


class Objective(Protocol[E_contra]):
    """What a method adds to the loop: the loss of a batch, as a scalar to be minimised."""

    def __call__(
        self, model: LanguageModel, batch: Sequence[E_contra]
    ) -> tuple[torch.Tensor, Mapping[str, float]]:
        """Return the loss (with a graph) and numbers to log."""


def train(
    request: DebiasRequest,
    config: TrainingConfig,
    examples: Sequence[E],
    objective: Objective[E],
    extra_log: Mapping[str, JsonValue] | None = None,
) -> Iterator[Checkpoint]:
    """Train the request's model in place; yield it at each requested step.

    The log of a checkpoint holds the means of the loss, the gradient's norm and the objective's
    numbers over all steps so far, so it does not depend on which other steps were asked for.

    Args:
        request: model, steps, seed and progress.
        config: how to move the weights.
        examples: what batches are drawn from, shuffled again each epoch by the seed.
        objective: the loss of a batch.
        extra_log: facts about the examples, put into every checkpoint's log.

    Raises:
        DebiasError: no example, or loss or gradient is no longer finite.
    """
    if not examples:
        raise DebiasError(
            f"nothing to learn from in '{request.domain}': no usable example is left after "
            "masking and truncation; look at the masks with `harness mask`"
        )
    model, module = request.model, request.model.module
    total = request.steps[-1]
    if config.lora is not None:
        attach(module, config.lora, request.seed, causal=model.kind == "causal")
    weights = [p for p in module.parameters() if p.requires_grad]
    if any(p.is_meta for p in weights):
        raise DebiasError(
            f"weights of '{model.name}' lie off their device, where they cannot be changed: train "
            "an adapter (lora), or give the model more memory or devices"
        )
    optimizer = _optimizer(config, weights)
    draw = _batches(examples, config.batch_size, request.seed)
    if config.gradient_checkpointing:
        _keep_few_activations(module)
    _training_mode(module, config)
    sums: dict[str, float] = {}
    for step in range(1, total + 1):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * _rate(config, step, total)
        optimizer.zero_grad(set_to_none=True)
        losses = []
        numbers: Mapping[str, float] = {}
        for _ in range(config.accumulation):
            loss, numbers = objective(model, next(draw))
            (loss / config.accumulation).backward()  # type: ignore[no-untyped-call]
            losses.append(float(loss.detach()))
        norm = gradient_norm(weights, config.max_grad_norm)
        mean_loss = sum(losses) / len(losses)
        if not (math.isfinite(mean_loss) and math.isfinite(norm)):
            module.eval()
            raise DebiasError(
                f"training diverged at step {step} (loss {mean_loss}, gradient norm {norm}); "
                "lower learning_rate, set max_grad_norm, or take fewer steps"
            )
        optimizer.step()
        for name, number in {"loss": mean_loss, "grad_norm": norm, **numbers}.items():
            sums[name] = sums.get(name, 0.0) + number
        request.progress(step, total, f"loss {mean_loss:.3f}")
        if step in request.steps:
            module.eval()
            model.forget_scores()
            means = {f"mean_{name}": value / step for name, value in sums.items()}
            yield Checkpoint(step, model, {**(extra_log or {}), **means})
            _training_mode(module, config)
    module.eval()


def gradient_norm(weights: Sequence[Any], bound: float | None) -> float:
    """Return the L2 norm of all gradients; scale them down to the bound if there is one."""
    import torch

    if bound is not None:
        return float(torch.nn.utils.clip_grad_norm_(weights, bound))
    norms = [torch.linalg.vector_norm(p.grad) for p in weights if p.grad is not None]
    joined = torch.stack([norm.to(norms[0].device) for norm in norms])  # layers may lie apart
    return float(torch.linalg.vector_norm(joined))


def _keep_few_activations(module: Any) -> None:
    if not module.supports_gradient_checkpointing:
        raise DebiasError(
            f"a {module.config.model_type} model has no gradient checkpointing; set "
            "gradient_checkpointing to false"
        )
    enable = getattr(module, "activation_checkpointing_enable", None)  # its name from 5.15 on
    (enable or module.gradient_checkpointing_enable)({"use_reentrant": False})


def _training_mode(module: Any, config: TrainingConfig) -> None:
    """Set dropout as configured; only layers that are training compute activations twice."""
    module.train(config.dropout)
    for part in module.modules():
        if getattr(part, "gradient_checkpointing", False):
            part.training = True  # the layer alone: the dropout within stays as it is


def _optimizer(config: TrainingConfig, weights: Sequence[Any]) -> torch.optim.Optimizer:
    import torch

    if config.optimizer == "sgd":
        return torch.optim.SGD(weights, lr=config.learning_rate, weight_decay=config.weight_decay)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    # One pass over the weights instead of a dozen: a step is bound by memory, not by arithmetic.
    fused = all(p.device.type in ("cpu", "cuda") for p in weights)
    return kind(
        weights,
        lr=config.learning_rate,
        betas=config.betas,
        weight_decay=config.weight_decay,
        fused=fused,
    )


def _rate(config: TrainingConfig, step: int, total: int) -> float:
    """Return the share of the learning rate at a step (1-based)."""
    if step <= config.warmup_steps:
        return step / config.warmup_steps
    if config.schedule == "constant":
        return 1.0
    done = (step - 1 - config.warmup_steps) / max(1, total - config.warmup_steps)
    return 1.0 - done if config.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))


def _batches(examples: Sequence[E], size: int, seed: int) -> Iterator[list[E]]:
    """Yield batches forever. The seed alone draws a new order for each epoch."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    order: list[int] = []
    while True:
        while len(order) < min(size, len(examples)):
            order += torch.randperm(len(examples), generator=generator).tolist()
        batch, order = order[:size], order[size:]
        yield [examples[i] for i in batch]
