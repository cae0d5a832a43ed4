"""Affine maps of hidden states that live in the model: INLP, SentenceDebias, LEACE.

A map is a forward hook of the module, so scores, hidden states, generation and training all see
it, and a copy of the module carries its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from harness.errors import ModelError
from harness.lm.scoring.forward import Forward, Inputs, body_of


class AffineMap(torch.nn.Module):
    """``h -> W h + b`` at every position."""

    def __init__(self, matrix: np.ndarray, bias: np.ndarray | None) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.tensor(np.asarray(matrix), dtype=torch.float32))
        shift = np.zeros(len(matrix)) if bias is None else bias
        self.register_buffer("bias", torch.tensor(np.asarray(shift), dtype=torch.float32))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map ``(..., width)``, in float32 for any dtype of the model, on the device it is on."""
        matrix, bias = (part.to(hidden.device) for part in self.buffers())
        mapped = torch.nn.functional.linear(hidden.float(), matrix, bias)
        return mapped.to(hidden.dtype)


class _OutputHook:
    """Applies a map to what a module gives; an object, so that a deep copy copies the map."""

    def __init__(self, affine: AffineMap) -> None:
        self.affine = affine

    def __call__(self, module: Any, inputs: Any, output: Any) -> Any:
        if isinstance(output, torch.Tensor):
            return self.affine(output)
        if isinstance(output, tuple):
            return (self.affine(output[0]), *output[1:])
        output.last_hidden_state = self.affine(output.last_hidden_state)
        return output


def install(module: Any, layer: int, matrix: np.ndarray, bias: np.ndarray | None) -> None:
    """Map the hidden states of a layer from now on.

    Args:
        module: a transformers model.
        layer: as in `LanguageModel.hidden_states`.
        matrix: ``(width, width)``.
        bias: ``(width,)`` or None.

    Raises:
        ModelError: the shapes do not fit, or there is no such layer.
    """
    width = int(module.config.get_text_config().hidden_size)
    if matrix.shape != (width, width) or (bias is not None and bias.shape != (width,)):
        raise ModelError(
            f"a projection of hidden states of width {width} needs a matrix {width} x {width} and "
            f"a bias of {width}, not {matrix.shape} and {None if bias is None else bias.shape}"
        )
    affine = AffineMap(matrix, bias).to(next(module.parameters()).device)
    place(module, layer).register_forward_hook(_OutputHook(affine))


def installed(module: Any) -> list[tuple[Any, int, AffineMap]]:
    """Submodule, layer and map of every projection of a model, in the order of application."""
    projections: list[tuple[Any, int, AffineMap]] = []
    if any(_hooks(part) for part in module.modules()):
        for layer in range(1, layers(module) + 1):
            part = place(module, layer)
            projections += [(part, layer, hook.affine) for hook in _hooks(part).values()]
    return projections


def remove(module: Any) -> None:
    """Take every projection away."""
    for part in module.modules():
        for key in _hooks(part):
            del part._forward_hooks[key]


def _hooks(part: Any) -> dict[int, _OutputHook]:
    return {key: hook for key, hook in part._forward_hooks.items() if isinstance(hook, _OutputHook)}


def layers(module: Any) -> int:
    """Number of the model's transformer layers."""
    return int(module.config.get_text_config().num_hidden_layers)


def place(module: Any, layer: int) -> Any:
    """The submodule whose output is the hidden state of a layer that can be projected.

    k is what block k gives; the last (or -1) is the body's answer, after the final norm.

    Raises:
        ModelError: there is no such layer, or its blocks cannot be found.
    """
    count = layers(module)
    at = layer % (count + 1)
    if not -count - 1 <= layer <= count or at == 0:
        raise ModelError(
            f"a {module.config.model_type} model of {count} blocks can be projected at layers 1 to "
            f"{count}, not {layer}"
        )
    return body_of(module) if at == count else _blocks(module)[at - 1]


def _blocks(module: Any) -> torch.nn.ModuleList:
    count = layers(module)
    body = body_of(module)
    for within in dict.fromkeys((getattr(body, "language_model", None) or body, body)):
        for part in within.modules():
            if isinstance(part, torch.nn.ModuleList) and len(part) == count:
                return part
    raise ModelError(
        f"cannot find the layers of a {module.config.model_type} model; use the last layer"
    )


def read(forward: Forward, inputs: Inputs, layer: int) -> torch.Tensor:
    """Hidden states of a layer as what follows it reads them, ``(rows, longest, width)``.

    Raises:
        ModelError: there is no such layer.
    """
    count = layers(forward.module)
    if not -count - 1 <= layer <= count:
        raise ModelError(
            f"this {forward.module.config.model_type} model has layers 0 to {count}, not {layer}"
        )
    at = layer % (count + 1)
    if at == count:
        return forward.body(inputs)
    states: list[torch.Tensor] = []

    def keep_input(module: Any, given: Any, options: Any) -> None:
        states.append(given[0] if given else options["hidden_states"])

    def keep_output(module: Any, given: Any, output: Any) -> None:
        states.append(output if isinstance(output, torch.Tensor) else output[0])

    blocks = _blocks(forward.module)
    handle = (
        blocks[0].register_forward_pre_hook(keep_input, with_kwargs=True)
        if at == 0
        else blocks[at - 1].register_forward_hook(keep_output)
    )
    try:
        forward.body(inputs)
    finally:
        handle.remove()
    return states[0]
