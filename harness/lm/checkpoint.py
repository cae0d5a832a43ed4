"""Debiased models on disk: whole weights, an adapter alone, or projections alone.

Whatever is written is read by transformers (or peft) without the harness; projections, which
transformers has no place for, come with a README that applies them in a dozen lines.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import ModelError, StoreError
from harness.lm.handle import LanguageModel

PROJECTIONS = "projections.safetensors"
PROJECTIONS_INDEX = "projections.json"

MERGE_TOLERANCE = 1e-3
"""How far, in nats a token, a merged model's scores may be from the unmerged one's."""

MERGE_PROBE = (
    "The committee met on Tuesday to discuss the budget for the coming year.",
    "People from many countries and religions live in this town.",
)

_README = """# {title}

Written by bias-transfer-harness. The weights are those of `{name}`, unchanged: the method maps
hidden states instead. `{file}` holds the maps `h -> W h + b` in float32, and `{index}` the
submodule whose output each is applied to, in order. Load the base model with transformers as
`model`, then, in this folder:

```python
import json

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


for own in json.load(open("{index}"))["maps"]:
    weight = tensors[own["matrix"]].to(model.device)
    bias = tensors[own["bias"]].to(model.device)
    model.get_submodule(own["module"]).register_forward_hook(
        lambda m, i, o, weight=weight, bias=bias: map_output(m, i, o, weight, bias)
    )
```
"""


def weights_digest(model: LanguageModel) -> str | None:
    """Hash of all weights; None where they cannot be read (a stranger's handle, offloaded)."""
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
        folder: made, and filled with safetensors, tokenizer and configuration.
        base: `weights_digest` of the model before the fit.

    Raises:
        ModelError: the handle is not one over a transformers model.
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
    try:
        folder.mkdir(parents=True)
        maps = _maps(model.module)
        if maps:
            _save_projections(maps, model.name, folder)
        if not maps or base is None or weights_digest(model) != base:
            model.save(folder)  # of a peft model this is the adapter
        else:
            with quiet():
                model.tokenizer.save_pretrained(folder)
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{folder}: cannot write the checkpoint: {error}") from None


def has_projections(folder: Path) -> bool:
    """Whether a saved checkpoint holds projections."""
    return (folder / PROJECTIONS_INDEX).is_file()


def install_saved(model: LanguageModel, folder: Path) -> None:
    """Apply the projections of a saved checkpoint to its base model.

    Raises:
        ModelError: they are not of this model.
    """
    from safetensors.numpy import load_file

    tensors = load_file(folder / PROJECTIONS)
    for own in json.loads((folder / PROJECTIONS_INDEX).read_text("utf-8"))["maps"]:
        model.project(tensors[own["matrix"]], tensors[own["bias"]], layer=int(own["layer"]))


def merge(model: LanguageModel) -> None:
    """Fold adapters and projections into the weights, where the result is the same model.

    An adapter always can be. A projection can be where it is the last thing before a linear
    output layer, ``H (W h + b) + c = (H W) h + (H b + c)``, and either ``b`` is zero or the layer
    has a bias. The output layer is then no longer tied to the embeddings.

    Raises:
        ModelError: a projection lies elsewhere or needs a bias that the output layer lacks.
    """
    before = [scores.logprobs for scores in model.token_scores(MERGE_PROBE)]
    handle: Any = model
    if hasattr(handle.module, "merge_and_unload"):
        from harness.lm.transformers_model import TransformersModel

        merged = handle.module.merge_and_unload()
        handle.__init__(merged, handle.tokenizer, kind=handle.kind, name=handle.name)
        assert isinstance(handle, TransformersModel)
    maps = _maps(handle.module)
    if maps:
        _fold(handle, maps)
    model.forget_scores()
    after = [scores.logprobs for scores in model.token_scores(MERGE_PROBE)]
    worst = max(float(np.nanmax(np.abs(a - b))) for a, b in zip(before, after, strict=True))
    if not worst <= MERGE_TOLERANCE:
        raise ModelError(
            f"model '{model.name}' cannot be merged: its scores would move by {worst:.2g} nats a "
            "token; export it without --merge"
        )


def _fold(model: Any, maps: list[tuple[str, int, Any]]) -> None:
    import torch

    from harness.lm import projection

    module = model.module
    head = module.get_output_embeddings()
    last = projection.layers(module)
    if not isinstance(head, torch.nn.Linear) or model.route() != "head":
        raise ModelError(_cannot(model, "its output is more than one linear layer"))
    if any(layer != last for _, layer, _ in maps):
        raise ModelError(_cannot(model, "a projection lies between its layers"))
    weight, shift = torch.eye(head.in_features, dtype=torch.float64), torch.zeros(1)
    for _, _, affine in maps:
        matrix, bias = affine.matrix.double().cpu(), affine.bias.double().cpu()
        weight, shift = matrix @ weight, matrix @ shift.double().expand(len(bias)) + bias
    if bool(shift.any()) and head.bias is None:
        raise ModelError(_cannot(model, "a projection has a bias and its output layer has none"))
    old = head.weight.detach().double().cpu()
    new = torch.nn.Linear(head.in_features, head.out_features, bias=head.bias is not None)
    with torch.no_grad():
        new.weight.copy_(old @ weight)
        if head.bias is not None:
            new.bias.copy_(head.bias.double().cpu() + old @ shift)
    module.config.tie_word_embeddings = False
    module.set_output_embeddings(new.to(head.weight.device, head.weight.dtype))
    projection.remove(module)


def _cannot(model: LanguageModel, why: str) -> str:
    return (
        f"model '{model.name}' cannot be merged exactly: {why}; export it without --merge, as "
        "matrices"
    )


def _maps(module: Any) -> list[tuple[str, int, Any]]:
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
        own = {"module": module, "layer": layer, "matrix": f"{k}.matrix", "bias": f"{k}.bias"}
        tensors[f"{k}.matrix"] = affine.matrix.cpu().contiguous()
        tensors[f"{k}.bias"] = affine.bias.cpu().contiguous()
        index.append(own)
    save_file(tensors, folder / PROJECTIONS)
    (folder / PROJECTIONS_INDEX).write_text(json.dumps({"base": name, "maps": index}, indent=1))
    readme = _README.format(
        title="Projections of hidden states", name=name, file=PROJECTIONS, index=PROJECTIONS_INDEX
    )
    (folder / "README.md").write_text(readme, "utf-8")
