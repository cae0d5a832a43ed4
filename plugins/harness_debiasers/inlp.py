"""Iterative nullspace projection (Ravfogel et al. 2020), as in Meade et al. 2022."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from harness.errors import DebiasError
from harness.types import DebiasRequest
from harness_debiasers.projection_fit import (
    Projection,
    ProjectionConfig,
    ProjectionDebiaser,
    complement,
)

if TYPE_CHECKING:
    import numpy as np

PUBLISHED = {"causal": 10, "masked": 80}
"""Classifiers of Meade et al. 2022: 10 for GPT-2, 80 for BERT-like models."""

PATIENCE = 2
"""Useless classifiers in a row that end the loop: a single one may be an accident of the split."""


class InlpConfig(ProjectionConfig):
    """How many classifiers are trained and taken out."""

    variant: Literal["clean", "bias-bench"] = Field(
        "clean",
        description="clean: as many classifiers as are better than chance, around the mean state; "
        "bias-bench: 10 for a causal model and 80 for a masked one, through the origin, states "
        "not scaled, trained on 49 % of the sentences (as published)",
    )
    classifiers: int | None = Field(
        None, ge=1, description="most classifiers; default: those of the variant"
    )
    min_accuracy: float | None = Field(
        None,
        ge=0,
        le=1,
        description="two classifiers in a row that are no better than this on held-out sentences "
        "end the loop (0: never); default: chance (clean), never (bias-bench)",
    )


class Inlp(ProjectionDebiaser[InlpConfig]):
    """Removes, again and again, the directions by which a linear classifier tells the groups."""

    name = "inlp"
    summary = "Iterative nullspace projection of hidden states."
    reference = "Ravfogel et al. 2020, https://aclanthology.org/2020.acl-main.647"

    def fit(self, request: DebiasRequest, vectors: np.ndarray, labels: np.ndarray) -> Projection:
        """See `ProjectionDebiaser.fit`."""
        config = self.config
        published = config.variant == "bias-bench"
        return nullspace(
            vectors,
            labels,
            config.classifiers or (PUBLISHED[request.model.kind] if published else None),
            seed=request.seed,
            min_accuracy=0.0 if published and config.min_accuracy is None else config.min_accuracy,
            standardised=not published,
            splits=2 if published else 1,
        )


def nullspace(
    vectors: np.ndarray,
    labels: np.ndarray,
    classifiers: int | None = None,
    *,
    seed: int = 0,
    min_accuracy: float | None = None,
    standardised: bool = True,
    splits: int = 1,
) -> Projection:
    """Return the projection on the common nullspace of classifiers trained one after another.

    Each classifier removes its own directions. On correlated vectors these are not the directions
    along which the class means differ, so the next classifier still finds some of the difference.
    So there are as many classifiers as needed, not a fixed number.

    Args:
        vectors: ``(sentences, width)``.
        labels: class numbers, ``(sentences,)``.
        classifiers: how many at most; None: no more than there are directions.
        seed: of the split and of the solver.
        min_accuracy: held-out accuracy of a useless classifier; `PATIENCE` of them end the loop.
            None: the share of the largest class; 0: the loop is not ended.
        standardised: take the mean off (the classifiers have no intercept) and bring vectors into
            [-1, 1] (so that their penalty counts); the projection is then around the mean.
        splits: how often 30 % are held out of what is left. 1: classifiers are trained on 70 % of
            the vectors and judged on the rest. 2, as in the published code: they are trained on
            49 %, judged on the 21 % that the second split holds out, and 30 % are not used.

    Raises:
        DebiasError: scikit-learn is not installed.
    """
    import numpy as np

    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.model_selection import train_test_split
        from sklearn.svm import LinearSVC
    except ImportError as error:
        raise DebiasError(
            "inlp needs scikit-learn: pip install 'bias-transfer-harness[projections]'"
        ) from error
    x, y = vectors, labels
    for _ in range(splits):
        x, x_test, y, y_test = train_test_split(x, y, test_size=0.3, random_state=seed, stratify=y)
    width = vectors.shape[1]
    chance = float(np.bincount(y_test).max() / len(y_test))
    if min_accuracy is None:
        min_accuracy = chance
    mean = x.mean(axis=0) if standardised else np.zeros(width)
    x, x_test = x - mean, x_test - mean
    scale = (float(np.abs(x).max()) or 1.0) if standardised else 1.0
    projection = np.eye(width)
    directions = np.empty((0, width))
    accuracies: list[float] = []
    useless = 0
    while len(accuracies) < (classifiers or width) and useless < PATIENCE:
        probe = LinearSVC(fit_intercept=False, dual=False, random_state=seed)
        with warnings.catch_warnings():  # vectors as they are may take it longer than it has
            warnings.simplefilter("ignore", ConvergenceWarning)
            probe.fit(x @ projection / scale, y)
        accuracy = float(probe.score(x_test @ projection / scale, y_test))
        accuracies.append(accuracy)
        useless = useless + 1 if min_accuracy and accuracy <= min_accuracy else 0
        # the classifier sees the projected space only
        directions = np.vstack([directions, probe.coef_ @ projection])
        projection = complement(directions)
    return Projection(
        projection,
        mean - projection @ mean if standardised else None,
        {
            "classifiers": len(accuracies),
            "vectors_trained_on": len(x),
            "rank_removed": width - round(float(np.trace(projection))),
            "first_accuracy": accuracies[0],
            "last_accuracy": accuracies[-1],
            "chance": chance,
        },
    )
