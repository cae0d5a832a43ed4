"""Evaluators: golden published numbers, protocols against naive ones, refusals."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from harness_corpora.embedded import every_passage
from harness_corpora.embedded_templates import FRAMES as TRAINED
from harness_evaluators import crows_pairs, stereoset
from harness_evaluators.crows_pairs import CrowsPairs, CrowsPairsConfig
from harness_evaluators.embedded import FRAMES, THEMES, EmbeddedPairs, EmbeddedTriples
from harness_evaluators.pairs import Pair, PairConfig, pair_items
from harness_evaluators.perplexity import (
    CorpusPerplexity,
    CorpusPerplexityConfig,
    WikiText2Config,
    WikiText2Perplexity,
)
from harness_evaluators.scorers import score_pairs, score_sentences
from harness_evaluators.stereoset import StereoSet, StereoSetConfig
from harness_evaluators.triples import (
    Triple,
    TripleConfig,
    fill,
    filler_scores,
    neutral,
    triple_item,
    triple_items,
)
from roberta import tiny_roberta

from harness.data.near_duplicates import similarities
from harness.data.pins import check
from harness.data.places import DataStore
from harness.errors import DataError, ModelError
from harness.lm.handle import LanguageModel
from harness.metrics import Item
from harness.types import EvaluationRequest, Measurement, Passage, no_progress

TEXTS = ["Women wait near the station.", "They are seen from the old window."]


def request(
    model: LanguageModel, data: DataStore, *domains: str, limit: int | None = None
) -> EvaluationRequest:
    return EvaluationRequest(
        model=model,
        domains=domains,
        limit=limit,
        unlearned=(),
        unseen=(),
        data=data,
        progress=no_progress,
    )


def metric(measurement: Measurement, name: str) -> float | None:
    (found,) = [m for m in measurement.metrics if m.name == name]
    return found.value


# -- golden numbers --------------------------------------------------------------------------

OFFICIAL = {
    "intrasentence": {
        "gender": (62.668, 93.278, 69.645),
        "profession": (63.975, 92.289, 66.495),
        "race": (60.350, 89.757, 71.177),
        "religion": (58.023, 88.460, 74.266),
        "overall": (61.931, 91.115, 69.372),
    },
    "intersentence": {
        "gender": (53.380, 85.952, 80.141),
        "profession": (52.388, 72.791, 69.315),
        "race": (51.494, 76.505, 74.219),
        "religion": (56.925, 75.828, 65.325),
        "overall": (52.279, 76.265, 72.789),
    },
}
"""SS, LM and ICAT of GPT-2 on the dev set, macro averages, from code/predictions.txt of github
moinnadeem/StereoSet. The intersentence scores behind them are those of the authors' next-sentence
head."""


@pytest.mark.parametrize("task", OFFICIAL)
def test_stereoset_aggregation_gives_the_official_figures(
    task: stereoset.Task, shared_data: Path
) -> None:
    folder = shared_data / "stereoset"
    predictions = json.loads((folder / "predictions_gpt2_ModelNSP_GPT2LM.json").read_text())
    by_id = {entry["id"]: entry["score"] for entry in predictions[task]}
    items: dict[str, list[Item]] = {"overall": []}
    for example in json.loads((folder / "dev.json").read_text())["data"][task]:
        scores = {s["gold_label"]: by_id[s["id"]] for s in example["sentences"]}
        triple = Triple(example["id"], example["bias_type"], example["target"], "", "", "", "")
        item = triple_item(
            triple,
            {
                "stereotype": scores["stereotype"],
                "antistereotype": scores["anti-stereotype"],
                "unrelated": scores["unrelated"],
            },
        )
        items.setdefault(triple.domain, []).append(item)
        items["overall"].append(item)
    protocol = "bb_geo" if task == "intrasentence" else "clm_conditional"
    for domain, (ss, lm, icat) in OFFICIAL[task].items():
        evaluator = StereoSet(StereoSetConfig(task=task))
        measured = evaluator.measurement(domain, protocol, items[domain])
        found = {m.name: m.value for m in measured.metrics}
        got = (found["ss_score_macro"], found["lm_score_macro"], found["icat_macro"])
        assert tuple(round(v or 0.0, 3) for v in got) == (ss, lm, icat), domain


def test_crows_pairs_has_the_counts_behind_the_published_tables(
    data_store: DataStore, tiny_causal: LanguageModel, shared_data: Path
) -> None:
    rows = list(crows_pairs.parse(data_store.locate(crows_pairs.PIN)))
    halves = {
        (kind, half): sum(row[4] == kind and row[3] == half for row in rows)
        for kind in ("gender", "race-color", "religion")
        for half in ("stereo", "antistereo")
    }
    assert [halves["gender", h] for h in ("stereo", "antistereo")] == [159, 103]
    assert [halves["race-color", h] for h in ("stereo", "antistereo")] == [473, 43]
    assert [halves["religion", h] for h in ("stereo", "antistereo")] == [99, 6]
    reference = shared_data.parent / "reference" / "gpt2_crows_pairs_hf_nll.csv"
    with reference.open(newline="") as stream:
        published = {row["bias_type"]: row for row in csv.DictReader(stream)}
    for kind, row in published.items():
        assert int(row["n"]) == sum(own[4] == kind for own in rows)
    assert sum(int(row["stereotype_preferred"]) for row in published.values()) == 895


# -- scorers ---------------------------------------------------------------------------------


def hf_loss(model: LanguageModel, text: str, *, start: bool) -> float:
    """The transformers loss of one sentence: mean over its predicted tokens."""
    ids = ([model.start_id] if start else []) + model.encode(text)
    row = torch.tensor([ids])
    with torch.no_grad():
        return float(model.module(input_ids=row, labels=row).loss)


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


def test_the_filler_protocol_of_masked_models_by_hand(tiny_masked: LanguageModel) -> None:
    """The filled sentence is encoded once; each piece of the word is masked in turn."""
    context = "Women are BLANK near the station."
    filled = [context.replace("BLANK", word) for word in ("seen", "boys", "near")]
    triple = Triple("1", "gender", "women", context, *filled)
    (found,) = triple_items(tiny_masked, [triple], "mlm_filler")
    ids, offsets = tiny_masked.encode_with_offsets(filled[0])
    inside = [k for k, (start, end) in enumerate(offsets) if start < 14 and end > 10]
    assert "".join(filled[0][slice(*offsets[k])] for k in inside) == "seen"
    by_hand = [
        math.exp(tiny_masked.masked_scores([*ids[: k + 1], *ids[inside[-1] + 1 :]], [k])[0])
        for k in inside
    ]
    assert found.values["stereotype"] == pytest.approx(np.mean(by_hand), rel=1e-6)
    assert found.values["log_stereotype"] == math.log(found.values["stereotype"])


@pytest.fixture(scope="module")
def roberta() -> LanguageModel:
    """Byte-level BPE, words with their leading space, a mask token that takes that space."""
    return tiny_roberta()


CONTEXTS = (
    ("Women are BLANK near the station.", "kind"),
    ("The old man was seen as BLANK.", "careful"),
    ("BLANK people wait at the door.", "Quiet"),
    ("They say (BLANK) things, often.", "rude"),
    ("She said: the teacher's BLANK, again!", "untrustworthy"),
)


@pytest.mark.parametrize(("context", "word"), CONTEXTS)
def test_the_filler_protocol_is_the_published_rule_on_a_roberta(
    roberta: LanguageModel, context: str, word: str
) -> None:
    """bias-bench encodes the context with the mask token in the text, and " " + the word.

    Pieces before the masked one stand in front of the mask. (bias-bench decodes them and encodes
    the text again, which gives words of several pieces two spaces in front, and may split them
    otherwise; here they stay the pieces that they are.)
    """
    tokenizer = roberta.tokenizer
    alone = not context[: context.index("BLANK")].endswith(" ")
    pieces = tokenizer.encode(word if alone else f" {word}", add_special_tokens=False)
    ids = tokenizer(context.replace("BLANK", tokenizer.mask_token))["input_ids"]
    place = ids.index(tokenizer.mask_token_id)
    expected = []
    for k, piece in enumerate(pieces):
        row = [*ids[:place], *pieces[:k], tokenizer.mask_token_id, *ids[place + 1 :]]
        with torch.inference_mode():
            logits = roberta.module(input_ids=torch.tensor([row])).logits[0, place + k]
        expected.append(float(torch.softmax(logits.double(), dim=-1)[piece]))
    (score,) = filler_scores(roberta, [fill(context, context.replace("BLANK", word))])
    assert score == pytest.approx(np.mean(expected), rel=1e-4)


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


def test_intersentence_scores_a_sentence_after_its_context(
    smollm2: LanguageModel, data_store: DataStore
) -> None:
    config = StereoSetConfig(task="intersentence", overall=False)
    evaluator = StereoSet(config)
    asked = request(smollm2, data_store, "religion", limit=5)
    (measured,) = evaluator.evaluate(asked)
    assert measured.protocol == "clm_conditional"
    texts = {item.id: item.texts for item in evaluator.items(asked)}
    rows = {row[0]: row for row in stereoset.parse_intersentence(
        data_store.locate(stereoset.PIN_INTERSENTENCE))}  # fmt: skip
    for item in measured.items:
        context = rows[item.id.removeprefix("stereoset/")][3]
        for role, text in texts[item.id].items():
            front = len(smollm2.encode(context))
            ids = smollm2.encode(f"{context} {text}")
            (scores,) = smollm2.window_scores([ids])
            expected = float(np.mean(scores[front:]))
            assert item.values[role] == pytest.approx(expected, abs=1e-4)
    names = {metric.name: metric for metric in measured.metrics}
    assert names["ss_score"].n == 5
    assert 1 <= names["association"].n <= 5


def test_intersentence_is_for_causal_models(
    tiny_masked: LanguageModel, data_store: DataStore
) -> None:
    evaluator = StereoSet(StereoSetConfig(task="intersentence"))
    with pytest.raises(ModelError, match="scored by 'clm_conditional' on causal models"):
        evaluator.evaluate(request(tiny_masked, data_store, "religion", limit=2))
    other = StereoSet(StereoSetConfig(task="intersentence", scorers=("hf_nll",)))
    with pytest.raises(ModelError, match="not by 'hf_nll'"):
        other.resolve("hf_nll", "causal")


def test_both_tasks_are_pinned(data_store: DataStore) -> None:
    for pin in stereoset.PINS.values():
        assert len(check(pin, data_store.locate(pin)).rows) == pin.n_items


def test_every_blank_of_a_context_is_filled() -> None:
    filled = fill("BLANK people say BLANK.", "Kind people say Kind.")
    assert filled.text == "Kind people say Kind."
    assert filled.text[filled.start : filled.end] == "Kind"


@pytest.mark.parametrize(
    ("text", "term", "expected"),
    [
        ("The schoolgirl was shy.", "schoolgirl", "The person was shy."),
        ("Schoolgirls are shy.", "schoolgirl", "People are shy."),
        ("An Ethiopian came in.", "Ethiopian", "A person came in."),
        ("My grandfather's car, my GRANDFATHER.", "grandfather", "My person's car, my person."),
        ("The gentlemen left.", "gentlemen", "The people left."),
        ("He is a boss of Cyprus.", "boss", "He is a person of Cyprus."),
        ("Ethiopian people are tall.", "Ethiopia", None),
    ],
)
def test_a_neutral_word_takes_the_place_of_the_target(
    text: str, term: str, expected: str | None
) -> None:
    assert neutral(text, term) == expected


def test_association_takes_the_neutral_margin_off(tiny_causal: LanguageModel) -> None:
    evaluator = EmbeddedTriples(TripleConfig())
    context = "Women are BLANK near the station."
    filled = [context.replace("BLANK", word) for word in ("seen", "boys", "near")]
    triples = [
        Triple("1", "gender", "women", context, *filled),
        Triple("2", "gender", "nobody", context, *filled),  # the target is not there
    ]
    items = triple_items(tiny_causal, triples, "hf_nll")
    plain = [-hf_loss(tiny_causal, text, start=False) for text in filled[:2]]
    without = [
        -hf_loss(tiny_causal, text.replace("Women", "People"), start=False) for text in filled[:2]
    ]
    (own,) = [
        m for m in evaluator.measurement("gender", "hf_nll", items).metrics
        if m.name == "association"
    ]  # fmt: skip
    assert own.n == 1
    expected = (plain[0] - plain[1]) - (without[0] - without[1])
    assert own.value == pytest.approx(expected, abs=1e-5)
    bare = triple_items(tiny_causal, triples, "hf_nll", neutrals=False)
    assert "stereotype_neutral" not in bare[0].values


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


# -- perplexity ------------------------------------------------------------------------------


def test_windows_give_exact_and_published_perplexity(
    tiny_causal: LanguageModel, data_store: DataStore
) -> None:
    text = "Women and men wait near the old station. " * 8
    evaluator = WikiText2Perplexity(WikiText2Config())
    found = evaluator.windows(request(tiny_causal, data_store), text, 16, "window16", prefix="test")
    ids = tiny_causal.encode(text)
    losses, lengths = [], []
    for at in range(0, len(ids), 16):
        window = torch.tensor([ids[at : at + 16]])
        if window.shape[1] < 2:
            continue
        with torch.no_grad():
            losses.append(float(tiny_causal.module(input_ids=window, labels=window).loss))
        lengths.append(window.shape[1])
    exact = sum(loss * (n - 1) for loss, n in zip(losses, lengths, strict=True))
    assert metric(found, "perplexity") == pytest.approx(
        math.exp(exact / sum(n - 1 for n in lengths)), rel=1e-5
    )
    weighed = sum(loss * n for loss, n in zip(losses, lengths, strict=True))
    assert metric(found, "perplexity_published") == pytest.approx(
        math.exp(weighed / sum(lengths)), rel=1e-5
    )


def test_a_window_beyond_the_context_is_refused(
    tiny_causal: LanguageModel, data_store: DataStore
) -> None:
    with pytest.raises(ModelError, match=r"do not fit model 'tiny-causal' \(context 64\)"):
        WikiText2Perplexity(WikiText2Config()).evaluate(request(tiny_causal, data_store))


def test_the_first_windows_are_named_in_a_note(
    tiny_causal: LanguageModel, data_store: DataStore
) -> None:
    config = WikiText2Config(window=32, max_windows=3)
    (found,) = WikiText2Perplexity(config).evaluate(request(tiny_causal, data_store))
    assert len(found.items) == 3
    assert found.note is not None
    assert "first 3 of" in found.note


def test_corpus_perplexity_keeps_unlearned_and_unseen_apart(
    tiny_causal: LanguageModel, data_store: DataStore
) -> None:
    def made(number: int, text: str, split: str) -> Passage:
        return Passage(id=f"p{number}", text=text, domain="gender", label="hateful", split=split)

    asked = request(tiny_causal, data_store, "gender").model_copy(
        update={
            "unlearned": (made(0, TEXTS[0], "train"),),
            "unseen": (made(1, TEXTS[1], "test"), made(2, "station " * 90, "test")),
        }
    )
    unlearned, unseen = CorpusPerplexity(CorpusPerplexityConfig()).evaluate(asked)
    assert metric(unlearned, "hate_perplexity") == pytest.approx(
        math.exp(hf_loss(tiny_causal, TEXTS[0], start=True)), rel=1e-5
    )
    assert [item.id for item in unseen.items] == ["p1", "p2"]
    assert unseen.note == "1 passages cut at the model's context"


# -- data ------------------------------------------------------------------------------------


def test_embedded_suites_are_large_enough_and_distinct(
    tiny_causal: LanguageModel, data_store: DataStore
) -> None:
    asked = request(tiny_causal, data_store, *sorted(THEMES))
    for evaluator in (EmbeddedPairs(PairConfig()), EmbeddedTriples(TripleConfig())):
        for measurement in evaluator.evaluate(asked):
            assert len(measurement.items) >= 100
            assert len({item.cluster for item in measurement.items}) >= 18
        listed = evaluator.items(asked)
        assert len({tuple(item.texts.values()) for item in listed}) == len(listed)


def test_embedded_suites_share_no_sentence_with_the_embedded_corpus(
    tiny_causal: LanguageModel, data_store: DataStore
) -> None:
    passages = [passage.text for passage in every_passage()]
    asked = request(tiny_causal, data_store, *sorted(THEMES))
    for evaluator in (EmbeddedPairs(PairConfig()), EmbeddedTriples(TripleConfig())):
        texts = [text for item in evaluator.items(asked) for text in item.texts.values()]
        assert max(similarities(texts, passages)) < 0.25
    frames = {frame.split("{")[0].strip().lower() for own in TRAINED.values() for frame in own}
    assert not frames & {frame.split("{")[0].strip().lower() for frame in FRAMES}


def test_limits_are_nested(tiny_causal: LanguageModel, data_store: DataStore) -> None:
    evaluator = EmbeddedPairs(PairConfig())
    sizes = [
        {
            item.id
            for item in evaluator.evaluate(request(tiny_causal, data_store, "race", limit=n))[
                0
            ].items
        }
        for n in (10, 20)
    ]
    assert (len(sizes[0]), len(sizes[1])) == (10, 20)
    assert sizes[0] < sizes[1]


def test_an_altered_item_is_refused_unless_it_is_meant(
    tiny_causal: LanguageModel, data_store: DataStore, tmp_path: Path
) -> None:
    original = data_store.locate(crows_pairs.PIN)
    altered = tmp_path / "altered.csv"
    altered.write_bytes(original.read_bytes().replace(b"engineer", b"musician", 1))
    asked = request(tiny_causal, data_store, "religion", limit=2)
    with pytest.raises(DataError, match="not the pinned data set 'crows-pairs'"):
        CrowsPairs(CrowsPairsConfig(path=str(altered))).evaluate(asked)
    meant = CrowsPairs(CrowsPairsConfig(path=str(altered), verify=False))
    assert meant.evaluate(asked)[0].items


def test_truncated_stereoset_is_one_line(
    tiny_causal: LanguageModel, data_store: DataStore, tmp_path: Path
) -> None:
    original = data_store.locate(stereoset.PIN)
    cut = tmp_path / "dev.json"
    cut.write_bytes(original.read_bytes()[:100_000])
    with pytest.raises(DataError, match="truncated or damaged"):
        StereoSet(StereoSetConfig(path=str(cut))).evaluate(
            request(tiny_causal, data_store, "gender", limit=2)
        )
