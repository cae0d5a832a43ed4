"""The floating-point operations that scoring texts cannot do without.

Tokens of a group of texts (a pair, a triple) that have the same tokens before them have the same
hidden states, so a group is a tree: each distinct prefix is one node, computed once. A text's
last token predicts nothing that is read, so a node is run only if another token follows it, and
each node that is run is read: its successors' log-probabilities come from it. With ``N`` such
nodes, node ``i`` with ``d_i`` tokens up to and with itself::

    FLOP = N * 2 * (P + V) + 4 * L * H * D * sum(d_i)

``P``: weights of the body's linear layers (a multiply and an add each; biases, norms, rotations
and softmax are left out); ``V``: weights of the output layer; ``L`` layers of ``H`` query heads
of width ``D``: scores and values cost ``2 D`` each a key and head, and a token attends to itself
and to what is before it, no more. Prefixes shared by different groups are counted once a group.
For decoders whose layers are all alike; a mixture of experts would be counted as if all experts
ran.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch


class Costs(NamedTuple):
    """What one token costs in a model: weights of linear layers, and the attention's width."""

    body: int
    head: int
    attention: int
    """Layers x query heads x width of a head."""


class Tree(NamedTuple):
    """Size of what is to be run: nodes, and (query, key) pairs of the attention."""

    nodes: int
    pairs: int


def costs(module: torch.nn.Module) -> Costs:
    """Count the weights of a causal model's linear layers."""
    from transformers.pytorch_utils import Conv1D

    model: Any = module
    config = model.config
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Costs(
        body=sum(
            part.weight.numel()
            for part in model.base_model.modules()
            if isinstance(part, torch.nn.Linear | Conv1D)
        ),
        head=model.get_output_embeddings().weight.numel(),
        attention=config.num_hidden_layers * config.num_attention_heads * width,
    )


def tree(groups: Iterable[Sequence[Sequence[int]]]) -> Tree:
    """Count the nodes that have to be run for groups of texts, given as token ids."""
    nodes = pairs = 0
    for group in groups:
        root: dict[int, Any] = {}
        for ids in group:
            node = root
            for depth, token in enumerate(ids[:-1], start=1):
                if token not in node:
                    node[token] = {}
                    nodes += 1
                    pairs += depth
                node = node[token]
    return Tree(nodes, pairs)


def flops(costs: Costs, tree: Tree) -> int:
    """The formula of the module's docstring."""
    return tree.nodes * 2 * (costs.body + costs.head) + 4 * costs.attention * tree.pairs
