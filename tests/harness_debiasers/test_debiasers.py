"""mlm-unlearning and identity: the loss is Eq. 1, the change is where it should be."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from harness_corpora.domains import BUILT_IN
from harness_debiasers.identity import Identity
from harness_debiasers.mlm_unlearning import (
    MlmUnlearning,
    MlmUnlearningConfig,
    causal_examples,
    masked_examples,
    unlearning_loss,
)
from harness_maskers.controls import RandomConfig, RandomWords
from harness_maskers.wordlist import Wordlist, WordlistConfig

from harness.data.places import DataStore
from harness.errors import DebiasError
from harness.families import PluginConfig
from harness.lm.handle import LanguageModel
from harness.types import (
    DebiasRequest,
    MaskedPassage,
    MaskRequest,
    Passage,
    Span,
    no_progress,
)


def passage(text: str, *words: str, number: int = 0) -> MaskedPassage:
    """A passage with the first occurrence of each word masked."""
    spans = []
    for word in words:
        start = text.index(word)
        spans.append(Span(start=start, end=start + len(word), kind="test", reason="test"))
    return MaskedPassage(
        passage=Passage(
            id=f"p{number}", text=text, domain="gender", label="hateful", split="train"
        ),
        spans=tuple(spans),
    )


MASKED = [
    passage("They say that women wait near the station.", "women", number=0),
    passage("Nurses are seen from the window by men and boys.", "Nurses", "boys", number=1),
    passage("The drivers come back.", number=2),
]


def request(
    model: LanguageModel, masked: list[MaskedPassage], steps: tuple[int, ...], seed: int = 0
) -> DebiasRequest:
    return DebiasRequest(
        model=model,
        domain="gender",
        masked=tuple(masked),
        steps=steps,
        seed=seed,
        data=DataStore(domains=BUILT_IN),
        progress=no_progress,
    )


def logprob(model: LanguageModel, text: str, word: str) -> float:
    """Mean log p of a word's pieces given the true prefix with a start token."""
    _, offsets = model.encode_with_offsets(text)
    start = text.index(word)
    (scores,) = model.token_scores([text], start=True)
    pieces = [
        scores.logprobs[k]
        for k, (a, b) in enumerate(offsets)
        if a < start + len(word) and b > start
    ]
    assert pieces
    return float(np.mean(pieces))


def test_the_loss_is_the_log_probability_of_the_masked_words(tiny_causal: LanguageModel) -> None:
    config = MlmUnlearningConfig()
    examples, lost = causal_examples(tiny_causal, MASKED, config)
    assert lost == 0
    loss, _ = unlearning_loss(tiny_causal, examples, config)
    words = [
        logprob(tiny_causal, m.passage.text, m.passage.text[s.start : s.end])
        for m in MASKED
        for s in m.spans
    ]
    assert float(loss.detach()) == pytest.approx(np.mean(words), abs=1e-5)


def test_pieces_and_reductions(tiny_causal: LanguageModel) -> None:
    def loss(**choices: str) -> float:
        config = MlmUnlearningConfig.model_validate(choices)
        examples, _ = causal_examples(tiny_causal, MASKED, config)
        return float(unlearning_loss(tiny_causal, examples, config)[0].detach())

    women, nurses, boys = (
        logprob(tiny_causal, MASKED[0].passage.text, "women"),
        logprob(tiny_causal, MASKED[1].passage.text, "Nurses"),
        logprob(tiny_causal, MASKED[1].passage.text, "boys"),
    )
    by_passage = (women + (nurses + boys) / 2) / 2
    assert loss(reduction="passage") == pytest.approx(by_passage, abs=1e-5)
    assert loss(pieces="sum") < loss(pieces="mean")  # words of several pieces weigh more


def test_a_word_at_the_start_sees_the_start_token_or_is_left_out(
    tiny_causal: LanguageModel,
) -> None:
    kept, lost = causal_examples(tiny_causal, MASKED, MlmUnlearningConfig())
    assert (sum(len(e.words) for e in kept), lost) == (3, 0)
    kept, lost = causal_examples(tiny_causal, MASKED, MlmUnlearningConfig(first_word="skip"))
    assert (sum(len(e.words) for e in kept), lost) == (2, 1)


def test_later_words_are_cut_and_never_matter(tiny_causal: LanguageModel) -> None:
    config = MlmUnlearningConfig()
    (short,), _ = causal_examples(tiny_causal, [passage("They say women", "women")], config)
    (long,), _ = causal_examples(
        tiny_causal, [passage("They say women wait near the old station", "women")], config
    )
    assert short.ids == long.ids


def test_earlier_masks_may_be_literal(tiny_causal: LanguageModel) -> None:
    config = MlmUnlearningConfig(earlier_masks="literal")
    examples, _ = causal_examples(tiny_causal, [MASKED[1]], config)
    assert len(examples) == 2
    last = tiny_causal.tokenizer.decode(list(examples[1].ids[1:]))
    assert last == "[MASK] are seen from the window by men and boys"


