"""Triples: the filler protocol of masked models, neutral words, association."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from evaluating import hf_loss
from harness_evaluators.embedded import EmbeddedTriples
from harness_evaluators.triples import (
    Triple,
    TripleConfig,
    fill,
    filler_scores,
    neutral,
    triple_items,
)

from harness.lm.handle import LanguageModel


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
