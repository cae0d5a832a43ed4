"""The suites that this project wrote: size, distance from the corpus, limits."""

from __future__ import annotations

from evaluating import request
from harness_corpora.embedded import every_passage
from harness_corpora.embedded_templates import FRAMES as TRAINED
from harness_evaluators.embedded import FRAMES, THEMES, EmbeddedPairs, EmbeddedTriples
from harness_evaluators.pairs import PairConfig
from harness_evaluators.triples import (
    TripleConfig,
)

from harness.data.near_duplicates import similarities
from harness.data.places import DataStore
from harness.lm.handle import LanguageModel


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
