"""INLP, LEACE and SentenceDebias: what is removed, what is left, what a fresh probe finds."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from harness_corpora.domains import BUILT_IN
from harness_debiasers.inlp import Inlp, InlpConfig, nullspace
from harness_debiasers.leace import Leace, LeaceConfig, erase
from harness_debiasers.projection_fit import Projection, complement, labelled_sentences
from harness_debiasers.sentence_debias import SentenceDebias, SentenceDebiasConfig, subspace
from sklearn.linear_model import LogisticRegression

from harness.data.places import DataStore
from harness.errors import DebiasError, ModelError
from harness.lm.handle import LanguageModel
from harness.lm.projection import AffineMap
from harness.testing import tiny_causal_model, tiny_masked_model
from harness.types import DebiasRequest, Passage, no_progress

WIDTH = 40


def planted(count: int, seed: int, classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Correlated vectors, far from the origin, whose means tell the classes apart."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(7).normal(size=(WIDTH, WIDTH))
    means = 3.0 * np.random.default_rng(8).normal(size=(classes, WIDTH)) + 5.0
    labels = rng.integers(0, classes, count)
    return rng.normal(size=(count, WIDTH)) @ mix + means[labels], labels


def probe_accuracy(projection: Projection | None, classes: int = 2) -> float:
    """Held-out accuracy of a fresh linear probe."""
    (x, y), (x_test, y_test) = planted(3000, 1, classes), planted(3000, 2, classes)
    if projection is not None:
        shift = 0.0 if projection.bias is None else projection.bias
        x, x_test = x @ projection.matrix.T + shift, x_test @ projection.matrix.T + shift
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is left has fewer dimensions than columns
        return float(LogisticRegression(max_iter=2000).fit(x, y).score(x_test, y_test))


@pytest.mark.parametrize("classes", [2, 4])
def test_a_fresh_probe_fails_after_erasure_and_succeeded_before(classes: int) -> None:
    x, y = planted(3000, 1, classes)
    chance = 1 / classes
    bound = chance + 4 * np.sqrt(chance * (1 - chance) / 3000)  # four standard errors
    assert probe_accuracy(None, classes) > 0.9
    assert probe_accuracy(nullspace(x, y), classes) < bound
    assert probe_accuracy(erase(x, y, LeaceConfig()), classes) < bound
    assert probe_accuracy(erase(x, y, LeaceConfig(shrinkage=False)), classes) < bound


def test_inlp_is_a_projection_of_the_stated_rank() -> None:
    found = nullspace(*planted(500, 1), 4)
    assert np.allclose(found.matrix @ found.matrix, found.matrix, atol=1e-9)
    assert np.allclose(found.matrix, found.matrix.T)
    assert np.linalg.matrix_rank(found.matrix) == WIDTH - 4
    assert found.log["rank_removed"] == 4
    assert found.bias is not None
    assert np.allclose(found.matrix @ found.bias, 0, atol=1e-9)  # so the map is idempotent as well


def test_inlp_takes_the_classifiers_that_it_needs_or_a_fixed_number() -> None:
    x, y = planted(3000, 1)
    few = nullspace(x, y, 3)
    assert few.log["classifiers"] == 3
    assert probe_accuracy(few) > 0.6  # a fixed number leaves what correlated states still tell
    needed = int(str(nullspace(x, y).log["classifiers"]))
    assert 3 < needed < WIDTH
    assert 3 <= int(str(nullspace(x, y, min_accuracy=0.9).log["classifiers"])) < needed
    assert nullspace(x, y, 30, min_accuracy=0.0).log["classifiers"] == 30
    noise = np.random.default_rng(0).normal(size=(600, WIDTH))
    assert int(str(nullspace(noise, y[:600]).log["classifiers"])) < 10  # nothing to find


@pytest.mark.parametrize(("kind", "published"), [("causal", 10), ("masked", 80)])
def test_the_published_inlp_has_a_fixed_number(kind: str, published: int, tmp_path: Path) -> None:
    model = tiny_causal_model() if kind == "causal" else tiny_masked_model()
    config = InlpConfig(variant="bias-bench", min_sentences=10)
    (point,) = Inlp(config).debias(request(model, tmp_path))
    assert point.log["classifiers"] == published
    total = sum(int(str(v)) for k, v in point.log.items() if k.startswith("sentences of"))
    assert abs(float(str(point.log["vectors_trained_on"])) / total - 0.49) < 1.5 / total


def test_the_published_inlp_trains_on_49_percent() -> None:
    x, y = planted(1000, 1)
    assert nullspace(x, y, 2).log["vectors_trained_on"] == 700
    assert nullspace(x, y, 2, splits=2).log["vectors_trained_on"] == 490


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


def test_the_subspace_is_that_of_scikit_learns_pca() -> None:
    from sklearn.decomposition import PCA

    groups = np.random.default_rng(3).normal(size=(200, 3, WIDTH)) + np.arange(WIDTH) / 10
    directions, explained = subspace(groups, 2)
    unit = groups / np.linalg.norm(groups, axis=-1, keepdims=True)
    pca = PCA(2).fit((unit - unit.mean(axis=1, keepdims=True)).reshape(-1, WIDTH))
    assert np.allclose(np.abs((directions * pca.components_).sum(axis=1)), 1.0, atol=1e-8)
    assert explained == pytest.approx(pca.explained_variance_ratio_.sum())


def test_leace_is_what_the_package_erases() -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from concept_erasure import LeaceEraser
    x, y = planted(500, 1, 4)
    found = erase(x, y, LeaceConfig())
    assert found.bias is not None
    z = torch.nn.functional.one_hot(torch.tensor(y)).double()
    expected = LeaceEraser.fit(torch.tensor(x), z)(torch.tensor(x)).numpy()
    np.testing.assert_allclose(x @ found.matrix.T + found.bias, expected, atol=1e-6)
    assert found.log["rank_removed"] == 3


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
        data=DataStore(cache_dir=folder, offline=True, domains=BUILT_IN),
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


def test_a_map_follows_the_layer_to_the_device_that_it_lies_on() -> None:
    affine = AffineMap(np.eye(3), None)
    assert affine(torch.empty(2, 3, device="meta")).device.type == "meta"
    hidden = torch.randn(2, 3)
    assert torch.equal(affine(hidden), hidden)


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
