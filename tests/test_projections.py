"""INLP, LEACE and SentenceDebias: what is removed, what is left, what a fresh probe finds."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from harness_debiasers.inlp import Inlp, InlpConfig, nullspace
from harness_debiasers.leace import Leace, LeaceConfig, erase
from harness_debiasers.projection_fit import Projection, complement, labelled_sentences
from harness_debiasers.sentence_debias import SentenceDebias, SentenceDebiasConfig, subspace
from sklearn.linear_model import LogisticRegression

from harness.data import DataStore
from harness.errors import DebiasError, ModelError
from harness.lm.handle import LanguageModel
from harness.tiny_models import tiny_causal_model, tiny_masked_model
from harness.types import DebiasRequest, Passage, no_progress

WIDTH = 40


def planted(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Correlated vectors in which two directions tell the classes apart."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(7).normal(size=(WIDTH, WIDTH))
    labels = rng.integers(0, 2, count)
    vectors = rng.normal(size=(count, WIDTH)) @ mix
    vectors[:, 0] += 6.0 * (labels - 0.5)
    vectors[:, 3] -= 9.0 * (labels - 0.5)
    return vectors, labels


def probe_accuracy(projection: Projection | None) -> float:
    """Held-out accuracy of a fresh linear probe."""
    (x, y), (x_test, y_test) = planted(3000, 1), planted(3000, 2)
    if projection is not None:
        shift = 0.0 if projection.bias is None else projection.bias
        x, x_test = x @ projection.matrix.T + shift, x_test @ projection.matrix.T + shift
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is left has fewer dimensions than columns
        return float(LogisticRegression(max_iter=2000).fit(x, y).score(x_test, y_test))


def test_a_fresh_probe_fails_after_erasure_and_succeeded_before() -> None:
    x, y = planted(3000, 1)
    chance = 0.5 + 4 * 0.5 / np.sqrt(3000)  # four standard errors
    assert probe_accuracy(None) > 0.9
    assert probe_accuracy(nullspace(x, y, 25)) < chance
    assert probe_accuracy(erase(x, y, LeaceConfig(shrinkage=False))) < chance


def test_inlp_is_a_projection_of_the_stated_rank() -> None:
    found = nullspace(*planted(500, 1), 4)
    assert np.allclose(found.matrix @ found.matrix, found.matrix, atol=1e-9)
    assert np.allclose(found.matrix, found.matrix.T)
    assert np.linalg.matrix_rank(found.matrix) == WIDTH - 4
    assert found.log["rank_removed"] == 4
    stopped = nullspace(*planted(500, 1), 10, min_accuracy=0.8)
    assert 0 < int(str(stopped.log["classifiers"])) < 10


def test_leace_agrees_with_the_closed_form() -> None:
    x, y = planted(2000, 1)
    found = erase(x, y, LeaceConfig(shrinkage=False))
    assert found.bias is not None
    mean = x.mean(axis=0)
    centred, z = x - mean, np.eye(2)[y] - np.eye(2)[y].mean(axis=0)
    values, basis = np.linalg.eigh(centred.T @ centred / len(x))
    whiten = basis @ np.diag(values**-0.5) @ basis.T
    direction = whiten @ (centred.T @ z / len(x))[:, :1]
    unit = direction / np.linalg.norm(direction)
    own = x - (np.linalg.inv(whiten) @ unit @ unit.T @ whiten @ centred.T).T
    assert np.allclose(x @ found.matrix.T + found.bias, own, atol=1e-6)
    assert np.allclose(found.matrix @ found.matrix, found.matrix, atol=1e-8)
    assert found.log["rank_removed"] == 1


def test_sentence_debias_removes_the_first_component_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    axis = np.eye(WIDTH)[4]
    shared = rng.normal(size=(300, 1, WIDTH)) * (1 - axis)
    groups = shared + np.array([[1.0], [-1.0]]) * axis + 1e-3 * rng.normal(size=(300, 2, WIDTH))
    directions, explained = subspace(groups, 1)
    assert abs(directions[0] @ axis) > 0.999
    assert explained > 0.99
    matrix = complement(directions)
    assert np.allclose(matrix @ directions[0], 0, atol=1e-9)
    others = np.linalg.svd(directions)[2][1:]
    assert np.allclose(others @ matrix.T, others, atol=1e-9)
    assert np.linalg.matrix_rank(matrix) == WIDTH - 1


MEN = ["the man walked to town {}", "his father sold {} in town", "my uncle knew {} very well"]
WOMEN = ["the woman walked to town {}", "his mother sold {} in town", "my aunt knew {} very well"]
OTHER = ["the river runs to town {}", "a farm sold {} in town", "they knew {} very well"]
THINGS = ["bread", "rope", "salt", "corn", "wool", "wood", "coal", "tin"]


def request(model: LanguageModel, folder: Path, domain: str = "gender") -> DebiasRequest:
    texts = [line.format(thing) for line in [*MEN, *WOMEN, *OTHER] for thing in THINGS]
    return DebiasRequest(
        model=model,
        domain=domain,
        neutral=tuple(
            Passage(id=str(i), text=t + ".", domain="none", label="non-hateful", split="train")
            for i, t in enumerate(texts)
        ),
        steps=(1,),
        data=DataStore(cache_dir=folder, offline=True),
        progress=no_progress,
    )


@pytest.mark.parametrize("layer", [-1, 1])
@pytest.mark.parametrize("kind", ["causal", "masked"])
@pytest.mark.parametrize(
    ("method", "config"),
    [
        (Inlp, InlpConfig(min_sentences=10, classifiers=3)),
        (Leace, LeaceConfig(min_sentences=10)),
        (SentenceDebias, SentenceDebiasConfig(min_sentences=10)),
    ],
)
def test_a_projected_model_scores_otherwise_and_a_copy_carries_it(
    method: type, config: InlpConfig, kind: str, layer: int, tmp_path: Path
) -> None:
    model = tiny_causal_model() if kind == "causal" else tiny_masked_model()
    text = ["the woman sold bread"]
    before = model.token_scores(text)[0].logprobs
    plugin = method(config.model_copy(update={"layer": layer}))
    (checkpoint,) = plugin.debias(request(model, tmp_path))
    after = checkpoint.model.token_scores(text)[0].logprobs
    assert not np.allclose(before[1:], after[1:])
    assert np.array_equal(checkpoint.model.copy().token_scores(text)[0].logprobs[1:], after[1:])
    assert int(str(checkpoint.log["rank_removed"])) >= 1


def test_classes_are_balanced_and_named_by_group(tmp_path: Path) -> None:
    found = labelled_sentences(request(tiny_causal_model(), tmp_path), InlpConfig(min_sentences=10))
    assert found.counts == {"men": 24, "women": 24, "neutral": 24}
    assert all(
        "uncle" not in t for t, c in zip(found.texts, found.labels, strict=True) if c != "men"
    )


def test_bad_input_ends_in_one_line(tmp_path: Path) -> None:
    model = tiny_causal_model()
    with pytest.raises(DebiasError, match="too few sentences about 'religion' to fit on"):
        list(Inlp(InlpConfig()).debias(request(model, tmp_path, "religion")))
    with pytest.raises(DebiasError, match="0 sentences hold an attribute word of 'religion'"):
        list(SentenceDebias(SentenceDebiasConfig()).debias(request(model, tmp_path, "religion")))
    with pytest.raises(ModelError, match="layers"):
        list(Leace(LeaceConfig(min_sentences=10, layer=9)).debias(request(model, tmp_path)))
