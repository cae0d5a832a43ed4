"""Iterative nullspace projection (Ravfogel et al. 2020), as in Meade et al. 2022."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pydantic import Field, JsonValue

from harness.data import DataStore
from harness.errors import DebiasError
from harness.families import Debiaser
from harness.terms import TERMS_VERSION
from harness.types import Checkpoint, DebiasRequest
from harness_debiasers.projection_fit import Projection, ProjectionConfig, complement, fit_and_apply

if TYPE_CHECKING:
    import numpy as np

CLASSIFIERS = {"causal": 10, "masked": 80}
"""Meade et al. 2022: 10 for GPT-2, 80 for BERT-like models."""


class InlpConfig(ProjectionConfig):
    """How many classifiers are trained and taken out."""

    classifiers: int | None = Field(
        None, ge=1, description="how many; default: 10 for causal models, 80 for masked ones"
    )
    min_accuracy: float = Field(
        0.0,
        ge=0,
        le=1,
        description="a classifier less accurate on held-out sentences ends the loop (0: never)",
    )


class Inlp(Debiaser[InlpConfig]):
    """Removes, again and again, the directions by which a linear classifier tells the groups."""

    name = "inlp"
    summary = "Iterative nullspace projection of hidden states."
    reference = "Ravfogel et al. 2020, https://aclanthology.org/2020.acl-main.647"
    Config = InlpConfig
    inputs = frozenset({"neutral", "domain"})
    stepwise = False

    def fingerprint(self, data: DataStore) -> Mapping[str, JsonValue]:
        """Version of the attribute terms."""
        return {"terms": TERMS_VERSION}

    def debias(self, request: DebiasRequest) -> Iterator[Checkpoint]:
        """See `Debiaser.debias`."""
        count = self.config.classifiers or CLASSIFIERS[request.model.kind]

        def fit(vectors: np.ndarray, labels: np.ndarray) -> Projection:
            return nullspace(
                vectors, labels, count, seed=request.seed, min_accuracy=self.config.min_accuracy
            )

        yield from fit_and_apply(request, self.config, fit)


def nullspace(
    vectors: np.ndarray,
    labels: np.ndarray,
    classifiers: int,
    *,
    seed: int = 0,
    min_accuracy: float = 0.0,
) -> Projection:
    """The projection on the common nullspace of linear classifiers trained one after another.

    Args:
        vectors: ``(sentences, width)``.
        labels: class numbers, ``(sentences,)``; 30 % are held out.
        classifiers: how many.
        seed: of the split and of the solver.
        min_accuracy: held-out accuracy below which the loop ends.

    Raises:
        DebiasError: scikit-learn is not installed.
    """
    import numpy as np

    try:
        from sklearn.model_selection import train_test_split
        from sklearn.svm import LinearSVC
    except ImportError as error:
        raise DebiasError(
            "inlp needs scikit-learn: pip install 'bias-transfer-harness[projections]'"
        ) from error
    x, x_test, y, y_test = train_test_split(
        vectors, labels, test_size=0.3, random_state=seed, stratify=labels
    )
    # the classifier has no intercept: its scale is that of the data, its origin theirs
    scale = float(np.abs(x).max()) or 1.0
    projection = np.eye(vectors.shape[1])
    directions = np.empty((0, vectors.shape[1]))
    accuracies: list[float] = []
    for _ in range(classifiers):
        probe = LinearSVC(fit_intercept=False, dual=False, random_state=seed)
        probe.fit(x @ projection / scale, y)
        accuracy = float(probe.score(x_test @ projection / scale, y_test))
        if accuracy < min_accuracy:
            break
        accuracies.append(accuracy)
        # what the classifier sees lies in the space that is left
        directions = np.vstack([directions, probe.coef_ @ projection])
        projection = complement(directions)
    return Projection(
        projection,
        None,
        {
            "classifiers": len(accuracies),
            "rank_removed": vectors.shape[1] - round(float(np.trace(projection))),
            "first_accuracy": accuracies[0] if accuracies else None,
            "last_accuracy": accuracies[-1] if accuracies else None,
        },
    )
