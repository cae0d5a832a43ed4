"""Self-Debias: its formula, by hand; start tokens, padding, long texts, generation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from harness_debiasers.self_debias import SelfDebias
from pydantic import ValidationError

from harness.errors import ModelError
from harness.lm.handle import LanguageModel
from harness.lm.prompt_contrast import PromptContrast
from harness.lm.scoring.batches import Row
from harness.lm.scoring.prompted_rows import behind
from harness.testing import check_debiaser, tiny_causal_model, tiny_masked_model

TEXTS = ["Women and men wait near the station.", "A", "They come back in early spring."]
PROMPT = "The following text is about gender:\n"


def table(model: LanguageModel, ids: list[int]) -> torch.Tensor:
    """Next-token probabilities at every position of one row, the whole model run on it."""
    with torch.no_grad():
        return torch.softmax(model.module(input_ids=torch.tensor([ids])).logits[0].double(), -1)


def by_hand(p: torch.Tensor, q: torch.Tensor, decay: float, floor: float) -> torch.Tensor:
    """Log of ``p * max(exp(-decay * max(0, q - p)), floor)``, renormalised."""
    share = torch.exp(-decay * (q - p).clamp_min(0)).clamp_min(floor)
    return torch.log(p * share / (p * share).sum(-1, keepdim=True))


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize(("decay", "floor"), [(50.0, 0.01), (1e4, 0.01)])
def test_causal_scores_follow_the_formula(start: bool, decay: float, floor: float) -> None:
    model = tiny_causal_model()
    model.rescore(PromptContrast((PROMPT,), decay, floor))
    prompt, front = model.encode(PROMPT), [model.start_id] if start else []
    for text, scores in zip(TEXTS, model.token_scores(TEXTS, start=start), strict=True):
        ids = model.encode(text)
        plain, behind_it = table(model, front + ids), table(model, front + prompt + ids)
        expected = by_hand(plain, behind_it[len(prompt) :], decay, floor)
        run = front + ids
        found = [float(expected[k - 1, run[k]]) for k in range(1, len(run))]
        own = scores.logprobs if start else scores.logprobs[1:]
        np.testing.assert_allclose(own, found, atol=2e-5)


def test_the_first_token_sees_the_prompt() -> None:
    model = tiny_causal_model()
    ids = model.encode(TEXTS[0])[:3]
    before = model.start_scores(ids)
    model.rescore(PromptContrast((PROMPT,), 1e4, 0.01))
    p, q = (table(model, [model.start_id, *own])[-1] for own in ([], model.encode(PROMPT)))
    expected = by_hand(p, q, 1e4, 0.01)[ids]
    np.testing.assert_allclose(model.start_scores(ids), expected.numpy(), atol=2e-5)
    assert not np.allclose(model.start_scores(ids), before, atol=1e-3)


def test_a_masked_model_reads_the_prompt_before_the_text() -> None:
    model = tiny_masked_model()
    model.rescore(PromptContrast((PROMPT,), 1e4, 0.01))
    ids, prompt = model.encode(TEXTS[0]), model.encode(PROMPT)
    found = model.masked_scores(ids, [0, 2])
    for k, score in zip([0, 2], found, strict=True):
        run, first = model.masked_input(ids, [k])
        p = table(model, run)[k + first]
        q = table(model, [*run[:first], *prompt, *run[first:]])[k + first + len(prompt)]
        assert score == pytest.approx(float(by_hand(p, q, 1e4, 0.01)[ids[k]]), abs=2e-5)


@pytest.mark.parametrize("make", [tiny_causal_model, tiny_masked_model])
def test_decay_zero_is_the_plain_model(make: type) -> None:
    model = make()
    plain = model.token_scores(TEXTS)
    model.rescore(PromptContrast((PROMPT,), 0.0, 0.01))
    for one, other in zip(plain, model.token_scores(TEXTS), strict=True):
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-6)
    if model.kind == "causal":  # perplexity, first tokens and generation as well
        base, windows = make(), [model.encode(text) for text in TEXTS]
        for one, other in zip(
            base.window_scores(windows), model.window_scores(windows), strict=True
        ):
            np.testing.assert_allclose(one, other, atol=1e-6)
        np.testing.assert_allclose(base.start_scores([5, 9]), model.start_scores([5, 9]), atol=1e-6)
        assert base.generate(TEXTS, max_new_tokens=6) == model.generate(TEXTS, max_new_tokens=6)
    with pytest.raises(Exception, match="changed no"):
        check_debiaser(SelfDebias, {"decay": 0.0, "prompts": [PROMPT]})


def test_perplexity_windows_follow_the_formula_also_where_the_prompt_cuts_them() -> None:
    """A window as long as the context is read in two parts behind a prompt."""
    model = tiny_causal_model()
    window = (model.encode(" ".join(TEXTS * 4)))[: model.max_tokens]
    assert len(window) == model.max_tokens
    prompt = model.encode(PROMPT)
    room = model.max_tokens - len(prompt)
    model.rescore(PromptContrast((PROMPT,), 1e4, 0.01))
    (found,) = model.window_scores([window])
    plain = table(model, window)
    first = table(model, prompt + window[:room])[len(prompt) :]
    run = window[:-1]  # the last token predicts nothing that is wanted
    rest = table(model, prompt + run[-room:])[len(prompt) :]
    for k in range(1, len(window)):
        q = first[k - 1] if k - 1 < room else rest[k - 1 - (len(run) - room)]
        expected = by_hand(plain[k - 1], q, 1e4, 0.01)[window[k]]
        assert found[k] == pytest.approx(float(expected), abs=5e-5)


def test_of_several_prompts_the_largest_rise_counts_and_copies_keep_it() -> None:
    model = tiny_causal_model()
    single = []
    for prompts in ([PROMPT], ["People say:\n"], [PROMPT, "People say:\n"]):
        model.rescore(PromptContrast(tuple(prompts), 1e5, 0.5))
        single.append(model.token_scores(TEXTS, start=True)[0].logprobs)
    assert not np.allclose(single[0], single[2])
    twin = model.copy()
    model.rescore(None)
    np.testing.assert_array_equal(twin.token_scores(TEXTS, start=True)[0].logprobs, single[2])
    assert not np.allclose(model.token_scores(TEXTS, start=True)[0].logprobs, single[2])


def test_generation_is_greedy_on_the_corrected_scores_whatever_the_padding() -> None:
    model = tiny_causal_model(seed=3)
    plain = model.generate(TEXTS, max_new_tokens=4)
    model.rescore(PromptContrast((PROMPT,), 1e6, 1e-6))
    found = model.generate(TEXTS, max_new_tokens=4)
    assert found != plain
    assert found == [model.generate([text], max_new_tokens=4)[0] for text in TEXTS]
    prompt = model.encode(PROMPT)
    for text, answer in zip(TEXTS, found, strict=True):
        ids, new = model.encode(text), []
        for _ in range(4):
            p, q = table(model, ids)[-1], table(model, prompt + ids)[-1]
            new.append(int(by_hand(p, q, 1e6, 1e-6).argmax()))
            ids = [*ids, new[-1]]
        assert model.tokenizer.decode(new, skip_special_tokens=True) == answer


def test_a_row_too_long_for_the_prompt_is_read_in_two_parts() -> None:
    row = Row([0, *range(10, 20)], list(range(10)), list(range(10, 20)))
    made = behind([row], [7, 8], [[0]], most=11)
    assert [list(own.ids) for own in made.rows] == [
        [0, 7, 8, *range(10, 18)],
        [0, 7, 8, *range(12, 20)],
    ]
    for position, (index, found) in enumerate(zip(made.owners, made.positions, strict=True)):
        expected = 8 if position == 0 else row.ids[position]  # the prompt's end stands for BOS
        assert made.rows[index].ids[found] == expected
    with pytest.raises(ModelError, match="no room"):
        behind([row], list(range(9)), [[0]], most=11)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_any_domain_has_a_prompt(kind: str) -> None:
    model = tiny_causal_model() if kind == "causal" else tiny_masked_model()
    config = {"prompts": ["Hate of {axis}:"]}
    (step,) = check_debiaser(SelfDebias, config, model=model, domain="socioeconomic")
    assert step.log["prompts"] == ["Hate of social class:\n"]
    config = {**config, "axis": "income", "ending": "space"}
    (step,) = check_debiaser(SelfDebias, config, model=model)
    assert step.log["prompts"] == ["Hate of income: "]


@pytest.mark.parametrize("prompt", ["of {domain}", "{", "  "])
def test_a_prompt_that_cannot_be_filled_is_told(prompt: str) -> None:
    with pytest.raises(ValidationError, match=r"braces|is empty"):
        SelfDebias.Config(prompts=(prompt,))
