"""The one way through a model: every forward pass for scores, hidden states and training.

What is read is cut out before the output layer, so no logits are made where none are wanted:
a vocabulary-wide row costs as much as a dozen transformer layers of a small model.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import torch

from harness.lm.handle import ModelKind
from harness.lm.scoring.head import logits_logprobs, streamed_logprobs

ROWS_A_HEAD = 1024
"""Positions that go through the output layer at once; bounds memory at ROWS x vocabulary."""

ROUTE_TOKENS = 8
"""Length of the rows on which the way through the output layer is tried."""

LOUD = 50.0
"""Spread to which logits are brought for that trial: a cap of logits shows at such a size."""

NEAR = {torch.float32: 2e-4, torch.float64: 1e-8}
"""How much two logits may differ to count as the same, as a share of their spread over the
vocabulary."""

NEAR_LOW = 0.05
"""The same in a low precision."""

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

    def __init__(
        self,
        module: Any,
        kind: ModelKind,
        filler: int,
        *,
        longest: int = 1024,
        special: Collection[int] = (),
    ) -> None:
        """Wrap a module.

        Args:
            module: a transformers model with its output layer.
            kind: causal or masked.
            filler: token that rows are padded with.
            longest: tokens that the model takes at once.
            special: tokens that no trial is made with.
        """
        self.module = module
        self.kind = kind
        self.filler = filler
        self.longest = longest
        self._special = frozenset(special)
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

    def body(self, inputs: Inputs) -> torch.Tensor:
        """Last hidden states, after the final norm, ``(rows, longest, width)``."""
        hidden = body_of(self.module)(**self._options(inputs)).last_hidden_state
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
            at_head = (place.to(hidden.device), targets.to(hidden.device))
            return streamed_logprobs(head.weight, head.bias, hidden, *at_head)
        return logits_logprobs(self.logits(inputs, index, positions), place, targets)

    def route(self) -> Route:
        """The cheapest way that gives the whole model's logits; found once, by trying."""
        if self._route is None:
            with self.inference():
                self._route = self._cheapest_route()
        return self._route

    def _cheapest_route(self) -> Route:
        tokens = min(ROUTE_TOKENS, self.longest)
        drawn = self.ordinary_tokens(2 * tokens)
        ids = torch.tensor([drawn[:tokens], drawn[tokens:]], device=self.device)
        inputs = Inputs(ids, torch.ones_like(ids))
        index = torch.tensor([0, 1, 1], device=self.device)
        positions = torch.tensor([tokens - 1, 0, tokens // 2], device=self.device)
        quiet = self.module(**self._options(inputs)).logits[index, positions]
        # An unknown architecture may raise anything when its parts are run; the whole still works.
        for factor in dict.fromkeys((1.0, max(1.0, LOUD / max(spread(quiet), 1e-6)))):
            try:
                with self._louder(factor):
                    route = self._same_route(inputs, index, positions)
            except Exception:  # as above
                return "whole"
            if route != "head":
                return route
        return "head"

    def _same_route(self, inputs: Inputs, index: torch.Tensor, positions: torch.Tensor) -> Route:
        expected = self.module(**self._options(inputs)).logits[index, positions]
        head = self.module.get_output_embeddings()
        if head is not None:
            try:
                if near(head(self.body(inputs)[index, positions]), expected):
                    return "head"
            except Exception:  # the head does not take what the body gives
                pass
        return "cut" if near(self._cut(inputs, index, positions), expected) else "whole"

    @contextmanager
    def _louder(self, factor: float) -> Iterator[None]:
        """Multiply the body's answer for a block, so that what is done to logits shows."""

        def multiply(module: Any, given: Any, output: Any) -> Any:
            output.last_hidden_state = output.last_hidden_state * factor
            return output

        handle = body_of(self.module).register_forward_hook(multiply)
        try:
            yield
        finally:
            handle.remove()

    def ordinary_tokens(self, count: int, seed: int = 0) -> list[int]:
        """Token ids drawn from the vocabulary, special tokens left out; the same for a seed."""
        try:
            vocabulary = len(self.module.get_input_embeddings().weight)
        except (AttributeError, NotImplementedError, TypeError):
            vocabulary = int(self.module.config.get_text_config().vocab_size)
        draw = random.Random(seed)
        usual = [i for i in range(vocabulary) if i not in self._special] or list(range(vocabulary))
        return [draw.choice(usual) for _ in range(count)]

    def _cut(self, inputs: Inputs, index: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        def cut(module: Any, given: Any, output: Any) -> Any:
            output.last_hidden_state = output.last_hidden_state[index, positions].unsqueeze(0)
            return output

        # registered last, so it sees what every projection has made of the hidden states
        handle = body_of(self.module).register_forward_hook(cut)
        try:
            logits = self.module(**self._options(inputs)).logits[0]
        finally:
            handle.remove()
        assert isinstance(logits, torch.Tensor)
        return logits

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


def body_of(module: Any) -> Any:
    """The part of a model that gives hidden states, without its output layer."""
    body = module.base_model
    if body is not module:
        return body
    # a model whose class names another part than it has (Llama 4)
    return next(
        (part for name in ("model", "transformer") if (part := getattr(module, name, None))), body
    )


def spread(logits: torch.Tensor) -> float:
    """Standard deviation of logits over the vocabulary, the mean of several positions."""
    return float(logits.float().std(dim=-1).mean())


def near(logits: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether logits are the same but for rounding, compared to their spread."""
    if logits.shape != expected.shape or not bool(torch.isfinite(logits).all()):
        return False
    return distance(logits, expected) <= NEAR.get(expected.dtype, NEAR_LOW)


def distance(logits: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference of logits, as a share of their spread."""
    largest = float((logits.float() - expected.float()).abs().max())
    return largest / max(spread(expected), 1e-12) if largest else 0.0


def _is_product(head: Any) -> bool:
    """Whether a layer is its weights and bias and nothing else, all of them in memory."""
    watched = head._forward_hooks or head._forward_pre_hooks or "forward" in head.__dict__
    return type(head) is torch.nn.Linear and not watched and not head.weight.is_meta