def test_a_masked_model_gets_one_mask_a_piece_and_the_whole_context(
    tiny_masked: LanguageModel,
) -> None:
    config = MlmUnlearningConfig()
    examples, _ = masked_examples(tiny_masked, [MASKED[1]], config)
    mask = tiny_masked.tokenizer.mask_token_id
    whole = tiny_masked.tokenizer(MASKED[1].passage.text)["input_ids"]
    for example in examples:
        (word,) = example.words
        assert [k for k, i in enumerate(example.ids) if i == mask] == list(word.positions)
        assert list(example.targets) == whole
        loss, _ = unlearning_loss(tiny_masked, [example], config)
        with torch.no_grad():
            logits = tiny_masked.module(input_ids=torch.tensor([example.ids])).logits[0]
        table = torch.log_softmax(logits, -1)
        expected = np.mean([float(table[k, whole[k]]) for k in word.positions])
        assert float(loss.detach()) == pytest.approx(expected, abs=1e-5)
    both, _ = masked_examples(tiny_masked, [MASKED[1]], MlmUnlearningConfig(other_masks="masked"))
    assert both[0].ids.count(mask) == sum(len(e.words[0].positions) for e in both)


def test_a_span_of_several_bytes_a_character_is_aligned(tiny_causal: LanguageModel) -> None:
    answer = passage("They say “wömen” wait", "wömen")
    (example,), _ = causal_examples(tiny_causal, [answer], MlmUnlearningConfig())
    (word,) = example.words
    text = tiny_causal.tokenizer.decode([example.ids[k] for k in word.positions])
    assert "wömen" in text


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_unlearning_lowers_the_masked_words_and_logs_it(
    kind: str, tiny_causal: LanguageModel, tiny_masked: LanguageModel
) -> None:
    model = tiny_causal if kind == "causal" else tiny_masked
    method = MlmUnlearning(MlmUnlearningConfig(learning_rate=1e-3))
    logs = [dict(c.log) for c in method.debias(request(model, MASKED, (5, 10)))]
    first, second = (log["mean_masked_word_logprob"] for log in logs)
    assert isinstance(first, float)
    assert isinstance(second, float)
    assert second < first - 0.1
    assert logs[0]["passages_without_mask"] == 1


def test_same_seed_same_weights_whatever_the_global_state(tiny_causal: LanguageModel) -> None:
    def weights(seed: int) -> list[torch.Tensor]:
        model = tiny_causal.copy()
        torch.rand(seed + 3)  # moves the global generator
        method = MlmUnlearning(MlmUnlearningConfig(learning_rate=1e-3, batch_size=1))
        list(method.debias(request(model, MASKED, (4,), seed)))
        return [p.detach().clone() for p in model.module.parameters()]

    one, again, other = weights(0), weights(0), weights(5)
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_nothing_to_learn_from(tiny_causal: LanguageModel) -> None:
    method = MlmUnlearning(MlmUnlearningConfig())
    with pytest.raises(DebiasError, match="nothing to learn from in 'gender'"):
        list(method.debias(request(tiny_causal, [MASKED[2]], (1,))))


def test_divergence_is_named_and_earlier_checkpoints_stand(tiny_causal: LanguageModel) -> None:
    method = MlmUnlearning(MlmUnlearningConfig(learning_rate=1e30, optimizer="sgd"))
    steps = method.debias(request(tiny_causal, MASKED, (1, 50)))
    assert next(steps).step == 1
    with pytest.raises(DebiasError, match=r"diverged at step \d+ .*lower learning_rate"):
        list(steps)


def test_a_passage_beyond_the_context_loses_its_late_words(tiny_causal: LanguageModel) -> None:
    text = "women " + "wait near the station and " * 20 + "men"
    examples, lost = causal_examples(
        tiny_causal, [passage(text, "women", " men")], MlmUnlearningConfig()
    )
    assert lost == 1
    assert len(examples[0].ids) <= tiny_causal.max_tokens


def test_identity_changes_nothing(tiny_causal: LanguageModel) -> None:
    before = tiny_causal.token_scores(["They wait near the station."])[0].logprobs
    (checkpoint,) = Identity(PluginConfig()).debias(request(tiny_causal, MASKED, (1,)))
    tiny_causal.forget_scores()
    after = checkpoint.model.token_scores(["They wait near the station."])[0].logprobs
    np.testing.assert_array_equal(before, after)


def test_smollm2_unlearns_the_masked_words_more_than_others(
    smollm2: LanguageModel, data_store: DataStore
) -> None:
    from harness_corpora.dghs import Dghs, DghsConfig

    from harness.types import PassageRequest

    asked = PassageRequest(
        domain="gender", label="hateful", split="train", limit=80, seed=0, data=data_store
    )
    passages = tuple(
        p for p in Dghs(DghsConfig()).passages(asked) if 5 <= len(p.text.split()) <= 15
    )
    assert len(passages) >= 10
    mask = MaskRequest(
        passages=passages, domain="gender", seed=0, data=data_store, progress=no_progress
    )
    chosen = list(Wordlist(WordlistConfig()).mask(mask))
    others = list(RandomWords(RandomConfig()).mask(mask))
    config = MlmUnlearningConfig()
    model = smollm2.copy()

    def mean(masked: list[MaskedPassage]) -> float:
        examples, _ = causal_examples(model, masked, config)
        with torch.no_grad():
            return float(unlearning_loss(model, examples, config)[0])

    before = mean(chosen), mean(others)
    list(MlmUnlearning(config).debias(request(model, chosen, (10,))))
    fell = before[0] - mean(chosen), before[1] - mean(others)
    assert all(math.isfinite(value) for value in fell)
    assert fell[0] > 0.1
    assert fell[0] > 2 * fell[1]


def test_paper_defaults() -> None:
    config = MlmUnlearningConfig()
    assert (config.learning_rate, config.batch_size) == (1e-5, 8)
