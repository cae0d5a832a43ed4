"""LEACE (Belrose et al. 2023): the smallest affine change after which no linear probe works."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from pydantic import Field

from harness.errors import DebiasError
from harness.types import DebiasRequest
from harness_debiasers.projection_fit import Projection, ProjectionConfig, ProjectionDebiaser

if TYPE_CHECKING:
    import numpy as np


class LeaceConfig(ProjectionConfig):
    """The options of the `concept-erasure` package."""

    affine: bool = Field(True, description="erase around the mean rather than the origin")
    shrinkage: bool = Field(True, description="shrink the covariance (more widths than sentences)")
    svd_tol: float = Field(0.01, gt=0, description="singular values below this share are dropped")


class Leace(ProjectionDebiaser[LeaceConfig]):
    """Erases the groups of the source domain from hidden states, in closed form."""

    name = "leace"
    summary = "Least-squares concept erasure of hidden states."
    reference = "Belrose et al. 2023, https://arxiv.org/abs/2306.03819, Theorem 4.3"

    def fit(self, request: DebiasRequest, vectors: np.ndarray, labels: np.ndarray) -> Projection:
        """See `ProjectionDebiaser.fit`."""
        return erase(vectors, labels, self.config)


def erase(vectors: np.ndarray, labels: np.ndarray, config: LeaceConfig) -> Projection:
    """Return the eraser of classes, ``(sentences,)``, from vectors, ``(sentences, width)``.

    Raises:
        DebiasError: `concept-erasure` is not installed.
    """
    import numpy as np
    import torch

    try:
        with warnings.catch_warnings():  # it scripts a function as it is imported
            warnings.filterwarnings("ignore", "`torch.jit.script", DeprecationWarning)
            from concept_erasure import LeaceFitter
    except ImportError as error:
        raise DebiasError(
            "leace needs concept-erasure: pip install 'bias-transfer-harness[projections]'"
        ) from error
    x = torch.tensor(vectors, dtype=torch.float64)
    z = torch.nn.functional.one_hot(torch.tensor(labels)).to(x.dtype)
    eraser = LeaceFitter.fit(
        x, z, affine=config.affine, shrinkage=config.shrinkage, svd_tol=config.svd_tol
    ).eraser
    matrix = eraser.P.numpy()
    bias = None
    if eraser.bias is not None:  # r(x) = x - P'(x - mean), with the package's P = 1 - P'
        mean = eraser.bias.numpy()
        bias = mean - matrix @ mean
    removed = round(float(len(matrix) - np.trace(matrix)))
    return Projection(matrix, bias, {"rank_removed": removed})
