"""The random state of a fit: seeded once, carried from checkpoint to checkpoint."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple


class _State(NamedTuple):
    """The state of every global generator."""

    python: Any
    numpy: Any
    torch: Any
    cuda: list[Any]


class FitRandomness:
    """The global generators of Python, numpy and torch as one fit sees them.

    A fit draws from the same streams whichever checkpoints are asked for, because the streams are
    seeded once and continue where the last block of `active` ended. What is drawn outside of the
    blocks, while a checkpoint is measured, changes nothing.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._state: _State | None = None

    @contextmanager
    def active(self) -> Iterator[None]:
        """Let the fit draw within a block; the caller's random state is restored afterwards."""
        outside = _read()
        if self._state is None:
            _seed(self._seed)
        else:
            _write(self._state)
        try:
            yield
        finally:
            self._state = _read()
            _write(outside)


def _seed(seed: int) -> None:
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _read() -> _State:
    import numpy as np
    import torch

    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return _State(random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda)


def _write(state: _State) -> None:
    import numpy as np
    import torch

    random.setstate(state.python)
    np.random.set_state(state.numpy)
    torch.set_rng_state(state.torch)
    if state.cuda:
        torch.cuda.set_rng_state_all(state.cuda)
