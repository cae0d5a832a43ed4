"""Low-rank adapters (LoRA, Hu et al. 2022) by peft: what is trained in place of the weights."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from harness.errors import DebiasError
from harness.families import PluginConfig


class LoraSettings(PluginConfig):
    """An adapter's size and place."""

    rank: int = Field(16, ge=1, description="rank of each change of a weight matrix")
    alpha: float = Field(16.0, gt=0, description="changes are scaled by alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="of the adapter's inputs, while training")
    targets: tuple[str, ...] | None = Field(
        None, description="ends of the names of the layers that get one; default: all linear ones"
    )


def attach(module: Any, settings: LoraSettings, seed: int, *, causal: bool) -> None:
    """Put a fresh adapter into a transformers model and freeze all else; its output stays.

    Args:
        module: a transformers model.
        settings: of the adapter.
        seed: of its random half.
        causal: whether the model is a causal one, which peft's own loader asks of a saved adapter.

    Raises:
        DebiasError: peft is missing, or no layer has such a name.
    """
    import torch

    from harness.lm.loading.placement import standing_in

    try:
        from peft import LoraConfig
    except ImportError:
        raise DebiasError(
            "lora needs peft: pip install 'bias-transfer-harness[lora]', or leave lora out"
        ) from None
    wanted = "all-linear" if settings.targets is None else list(settings.targets)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # peft divides it, a float will do
        lora_dropout=settings.dropout,
        target_modules=wanted,
        fan_in_fan_out=any(type(part).__name__ == "Conv1D" for part in module.modules()),
        task_type="CAUSAL_LM" if causal else None,  # peft knows no name for masked models
        base_model_name_or_path=module.config._name_or_path or None,
    )
    for weight in module.parameters():
        weight.requires_grad_(False)
    with torch.random.fork_rng(), standing_in(module):
        torch.manual_seed(seed)  # half of an adapter is drawn at random
        try:
            module.add_adapter(config)
        except ValueError:
            names = ", ".join(settings.targets or ())
            raise DebiasError(
                f"lora.targets: a {module.config.model_type} model has no linear layer {names}; "
                f"give ends of names such as {_some_names(module)}"
            ) from None
    module.eval()


def is_product_end(name: str) -> bool:
    """Whether a parameter is the factor of an adapter that starts at 0: scaling it scales the
    whole change."""
    return ".lora_B." in name or ".lora_embedding_B." in name


def has_adapter(module: Any) -> bool:
    """Whether an adapter is in a model."""
    return any(is_product_end(name) for name, _ in module.named_parameters())


def _some_names(module: Any) -> str:
    import torch

    names = dict.fromkeys(
        name.rsplit(".", 1)[-1]
        for name, part in module.base_model.named_modules()
        if isinstance(part, torch.nn.Linear) or type(part).__name__ == "Conv1D"
    )
    return ", ".join(names)
