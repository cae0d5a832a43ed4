"""Scorers of sentences and pairs against naive ones."""

from __future__ import annotations

from difflib import SequenceMatcher

import pytest
import torch
from evaluating import TEXTS, hf_loss, metric, request
from harness_evaluators.crows_pairs import CrowsPairs, CrowsPairsConfig
from harness_evaluators.pairs import Pair, pair_items
from harness_evaluators.scorers import score_pairs, score_sentences
from harness_evaluators.stereoset import StereoSet, StereoSetConfig

from harness.data.places import DataStore
from harness.errors import ModelError
from harness.lm.handle import LanguageModel


def test_causal_scorers_against_the_loss_of_one_sentence(tiny_causal: LanguageModel) -> None:
    for text in TEXTS:
        n = len(tiny_causal.encode(text))
        plain, started = (
            hf_loss(tiny_causal, text, start=False),
            hf_loss(tiny_causal, text, start=True),
        )
        first = float(tiny_causal.start_scores(tiny_causal.encode(text)[:1])[0])
        expected = {
            "hf_nll": -plain,
            "bos_mean": -started,
            "lmeval_sum": -started * n,
            "bb_geo": (first - plain * (n - 1)) / n,
        }
        for scorer, value in expected.items():
            (found,) = score_sentences(tiny_causal, [text], scorer)
            assert found == pytest.approx(value, abs=1e-4), scorer


def test_masked_scorers_by_hand(tiny_masked: LanguageModel) -> None:
    one, other = "Women wait near the station.", "Men wait near the station."
    a, b = tiny_masked.encode(one), tiny_masked.encode(other)
    tail = 0
    while a[-1 - tail] == b[-1 - tail]:
        tail += 1
    shared_a, shared_b = range(len(a) - tail, len(a)), range(len(b) - tail, len(b))
    (found,) = score_pairs(tiny_masked, [(one, other)], "mlm_pll_shared")
    assert found is not None
    assert found.first == pytest.approx(tiny_masked.masked_scores(a, shared_a).sum(), abs=6e-4)
    assert found.second == pytest.approx(tiny_masked.masked_scores(b, shared_b).sum(), abs=6e-4)
    (found,) = score_pairs(tiny_masked, [(one, other)], "mlm_avg_diff")
    assert found is not None
    own = tiny_masked.masked_scores(a, range(len(a) - tail)).mean()
    assert found.first == pytest.approx(own, abs=6e-4)
    assert score_pairs(tiny_masked, [(one, one)], "mlm_avg_diff") == [None]


def test_masked_pairs_are_compared_between_their_special_tokens(tiny_masked: LanguageModel) -> None:
    """As in pair 596 of CrowS-Pairs: of two full stops, the one before [SEP] is shared."""
    pair = ("They wait near the old.", "They wait near the new..")
    one, other = (tiny_masked.tokenizer(text)["input_ids"] for text in pair)
    blocks = SequenceMatcher(None, one, other).get_matching_blocks()
    shared = {k - 1 for block in blocks for k in range(block.b, block.b + block.size)}
    ids = tiny_masked.encode(pair[1])
    assert len(ids) - 1 in shared
    assert len(ids) - 2 not in shared
    inside = sorted(k for k in shared if 0 <= k < len(ids))
    (found,) = score_pairs(tiny_masked, [pair], "mlm_pll_shared")
    assert found is not None
    assert found.second == pytest.approx(tiny_masked.masked_scores(ids, inside).sum(), abs=6e-4)


@pytest.mark.parametrize(
    ("scorer", "words"),
    [("mlm_avg_diff", "not for pairs on the causal model"), ("hf_nl", "did you mean 'hf_nll'")],
)
def test_scorers_that_do_not_fit(tiny_causal: LanguageModel, scorer: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        pair_items(tiny_causal, [Pair("1", *TEXTS, "stereo")], scorer)


def test_ties_are_no_preference_and_stay_in_the_count(tiny_causal: LanguageModel) -> None:
    pairs = [Pair("1", TEXTS[0], TEXTS[0], "stereo"), Pair("2", TEXTS[0], TEXTS[1], "antistereo")]
    items = pair_items(tiny_causal, pairs, "hf_nll")
    found = CrowsPairs(CrowsPairsConfig()).measurement("gender", "hf_nll", items)
    (score,) = [m for m in found.metrics if m.name == "stereotype_score"]
    prefers = found.items[1].values["prefers_stereotype"]
    assert (score.n, score.numerator) == (2, prefers)
    assert metric(found, "tie_rate") == 50.0


def test_later_pieces_of_a_word_are_masked_with_it(roberta: LanguageModel) -> None:
    """PLL-word-l2r by hand, one token at a time through the whole model."""
    text = "They say untrustworthy things, often."
    tokenizer = roberta.tokenizer
    encoded = tokenizer(text)
    ids, words = encoded["input_ids"], encoded.word_ids()
    total = plain = 0.0
    for k in range(1, len(ids) - 1):
        for later in (True, False):
            row = [
                tokenizer.mask_token_id
                if j == k or (later and j > k and words[j] == words[k])
                else token
                for j, token in enumerate(ids)
            ]
            with torch.inference_mode():
                logits = roberta.module(input_ids=torch.tensor([row])).logits[0, k].double()
            score = float(torch.log_softmax(logits, dim=-1)[ids[k]])
            total, plain = total + later * score, plain + (not later) * score
    (found,) = score_sentences(roberta, [text], "mlm_pll_word_l2r")
    assert found == pytest.approx(total, abs=1e-5)
    assert abs(total - plain) > 5e-4  # what the later pieces give away
    whole = sum(float(s.logprobs.sum()) for s in roberta.token_scores([text]))
    assert plain == pytest.approx(whole, abs=1e-4)
    (pair,) = score_pairs(roberta, [(text, TEXTS[0])], "mlm_pll_word_l2r")
    assert pair is not None
    assert pair.first == found


def test_smollm2_agrees_with_one_sentence_at_a_time(
    smollm2: LanguageModel, data_store: DataStore
) -> None:
    asked = request(smollm2, data_store, "religion", limit=6)
    scorers = ("hf_nll", "bos_mean")
    suite = CrowsPairs(CrowsPairsConfig(scorers=scorers))
    pairs = suite.evaluate(asked)
    texts = {item.id: item.texts for item in suite.items(asked)}
    for measurement, start in zip(pairs, (False, True), strict=True):
        for item in measurement.items:
            for value, text in texts[item.id].items():
                expected = -hf_loss(smollm2, text, start=start)
                assert item.values[value] == pytest.approx(expected, abs=1e-4)
    stereo = StereoSet(StereoSetConfig(overall=False))
    (triples,) = stereo.evaluate(asked)
    texts = {item.id: item.texts for item in stereo.items(asked)}
    for item in triples.items:
        names = list(texts[item.id])
        expected = [-hf_loss(smollm2, text, start=False) for text in texts[item.id].values()]
        assert [item.values[n] for n in names] == pytest.approx(expected, abs=1e-4)
        assert item.values["prefers_stereotype"] == float(expected[0] > expected[1])
