"""Which part of a model lives where: for models that are larger than one device.

Layers fill the GPUs in order, then the CPU's memory, then stay on disk and are read whenever they
are run. All else (embeddings, norms, output layer) is small and stays on the first device.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from harness.errors import ModelError
from harness.lm.scoring.forward import body_of

Place = int | str
"""Number of a GPU, ``cpu`` or ``disk``, as accelerate names them."""


def place(module: Any, dtype: torch.dtype, limits: Mapping[str, str] | None) -> dict[str, Place]:
    """Say where each part of a model goes.

    Args:
        module: the transformers model, its weights on the meta device.
        dtype: that it will be loaded in.
        limits: memory for weights by device (``{"0": "20GiB", "cpu": "60GiB"}``); default: what
            is free now.

    Returns:
        Places by name of a submodule, as ``from_pretrained(device_map=…)`` takes them.

    Raises:
        ModelError: a limit cannot be read, or what is outside the layers does not fit.
    """
    from accelerate.utils import get_max_memory

    try:
        room = get_max_memory({_place(name): most for name, most in (limits or {}).items()} or None)
    except ValueError as error:
        raise ModelError(f"max_memory: {error}") from None
    module.tie_weights()
    first = next(iter(room))  # the first GPU, or the CPU where there is none
    layers = {name: _size(part, dtype) for name, part in _layers(module)}
    total = _size(module, dtype)
    room[first] -= total - sum(layers.values())
    if room[first] < 0:
        raise ModelError(
            f"max_memory: what is outside the layers alone does not fit on device '{first}'"
        )
    if total > sum(room[name] for name in room if name != "cpu" or first == "cpu"):
        room[first] -= max(layers.values(), default=0)  # a layer from elsewhere is run there
    places: dict[str, Place] = {"": first}
    left = list(layers.items())
    for name in [*room, "disk"]:
        while left and (name == "disk" or left[0][1] <= room[name]):
            layer, size = left.pop(0)
            if name != "disk":
                room[name] -= size
            if name != first:
                _split(places, module, layer)
                places[layer] = name
    return places


def single(device_map: Mapping[str, Place]) -> torch.device | None:
    """The one device that holds everything, or None."""
    places = set(device_map.values())
    if len(places) > 1 or "disk" in places:
        return None
    (only,) = places
    return torch.device("cuda", only) if isinstance(only, int) else torch.device(only)


@contextmanager
def spreading() -> Iterator[None]:
    """Accelerate's warnings that are no news to whoever asked for a model to be spread, left out:
    a map that names single tensors, weights left on disk."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The following device_map keys do not match")
        yield


def joined(module: Any) -> Any:
    """Let the body of a spread model answer on the device of its input, as the whole model does."""
    from accelerate.hooks import AlignDevicesHook, add_hook_to_module

    add_hook_to_module(body_of(module), AlignDevicesHook(io_same_device=True), append=True)
    return module


@contextmanager
def standing_in(module: torch.nn.Module) -> Iterator[None]:
    """Let weights that are off their device look as if they were there, for whoever adds to them.

    Their place holds a single zero for all elements, which takes no memory and must not be read.
    """
    away = [
        (part, name, weight)
        for part in module.modules()
        for name, weight in part.named_parameters(recurse=False)
        if weight.is_meta
    ]
    for part, name, weight in away:
        zero = torch.zeros((), dtype=weight.dtype, device=_runs_on(part))
        part._parameters[name] = torch.nn.Parameter(zero.expand(weight.shape), requires_grad=False)
    try:
        yield
    finally:
        for part, name, weight in away:
            part._parameters[name] = weight


def _runs_on(part: torch.nn.Module) -> torch.device:
    hook: Any = getattr(part, "_hf_hook", None)
    for one_hook in getattr(hook, "hooks", (hook,)):
        if (device := getattr(one_hook, "execution_device", None)) is not None:
            return torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    return torch.device("cpu")


def devices(module: torch.nn.Module) -> str:
    """The places of a model's weights, in words: ``cuda:0, cuda:1, cpu``."""
    placed: Mapping[str, Place] = getattr(module, "hf_device_map", None) or {}
    names = [f"cuda:{place}" if isinstance(place, int) else str(place) for place in placed.values()]
    distinct = dict.fromkeys(names or (str(p.device) for p in module.parameters()))
    return ", ".join(distinct)


def _place(name: str) -> Place:
    return int(name) if name.isdecimal() else name


def _layers(module: Any) -> Iterator[tuple[str, torch.nn.Module]]:
    """The layers in order: the parts of lists that the model's class says must not be split."""
    whole = set(module._no_split_modules or ())
    for name, part in module.named_modules():
        if isinstance(part, torch.nn.ModuleList):
            for number, layer in enumerate(part):
                if type(layer).__name__ in whole:
                    yield f"{name}.{number}", layer


def _size(module: torch.nn.Module, dtype: torch.dtype) -> int:
    return sum(parameter.numel() for parameter in module.parameters()) * dtype.itemsize


def _split(places: dict[str, Place], module: Any, name: str) -> None:
    """Make a submodule a key of its own: a coarser one that covers it becomes its parts."""
    kept = set(module.state_dict())
    while name not in places:
        covering = next(key for key in places if key == "" or name.startswith(f"{key}."))
        place, front = places.pop(covering), f"{covering}." if covering else ""
        part = module.get_submodule(covering)
        places.update({f"{front}{child}": place for child, _ in part.named_children()})
        tensors = [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]
        places.update({f"{front}{each}": place for each, _ in tensors if f"{front}{each}" in kept})
