"""The one way through a model: every forward pass for scores, hidden states and training.

What is read is cut out before the output layer, so no logits are made where none are wanted:
a vocabulary-wide row costs as much as a dozen transformer layers of a small model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

from harness.lm.handle import ModelKind

ROWS_A_HEAD = 1024
"""Positions that go through the output layer at once; bounds memory at ROWS x vocabulary."""

HEAD_TOLERANCE = 1e-3
"""How far logits of positions cut out may be from the whole model's to count as the same."""

Route = Literal["head", "cut", "whole"]
"""``head``: output layer over the body's hidden states; ``cut``: the model itself, its body's
answer cut down on the way (heads of several layers, capped or scaled logits); ``whole``: all
logits are made, and most thrown away."""


class Forward:
    """Runs a module on right-padded rows. Hooks on the module (projections) are part of it."""

    def __init__(self, module: Any, kind: ModelKind, filler: int) -> None:
        self.module = module
        self.kind = kind
        self.filler = filler
        self._route: Route | None = None

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

    def body(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Last hidden states, after the final norm, ``(rows, longest, width)``."""
        hidden = self.module.base_model(**self._inputs(ids, mask)).last_hidden_state
        assert isinstance(hidden, torch.Tensor)
        return hidden

    def logits(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        index: torch.Tensor,
        positions: torch.Tensor,
        chunk: int = ROWS_A_HEAD,
    ) -> Iterator[torch.Tensor]:
        """Logits of row ``index[k]`` at ``positions[k]``, ``(at most chunk, vocabulary)`` a time.

        Args:
            ids: right-padded token ids, ``(rows, longest)``.
            mask: 1 for tokens and 0 for padding, same shape.
            index: rows that are read, ``(n,)``.
            positions: where they are read, ``(n,)``.
            chunk: positions that go through the output layer at once.
        """
        route = self.route()
        if route == "head":
            hidden = self.body(ids, mask)[index, positions]
            head = self.module.get_output_embeddings()
            yield from (head(part) for part in torch.split(hidden, chunk))
        elif route == "cut":
            yield self._cut(ids, mask, index, positions)
        else:
            yield self.module(**self._inputs(ids, mask)).logits[index, positions]

    def route(self) -> Route:
        """The cheapest way that gives the whole model's logits; found once, by trying."""
        if self._route is None:
            with self.inference():
                self._route = self._cheapest_route()
        return self._route

    def _cheapest_route(self) -> Route:
        ids = torch.full((2, 3), self.filler, device=self.device)
        mask = torch.ones_like(ids)
        index = torch.tensor([0, 1, 1], device=self.device)
        positions = torch.tensor([2, 0, 1], device=self.device)
        expected = self.module(**self._inputs(ids, mask)).logits[index, positions].float()

        def same(found: torch.Tensor) -> bool:
            return found.shape == expected.shape and torch.allclose(
                found.float(), expected, atol=HEAD_TOLERANCE, rtol=HEAD_TOLERANCE
            )

        # Whatever a strange architecture raises when it is taken apart, it can be run whole.
        try:
            head = self.module.get_output_embeddings()
            if same(head(self.body(ids, mask)[index, positions])):
                return "head"
        except Exception:
            pass
        try:
            if same(self._cut(ids, mask, index, positions)):
                return "cut"
        except Exception:
            pass
        return "whole"

    def _cut(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        index: torch.Tensor,
        positions: torch.Tensor,
    ) -> torch.Tensor:
        def cut(module: Any, inputs: Any, output: Any) -> Any:
            output.last_hidden_state = output.last_hidden_state[index, positions].unsqueeze(0)
            return output

        # registered last, so it sees what every projection has made of the hidden states
        handle = self.module.base_model.register_forward_hook(cut)
        try:
            logits = self.module(**self._inputs(ids, mask)).logits[0]
        finally:
            handle.remove()
        assert isinstance(logits, torch.Tensor)
        return logits

    def _inputs(self, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
        if self.kind == "masked":
            return {"input_ids": ids, "attention_mask": mask}
        # Padding on the right comes after every token that is read, so a causal model cannot see
        # it: without a mask the attention kernel need not read one.
        return {"input_ids": ids, "use_cache": False}
