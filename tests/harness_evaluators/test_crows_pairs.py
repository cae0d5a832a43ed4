"""CrowS-Pairs in four languages, and rows that cannot be used."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from evaluating import request
from harness_evaluators import crows_pairs
from harness_evaluators.crows_pairs import PINS, CrowsPairs, CrowsPairsConfig, Language

from harness.data.pins import check
from harness.data.places import DataStore
from harness.errors import DataError
from harness.lm.handle import LanguageModel
from harness.types import EvaluationRequest, ItemsRequest, no_progress

ALIGNED: tuple[Language, ...] = ("en-revised", "fr", "nl")


def suite(language: Language, **config: object) -> CrowsPairs:
    return CrowsPairs(CrowsPairsConfig.model_validate({"language": language, **config}))


def asked(data: DataStore, *domains: str, limit: int | None = None) -> ItemsRequest:
    return ItemsRequest(domains=domains, limit=limit, data=data)


@pytest.mark.parametrize("language", PINS)
def test_each_language_is_pinned_by_its_bytes_and_its_items(
    language: Language, data_store: DataStore
) -> None:
    pin = PINS[language]
    found = check(pin, data_store.locate(pin))
    assert found.state == "bytes ok"
    assert found.items_sha256 == pin.items_sha256
    assert len(found.rows) == pin.n_items
    assert suite(language).reads() == [(pin, None)]


def test_a_pair_has_one_id_in_the_aligned_languages(data_store: DataStore) -> None:
    """So a limit draws the same pairs, and items of two languages can be compared."""
    every = [suite(language).pairs(asked(data_store, "gender"))["gender"] for language in ALIGNED]
    shared = set.intersection(*({pair.id for pair in own} for own in every))
    assert len(shared) > 240
    by_id = [{pair.id: pair for pair in own} for own in every]
    assert len({own[min(shared)].more for own in by_id}) == 3
    small = [
        {pair.id for pair in suite(language).pairs(asked(data_store, "age", limit=20))["age"]}
        for language in ALIGNED
    ]
    assert small[0] == small[1] == small[2]


def test_the_dutch_file_is_read_in_its_own_encoding(data_store: DataStore) -> None:
    texts = " ".join(
        text
        for pairs in suite("nl").pairs(asked(data_store, *CrowsPairs.domains)).values()
        for pair in pairs
        for text in (pair.more, pair.less)
    )
    for word in ("één", "carrière", "naïef", "siësta", "André", "auto’s"):
        assert word in texts
    assert "Ã" not in texts
    assert "\ufffd" not in texts


def test_languages_have_different_keys(data_store: DataStore) -> None:
    prints = [str(suite(language).fingerprint(data_store)) for language in PINS]
    assert len(set(prints)) == len(PINS)


def test_a_row_with_an_empty_sentence_is_left_out_and_counted(
    tmp_path: Path, tiny_causal: LanguageModel, data_store: DataStore
) -> None:
    french = asked(data_store, "socioeconomic", "age")
    assert suite("fr").notes(french) == {"socioeconomic": "1 pair left out: a sentence is empty"}
    pairs = suite("fr").pairs(french)["socioeconomic"]
    assert len(pairs) == 175
    assert "crows-pairs-aligned/129" not in {pair.id for pair in pairs}
    path = tmp_path / "small.csv"
    path.write_text(
        ",sent_more,sent_less,stereo_antistereo,bias_type\n"
        "0,Women wait.,Men wait.,stereo,gender\n1,Women,,stereo,gender\n",
        encoding="utf-8",
    )
    request = EvaluationRequest(
        **dict(asked(data_store, "gender")), model=tiny_causal, progress=no_progress
    )
    (measured,) = suite("en", path=str(path), verify=False).evaluate(request)
    assert measured.note == "1 pair left out: a sentence is empty"


def test_slips_in_types_that_nobody_asks_for_do_no_harm(
    tmp_path: Path, data_store: DataStore
) -> None:
    """As in the revised file of github kinit-sk/bias-methodology: a tenth type, and two slips."""
    path = tmp_path / "crows_pairs_revised.csv"
    path.write_text(
        ",sent_more,sent_less,stereo_antistereo,bias_type\n"
        "0,Women wait.,Men wait.,stereo,gender\n"
        "1,They wait.,We wait.,stereo,other-type\n"
        "2,The old wait.,The young wait.,sterep,age\n"
        "3,The poor wait.,,stereo,socioeconomic\n"
        '4,"Men\nlead.",Women lead.,antistereo,gender\n'
        "5,The old sing.,The young sing.,stero,age\n",
        encoding="utf-8",
    )
    mine = suite("en", path=str(path), verify=False)
    pairs = mine.pairs(asked(data_store, "gender"))["gender"]
    assert [(pair.id, pair.stratum) for pair in pairs] == [
        ("crows-pairs/0", "stereo"),
        ("crows-pairs/4", "antistereo"),
    ]
    with pytest.raises(DataError) as caught:
        mine.pairs(asked(data_store, "gender", "age"))
    assert str(caught.value) == (
        f"{path}: line 4: stereo_antistereo is 'sterep', not stereo or antistereo; correct the file"
    )
    with pytest.raises(DataError, match="no item for 'socioeconomic'"):
        mine.pairs(asked(data_store, "socioeconomic"))


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
