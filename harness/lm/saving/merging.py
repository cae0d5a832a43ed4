"""Adapters and projections folded into a model's weights, so that any program can run it."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.errors import ModelError
from harness.lm.handle import LanguageModel
from harness.lm.saving.checkpoint import projections
from harness.lm.scoring.forward import body_of

TOLERANCE = 1e-3
"""How far, in nats a token, a merged model's scores may be from the unmerged one's."""

PROBE = (
    "The committee met on Tuesday to discuss the budget for the coming year.",
    "People from many countries and religions live in this town.",
)
"""Scored before and after."""


def merge(model: LanguageModel) -> LanguageModel:
    """Fold adapters and projections into the weights, where the result is the same model.

    An adapter always can be. A projection can be where it is the last thing before a linear
    output layer, ``H (W h + b) + c = (H W) h + (H b + c)``, and either ``b`` is zero or the layer
    has a bias. The output layer is then no longer tied to the embeddings. All is done in float32
    or better and stored in the model's dtype.

    Args:
        model: over a transformers model; changed, not to be used any more.

    Returns:
        A handle over the merged model.

    Raises:
        ModelError: a projection is of another layer or needs a bias that the output layer lacks.
    """
    from harness.lm.transformers_model import TransformersModel

    assert isinstance(model, TransformersModel)
    module: Any = model.module
    dtype = next(module.parameters()).dtype
    module.float()

    def handle() -> TransformersModel:
        """Anew each time: what a handle knows of its module is no longer so."""
        assert isinstance(model, TransformersModel)
        return model.over(module)

    unmerged = handle()
    before = [scores.logprobs for scores in unmerged.token_scores(PROBE)]
    _unload_adapters(module)
    maps = projections(module)
    if maps:
        _fold(unmerged, maps)
    after = [scores.logprobs for scores in handle().token_scores(PROBE)]
    worst = max(float(np.nanmax(np.abs(a - b))) for a, b in zip(before, after, strict=True))
    if not worst <= TOLERANCE:
        raise ModelError(
            f"model '{model.name}' cannot be merged: its scores would move by {worst:.2g} nats a "
            "token; export it without --merge"
        )
    module.to(dtype)
    return handle()


def _unload_adapters(module: Any) -> None:
    """Add each adapter to the layer below it, and put that layer back in its place."""
    if not getattr(module, "_hf_peft_config_loaded", False):
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, part in list(module.named_modules()):
        if isinstance(part, BaseTunerLayer):
            part.merge()
            parent, _, last = name.rpartition(".")
            setattr(module.get_submodule(parent), last, part.get_base_layer())
    del module.peft_config
    module._hf_peft_config_loaded = False


def _fold(model: Any, maps: list[tuple[str, int, Any]]) -> None:
    import torch

    from harness.lm import projection

    module = model.module
    head = module.get_output_embeddings()
    last = projection.layers(module)
    if not isinstance(head, torch.nn.Linear) or not _reads_body(model, head):
        raise ModelError(_cannot(model, "its output is more than one linear layer"))
    if any(layer != last for _, layer, _ in maps):
        raise ModelError(_cannot(model, "a projection lies between its layers"))
    weight = torch.eye(head.in_features, dtype=torch.float64)
    shift = torch.zeros(head.in_features, dtype=torch.float64)
    for _, _, affine in maps:
        matrix, bias = affine.matrix.double().cpu(), affine.bias.double().cpu()
        weight, shift = matrix @ weight, matrix @ shift + bias
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


def _reads_body(model: Any, head: Any) -> bool:
    """Whether the output layer reads the body's last hidden states, with nothing in between."""
    import torch

    seen: list[Any] = []
    hooks = [
        body_of(model.module).register_forward_hook(
            lambda m, i, output: seen.append(output.last_hidden_state)
        ),
        head.register_forward_pre_hook(lambda m, inputs: seen.append(inputs[0])),
    ]
    try:
        with torch.inference_mode():
            model.module(input_ids=torch.tensor([model.encode(PROBE[0])], device=model.device))
    finally:
        for hook in hooks:
            hook.remove()
    given, read = seen
    return bool(given.shape == read.shape and torch.equal(given, read))


def _cannot(model: LanguageModel, why: str) -> str:
    return (
        f"model '{model.name}' cannot be merged exactly: {why}; export it without --merge, as "
        "matrices"
    )
