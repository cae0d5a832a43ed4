"""The one way through a model: every forward pass for scores, hidden states and training.

What is read is cut out before the output layer, so no logits are made where none are wanted:
a vocabulary-wide row costs as much as a dozen transformer layers of a small model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import torch

from harness.lm.handle import ModelKind
from harness.lm.scoring.head import logits_logprobs, streamed_logprobs

ROWS_A_HEAD = 1024
"""Positions that go through the output layer at once; bounds memory at ROWS x vocabulary."""

HEAD_TOLERANCE = 1e-3
"""How far logits of positions cut out may be from the whole model's to count as the same."""

TREE_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-8}
"""How far hidden states of a tree may be from those of its rows, as a share of the largest."""

TREE_TOLERANCE_LOW = 0.05
"""The same in a low precision."""

TREE_TOKENS = 1024
"""Longest text that is run in a tree, whatever the model: beyond, attention costs more than
sharing saves."""

Route = Literal["head", "cut", "whole"]
"""``head``: output layer over the body's hidden states; ``cut``: the model itself, its body's
answer cut down on the way (heads of several layers, capped or scaled logits); ``whole``: all
logits are made, and most thrown away."""


class Inputs(NamedTuple):
    """What a model is run on: right-padded rows, or rows that hold trees.

    Attributes:
        ids: token ids, ``(rows, longest)``.
        mask: of rows, 1 for tokens and 0 for padding, same shape; of trees, True where a token
            may see another, ``(rows, 1, longest, longest)``.
        depth: of trees, the position of each token in its text, ``(rows, longest)``.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    depth: torch.Tensor | None = None


class Forward:
    """Runs a module on inputs. Hooks on the module (projections) are part of it."""

    def __init__(self, module: Any, kind: ModelKind, filler: int) -> None:
        self.module = module
        self.kind = kind
        self.filler = filler
        self._route: Route | None = None
        self._tree_tokens: int | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        device = next(self.module.parameters()).device
        assert isinstance(device, torch.device)
        return device

    @contextmanager
    def inference(self) -> Iterator[None]:
        """No graph and no dropout, whatever state a debiaser left the module in."""
        training = self.module.training
        if training:
            self.module.eval()
        try:
            with torch.inference_mode():
                yield
        finally:
            if training:
                self.module.train()

    def body(self, inputs: Inputs) -> torch.Tensor:
        """Last hidden states, after the final norm, ``(rows, longest, width)``."""
        hidden = self.module.base_model(**self._options(inputs)).last_hidden_state
        assert isinstance(hidden, torch.Tensor)
        return hidden

    def logits(
        self,
        inputs: Inputs,
        index: torch.Tensor,
        positions: torch.Tensor,
        chunk: int = ROWS_A_HEAD,
    ) -> Iterator[torch.Tensor]:
        """Logits of row ``index[k]`` at ``positions[k]``, ``(at most chunk, vocabulary)`` a time.

        Args:
            inputs: what is run.
            index: rows that are read, ``(n,)``.
            positions: where they are read, ``(n,)``.
            chunk: positions that go through the output layer at once.
        """
        route = self.route()
        if route == "head":
            hidden = self.body(inputs)[index, positions]
            head = self.module.get_output_embeddings()
            yield from (head(part) for part in torch.split(hidden, chunk))
        elif route == "cut":
            yield self._cut(inputs, index, positions)
        else:
            yield self.module(**self._options(inputs)).logits[index, positions]

    def logprobs(
        self,
        inputs: Inputs,
        index: torch.Tensor,
        positions: torch.Tensor,
        place: torch.Tensor,
        targets: torch.Tensor,
    ) -> torch.Tensor:
        """``log p(targets[k])`` at the ``place[k]``-th position read, ``(scores,)``.

        Args:
            inputs: what is run.
            index: rows that are read, ``(n,)``.
            positions: where they are read, ``(n,)``.
            place: which of these ``n`` each score is read at, ascending, ``(scores,)``.
            targets: token of each score, ``(scores,)``.
        """
        head = self.module.get_output_embeddings() if self.route() == "head" else None
        if head is not None and _is_product(head):
            hidden = self.body(inputs)[index, positions].to(head.weight.device)
            own = (place.to(hidden.device), targets.to(hidden.device))
            return streamed_logprobs(head.weight, head.bias, hidden, *own)
        return logits_logprobs(self.logits(inputs, index, positions), place, targets)

    def route(self) -> Route:
        """The cheapest way that gives the whole model's logits; found once, by trying."""
        if self._route is None:
            with self.inference():
                self._route = self._cheapest_route()
        return self._route

    def _cheapest_route(self) -> Route:
        ids = torch.full((2, 3), self.filler, device=self.device)
        inputs = Inputs(ids, torch.ones_like(ids))
        index = torch.tensor([0, 1, 1], device=self.device)
        positions = torch.tensor([2, 0, 1], device=self.device)
        expected = self.module(**self._options(inputs)).logits[index, positions].float()

        def same(found: torch.Tensor) -> bool:
            return found.shape == expected.shape and torch.allclose(
                found.float(), expected, atol=HEAD_TOLERANCE, rtol=HEAD_TOLERANCE
            )

        # Whatever a strange architecture raises when it is taken apart, it can be run whole.
        try:
            head = self.module.get_output_embeddings()
            if same(head(self.body(inputs)[index, positions])):
                return "head"
        except Exception:
            pass
        try:
            if same(self._cut(inputs, index, positions)):
                return "cut"
        except Exception:
            pass
        return "whole"

    def _cut(self, inputs: Inputs, index: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        def cut(module: Any, given: Any, output: Any) -> Any:
            output.last_hidden_state = output.last_hidden_state[index, positions].unsqueeze(0)
            return output

        # registered last, so it sees what every projection has made of the hidden states
        handle = self.module.base_model.register_forward_hook(cut)
        try:
            logits = self.module(**self._options(inputs)).logits[0]
        finally:
            handle.remove()
        assert isinstance(logits, torch.Tensor)
        return logits

    def tree_tokens(self) -> int:
        """Longest text that the model can run as part of a tree; 0: it cannot. Found by trying.

        A tree needs a causal model that takes a mask of any shape and positions, and that has no
        window of attention shorter than the text.
        """
        if self._tree_tokens is None:
            with self.inference():
                self._tree_tokens = self._longest_in_tree()
        return self._tree_tokens

    def _longest_in_tree(self) -> int:
        if self.kind != "causal":
            return 0
        config = self.module.config
        windows = (getattr(config, n, None) for n in ("sliding_window", "attention_chunk_size"))
        longest = min([TREE_TOKENS, *(w for w in windows if isinstance(w, int) and w > 0)])
        a, b, c, d = (k % config.vocab_size for k in (3, 5, 7, 11))
        rows = torch.tensor([[a, b, c], [a, d, b], [d, c, a]], device=self.device)
        # the first two share their first token: nodes 0-2, 0 3 4; the third stands beside them
        ids = torch.tensor([[a, b, c, d, b, d, c, a]], device=self.device)
        depth = torch.tensor([[0, 1, 2, 1, 2, 0, 1, 2]], device=self.device)
        nodes = torch.tensor([[0, 1, 2], [0, 3, 4], [5, 6, 7]], device=self.device)
        visible = torch.zeros(1, 1, 8, 8, dtype=torch.bool, device=self.device)
        for row in nodes.tolist():
            for at, node in enumerate(row):
                visible[0, 0, node, row[: at + 1]] = True
        expected = self.body(Inputs(rows, torch.ones_like(rows))).float()
        try:  # whatever a strange architecture makes of such a mask, it can be run in rows
            found = self.body(Inputs(ids, visible, depth))[0][nodes].float()
        except Exception:
            return 0
        near = TREE_TOLERANCE.get(self.module.dtype, TREE_TOLERANCE_LOW) * expected.abs().max()
        return longest if float((found - expected).abs().max()) <= float(near) else 0

    def _options(self, inputs: Inputs) -> dict[str, Any]:
        if self.kind == "masked":
            return {"input_ids": inputs.ids, "attention_mask": inputs.mask}
        if inputs.depth is not None:
            dtype = self.module.dtype
            hidden = torch.zeros(inputs.mask.shape, dtype=dtype, device=inputs.ids.device)
            return {
                "input_ids": inputs.ids,
                "position_ids": inputs.depth,
                "attention_mask": hidden.masked_fill_(~inputs.mask, torch.finfo(dtype).min),
                "use_cache": False,
            }
        # Padding on the right comes after every token that is read, so a causal model cannot see
        # it: without a mask the attention kernel need not read one.
        return {"input_ids": inputs.ids, "use_cache": False}


def _is_product(head: Any) -> bool:
    """Whether a layer is its weights and bias and nothing else, all of them in memory."""
    watched = head._forward_hooks or head._forward_pre_hooks or "forward" in head.__dict__
    return type(head) is torch.nn.Linear and not watched and not head.weight.is_meta
