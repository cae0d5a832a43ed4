"""Debiased models on disk: whole weights, an adapter alone, or projections alone.

Whatever is written is read by transformers (or peft) without the harness; projections, which
transformers has no place for, come with a README that applies them in a dozen lines.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from harness.errors import ModelError, StoreError
from harness.lm.handle import LanguageModel

PROJECTIONS = "projections.safetensors"
PROJECTIONS_INDEX = "projections.json"

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
"""How peft names an adapter's files."""

_README = """# {title}

Written by bias-transfer-harness. The weights are those of `{name}`, unchanged: the method maps
hidden states instead. `{file}` holds the maps `h -> W h + b` in float32, and `{index}` the
submodule whose output each is applied to, in order. Load the base model with transformers as
`model`, then, in this folder:

```python
import json
from pathlib import Path

import torch
from safetensors.torch import load_file

tensors = load_file("{file}")


def map_output(module, inputs, output, weight, bias):
    def mapped(hidden):
        done = torch.nn.functional.linear(hidden.float(), weight, bias)
        return done.to(hidden.dtype)

    if isinstance(output, torch.Tensor):
        return mapped(output)
    if isinstance(output, tuple):
        return (mapped(output[0]), *output[1:])
    output.last_hidden_state = mapped(output.last_hidden_state)
    return output


for own in json.loads(Path("{index}").read_text())["maps"]:
    weight = tensors[own["matrix"]].to(model.device)
    bias = tensors[own["bias"]].to(model.device)
    model.get_submodule(own["module"]).register_forward_hook(
        lambda m, i, o, weight=weight, bias=bias: map_output(m, i, o, weight, bias)
    )
```
"""


def weights_digest(model: LanguageModel) -> str | None:
    """Hash of all weights; None if they cannot be read (third-party handle, offloaded)."""
    import torch

    module = getattr(model, "module", None)
    if not isinstance(module, torch.nn.Module):
        return None
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(module.state_dict().items()):
        if tensor.is_meta:
            return None
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    return digest.hexdigest()


def save_checkpoint(model: LanguageModel, folder: Path, base: str | None) -> None:
    """Write what a debiaser made of a model, in the smallest form that says it all.

    An adapter that is not merged is written alone; projections are written alone if the weights
    are still the base's; everything else is a whole model.

    Args:
        model: as it came out of the debiaser.
        folder: made unless it exists, and filled with safetensors, tokenizer and configuration.
        base: `weights_digest` of the model before the fit.

    Raises:
        ModelError: it is more than weights, adapters and projections of hidden states.
        StoreError: it cannot be written.
    """
    from safetensors import SafetensorError

    from harness.lm.quiet import quiet
    from harness.lm.transformers_model import TransformersModel

    if type(model) is not TransformersModel:
        raise ModelError(
            f"'{model.name}' is a {type(model).__name__}: what it does to a model cannot be "
            "written as weights"
        )
    if model.contrast is not None:
        raise ModelError(
            f"'{model.name}' is corrected behind prompts at every next token: its weights are the "
            "base model's, and what the method does cannot be written as weights"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        maps = projections(model.module)
        if maps:
            _save_projections(maps, model.name, folder)
        if not maps or base is None or weights_digest(model) != base:
            model.save(folder)  # of a peft model this is the adapter
        else:
            with quiet():
                model.tokenizer.save_pretrained(folder)
    except (OSError, SafetensorError) as error:
        raise StoreError(
            f"{folder}: cannot write the checkpoint: {error}; what was finished before is kept, "
            "free some space and run the same command again"
        ) from None


Form = Literal["weights", "adapter", "projections"]
"""What a checkpoint's folder holds; ``projections`` with no weights: those of the base model."""


def forms(folder: Path) -> tuple[Form, ...]:
    """What a saved checkpoint holds, in the order in which it is put together."""
    kept: list[Form] = []
    if (folder / ADAPTER_CONFIG).is_file():
        kept.append("adapter")
    elif any(folder.glob("model*.safetensors")):
        kept.append("weights")
    if (folder / PROJECTIONS_INDEX).is_file():
        kept.append("projections")
    return tuple(kept)


def open_saved(
    folder: Path, base: Callable[[], LanguageModel], *, dtype: str, device: str, name: str
) -> LanguageModel:
    """Load a saved checkpoint; the base model only where the checkpoint needs it.

    Args:
        folder: what `save_checkpoint` filled.
        base: loads the model that was debiased.
        dtype: name of a torch dtype, for weights of its own.
        device: torch device, likewise.
        name: shown in messages.

    Raises:
        ModelError: it cannot be read, or is not of this base model.
    """
    from harness.lm.loading.loading import load_transformers

    held = forms(folder)
    if not held:
        raise ModelError(f"{folder}: no checkpoint (neither weights, adapter nor projections)")
    if "weights" in held:
        model: LanguageModel = load_transformers(folder, dtype=dtype, device=device, name=name)
    else:
        model = base()
    if "adapter" in held:
        _install_adapter(model, folder)
    if "projections" in held:
        _install_projections(model, folder)
    model.forget_scores()
    return model


def _install_adapter(model: LanguageModel, folder: Path) -> None:
    """Put a saved adapter into the layers of a model.

    Not by transformers' ``load_adapter``: a model that went through it is saved under other names.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        from peft import LoraConfig, set_peft_model_state_dict
    except ImportError:
        raise ModelError(
            f"{folder}: holds an adapter; pip install 'bias-transfer-harness[lora]'"
        ) from None
    module: Any = model.module
    try:
        module.add_adapter(LoraConfig.from_pretrained(str(folder)))
        tensors = load_file(folder / ADAPTER_WEIGHTS)
        answer: Any = set_peft_model_state_dict(module, tensors)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder}: no adapter of '{model.name}': {error}") from None
    if answer.unexpected_keys:
        raise ModelError(
            f"{folder}: no adapter of '{model.name}': no layer for {answer.unexpected_keys[0]}"
        )
    module.eval()


def _install_projections(model: LanguageModel, folder: Path) -> None:
    from safetensors.numpy import load_file

    tensors = load_file(folder / PROJECTIONS)
    for entry in json.loads((folder / PROJECTIONS_INDEX).read_text("utf-8"))["maps"]:
        model.project(tensors[entry["matrix"]], tensors[entry["bias"]], layer=int(entry["layer"]))


def projections(module: Any) -> list[tuple[str, int, Any]]:
    """Name of the submodule, layer and map of each projection, in the order of application."""
    from harness.lm import projection

    names = {id(part): name for name, part in module.named_modules()}
    return [
        (names[id(place)], layer, affine) for place, layer, affine in projection.installed(module)
    ]


def _save_projections(maps: list[tuple[str, int, Any]], name: str, folder: Path) -> None:
    from safetensors.torch import save_file

    tensors, index = {}, []
    for k, (module, layer, affine) in enumerate(maps):
        entry = {"module": module, "layer": layer, "matrix": f"{k}.matrix", "bias": f"{k}.bias"}
        tensors[f"{k}.matrix"] = affine.matrix.cpu().contiguous()
        tensors[f"{k}.bias"] = affine.bias.cpu().contiguous()
        index.append(entry)
    save_file(tensors, folder / PROJECTIONS)
    (folder / PROJECTIONS_INDEX).write_text(json.dumps({"base": name, "maps": index}, indent=1))
    readme = _README.format(
        title="Projections of hidden states", name=name, file=PROJECTIONS, index=PROJECTIONS_INDEX
    )
    (folder / "README.md").write_text(readme, "utf-8")
