"""DPO and PCGU: what they learn from, their formulas, and which weights they move."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from harness_corpora.domains import BUILT_IN
from harness_debiasers.dpo import Dpo, dpo_loss
from harness_debiasers.lm_loss import sequence_logprobs
from harness_debiasers.minimal_pairs import differing, minimal_pairs
from harness_debiasers.pcgu import Pcgu, lowest_cosines

from harness.data.places import DataStore
from harness.errors import DebiasError
from harness.lm.handle import LanguageModel
from harness.testing import tiny_causal_model, tiny_masked_model
from harness.types import DebiasRequest, Passage, no_progress

TEXTS = ["They say that women wait near the station.", "The rain fell.", "She sang for the girls."]


def tiny(kind: str) -> LanguageModel:
    return tiny_causal_model() if kind == "causal" else tiny_masked_model()


def request(
    model: LanguageModel, folder: Path, steps: tuple[int, ...] = (3,), domain: str = "gender"
) -> DebiasRequest:
    passages = tuple(
        Passage(id=f"p{i}", text=t, domain=domain, label="hateful", split="train")
        for i, t in enumerate(TEXTS)
    )
    return DebiasRequest(
        model=model,
        domain=domain,
        passages=passages,
        steps=steps,
        seed=0,
        data=DataStore(cache_dir=folder, offline=True, domains=BUILT_IN),
        progress=no_progress,
    )


def margin(model: LanguageModel, asked: DebiasRequest) -> float:
    """Mean of log p(counterfactual) - log p(passage)."""
    pairs = minimal_pairs(asked, None, 200)
    with torch.no_grad():
        good, _ = sequence_logprobs(model, [pair.counterfactual for pair in pairs])
        bad, _ = sequence_logprobs(model, [pair.passage for pair in pairs])
    return float((good - bad).mean())


def test_tokens_that_differ_are_found_on_both_sides() -> None:
    assert differing([1, 2, 3, 4], [1, 9, 8, 3, 4]) == ([1], [1, 2])
    assert differing([1, 2], [1, 2]) == ([], [])


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_pairs_are_the_passages_with_an_attribute_word(kind: str, tmp_path: Path) -> None:
    model = tiny(kind)
    pairs = minimal_pairs(request(model, tmp_path), None, 200)
    assert len(pairs) == 2
    if kind == "masked":  # the same context, and only the words that differ are predicted
        for pair in pairs:
            assert pair.passage.targets != pair.counterfactual.targets
            hidden = [[t for k, t in enumerate(row.ids) if k not in row.positions] for row in pair]
            assert hidden[0] == hidden[1]


def test_three_groups_give_two_pairs(tmp_path: Path) -> None:
    asked = request(tiny_causal_model(), tmp_path, domain="religion")
    said = asked.passages[0].model_copy(update={"text": "The jews met at the synagogue."})
    asked = asked.model_copy(update={"passages": (said,)})
    assert len(minimal_pairs(asked, None, 200)) == 2


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_a_pair_that_differs_beyond_the_cut_is_none(kind: str, tmp_path: Path) -> None:
    asked = request(tiny(kind), tmp_path)
    assert len(minimal_pairs(asked, None, 3)) == 1  # "She sang": the other text's word comes late
    with pytest.raises(DebiasError, match="near its start"):
        minimal_pairs(asked.model_copy(update={"passages": asked.passages[:1]}), None, 3)


@pytest.mark.parametrize(("domain", "said"), [("age", "no passage of 'age'"), ("x", "word list")])
def test_nothing_to_pair_is_one_line(domain: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DebiasError, match=said):
        minimal_pairs(request(tiny_causal_model(), tmp_path, domain=domain), None, 200)


def test_dpo_loss_is_its_formula_and_starts_at_log_2() -> None:
    found = torch.tensor([1.5, -2.0])
    expected = -sum(math.log(1 / (1 + math.exp(-0.3 * m))) for m in (1.5, -2.0)) / 2
    assert float(dpo_loss(found, 0.3)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_dpo_raises_the_counterfactual_over_the_passage(kind: str, tmp_path: Path) -> None:
    model = tiny(kind)
    asked = request(model, tmp_path, steps=(1, 4))
    before = margin(model, asked)
    points = Dpo(Dpo.Config(learning_rate=1e-3)).debias(asked)
    first = next(points)
    assert first.log["mean_loss"] == pytest.approx(math.log(2), abs=1e-5)  # before its first step
    assert first.log["mean_margin"] == pytest.approx(0.0, abs=1e-4)
    last = next(points)
    assert margin(last.model, asked) > before + 0.1


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_pcgu_lowers_the_passage_in_no_more_vectors_than_asked(kind: str, tmp_path: Path) -> None:
    model = tiny(kind)
    base = {name: w.detach().clone() for name, w in model.module.named_parameters()}
    asked = request(model, tmp_path, steps=(1,))
    pairs = minimal_pairs(asked, None, 200)
    config = Pcgu.Config(learning_rate=1e-2, vectors=20)
    (point,) = Pcgu(config).debias(asked)
    assert point.log["mean_vectors_moved"] == 20
    moved = 0
    for name, w in point.model.module.named_parameters():
        change = (w.detach() - base[name]).reshape(len(w) if w.dim() > 1 else 1, -1)
        moved += int((change != 0).any(dim=1).sum())
    assert 0 < moved <= 20
    with torch.no_grad():
        after = sequence_logprobs(point.model, [p.passage for p in pairs])[0].mean()
        start = sequence_logprobs(tiny(kind), [p.passage for p in pairs])[0].mean()
    assert after < start


@pytest.mark.parametrize("direction", ["decrease", "increase"])
def test_pcgu_with_every_vector_is_a_plain_gradient_step(direction: Any, tmp_path: Path) -> None:
    asked = request(tiny_causal_model(), tmp_path, steps=(1,))
    pairs = minimal_pairs(asked, None, 200)
    twin = tiny_causal_model()
    side = [p.passage if direction == "decrease" else p.counterfactual for p in pairs]
    assert len(pairs) > 1
    level = sequence_logprobs(twin, side)[0].sum()  # the sum over texts, as published
    level.backward()  # type: ignore[no-untyped-call]
    sign = -1.0 if direction == "decrease" else 1.0
    config = Pcgu.Config(learning_rate=0.1, vectors=10**9, direction=direction)
    (point,) = Pcgu(config).debias(asked)
    for w, other in zip(point.model.module.parameters(), twin.module.parameters(), strict=True):
        if other.grad is not None:
            expected = other.detach() + sign * 0.1 * other.grad
            torch.testing.assert_close(w.detach(), expected, atol=1e-5, rtol=1e-4)


def test_the_vectors_with_the_lowest_cosine_are_marked() -> None:
    one = [torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]), torch.tensor([2.0, 0.0])]
    other = [torch.tensor([[-1.0, 0.0], [1.0, 0.9], [1.0, 1.0]]), torch.tensor([0.0, 3.0])]
    one[0] = torch.cat([one[0], torch.zeros(1, 2)])
    other[0] = torch.cat([other[0], torch.zeros(1, 2)])
    # cosines -1, about 1, 0, none; and 0 for the vector
    marked = lowest_cosines(one, other, other, 3)
    assert marked[0].flatten().tolist() == [True, False, True, False]
    assert marked[1].tolist() == [True]
    everything = lowest_cosines(one, other, other, 100)
    assert everything[0].flatten().tolist() == [True, True, True, False]


def test_vectors_that_cannot_move_are_never_marked() -> None:
    one = [torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]])]
    other = [torch.tensor([[1.0, 1.0], [1.0, 0.9], [0.0, 0.0]])]
    assert lowest_cosines(one, other, one, 3)[0].flatten().tolist() == [False, True, True]
    assert lowest_cosines(one, other, other, 3)[0].flatten().tolist() == [True, True, False]
    assert lowest_cosines(one, other, one, 1)[0].flatten().tolist() == [False, False, True]


def test_same_seed_same_weights(tmp_path: Path) -> None:
    for method in (Dpo, Pcgu):
        found = []
        for _ in range(2):
            config = method.Config(learning_rate=1e-3)
            (point,) = method(config).debias(request(tiny_causal_model(), tmp_path))
            found.append(torch.cat([w.detach().flatten() for w in point.model.module.parameters()]))
        assert torch.equal(*found)
