"""Whether the checkpoint had every weight that a model's scores depend on."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from harness.errors import ModelError

_SHOWN = 3
"""Names of weights in a message."""

_OLD_BUFFERS = re.compile(
    r"(attn|attention)\.(bias|masked_bias)$|inv_freq$|position_ids$|rotary_emb\.|\.relative_"
)
"""Ends of names of buffers that old checkpoints hold and that are computed today."""

_PROBE_TOKENS = 48


def check_complete(module: Any, report: Mapping[str, Any], shown: str, where: str) -> None:
    """Refuse a model whose scores depend on weights that its checkpoint does not hold.

    Weights that are missing and change no score, such as those of a pooler, are no reason. That is
    found by changing them. Weights of the checkpoint that have no place in the layers of the model
    are a reason: the model that was saved is another one.

    Args:
        module: the model as it was loaded.
        report: what ``from_pretrained(output_loading_info=True)`` gives.
        shown: name of the model, for messages.
        where: where it was loaded from.

    Raises:
        ModelError: one line that names the weights.
    """
    mismatched = sorted(report["mismatched_keys"])
    if mismatched:
        name, saved, expected = mismatched[0]
        more = f" and {len(mismatched) - 1} more" if len(mismatched) > 1 else ""
        raise ModelError(
            f"model '{shown}' does not fit its configuration: {name} is {_shape(saved)} in the "
            f"checkpoint and {_shape(expected)} by config.json{more} ({where})"
        )
    unexpected = sorted(report["unexpected_keys"])
    missing = in_order(module, report["missing_keys"])
    if missing and _scores_depend_on(module, missing):
        total = len(module.state_dict())
        also = f"; the checkpoint has no place for {_some(unexpected)}" if unexpected else ""
        raise ModelError(
            f"model '{shown}': {len(missing)} of the {total} weights of a "
            f"{type(module).__name__} are not in the checkpoint and would be random: "
            f"{_some(missing)}{also} ({where})"
        )
    inside = [name for name in unexpected if _in_a_layer(module, name)]
    if inside:
        raise ModelError(
            f"model '{shown}': a {type(module).__name__} has no place for {_some(inside)} of the "
            f"checkpoint, so it is not the model that was saved ({where})"
        )


def in_order(module: Any, names: Collection[str]) -> list[str]:
    """Names of weights in the order of the module; unknown ones at the end."""
    place = {name: number for number, name in enumerate(module.state_dict())}
    return sorted(names, key=lambda name: (place.get(name, len(place)), name))


def _scores_depend_on(module: Any, names: Collection[str]) -> bool:
    """Whether the logits of a text change with these weights; True where that cannot be tried."""
    vocabulary = int(module.get_input_embeddings().weight.shape[0])
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(vocabulary, (1, _PROBE_TOKENS), generator=draw)
    device = next(module.parameters()).device
    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode():
            before = module(input_ids=ids.to(device)).logits
            with _changed(module, names, draw):
                after = module(input_ids=ids.to(device)).logits
    except Exception:  # whatever goes wrong, it was not shown that they do not matter
        return True
    finally:
        module.train(was_training)
    return not torch.equal(before, after)


@contextmanager
def _changed(module: Any, names: Collection[str], draw: torch.Generator) -> Iterator[None]:
    """Other values in these weights for a block."""
    tensors = module.state_dict(keep_vars=True)
    kept = {name: tensors[name].detach().clone() for name in names if name in tensors}
    try:
        for name, values in kept.items():
            if values.is_floating_point():
                noise = torch.randn(values.shape, generator=draw).to(values.device, values.dtype)
                tensors[name].detach().copy_(values + noise)
        yield
    finally:
        for name, values in kept.items():
            tensors[name].detach().copy_(values)


def _in_a_layer(module: Any, name: str) -> bool:
    """Whether a weight would belong to a layer of the model's text body, were there a place."""
    if _OLD_BUFFERS.search(name):
        return False
    lists = [
        path
        for path, part in module.named_modules()
        if isinstance(part, torch.nn.ModuleList) and path
    ]
    short = [path.partition(".")[2] for path in lists]  # a body that was saved by itself
    return any(name.startswith(f"{path}.") for path in [*lists, *short] if path)


def _some(names: Collection[str]) -> str:
    shown = list(names)[:_SHOWN]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return ", ".join(shown) + more


def _shape(sizes: Any) -> str:
    return " x ".join(str(int(size)) for size in sizes) or "a number"
