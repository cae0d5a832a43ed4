"""Clean sources: pure passages, neutral text, near-duplicates across splits and labels.

The numbers of passages are those of an independent audit of the same data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness_corpora.dghs import (
    CODES,
    DGHS,
    Dghs,
    DghsConfig,
    Mentions,
    other_terms,
    parse,
    places_of,
)
from harness_corpora.domains import BUILT_IN
from harness_corpora.file import File, FileConfig
from harness_corpora.wikitext2 import WikiText2, WikiText2Config

from harness.data.domains import Domain
from harness.data.near_duplicates import similarities
from harness.data.places import DataStore
from harness.data.terms import term_pattern
from harness.errors import DataError, NoPassageError
from harness.types import Label, Passage, PassageRequest, Split

AUDIT = {"gender": (2142, 0.86), "race": (3181, 0.95), "religion": (1853, 0.95)}
"""Pure hateful training passages, and the share of coded ones whose code is of the domain."""


def read(
    corpus: Any,
    data: DataStore,
    domain: str,
    label: Label = "hateful",
    split: Split = "train",
    **more: Any,
) -> list[Passage]:
    request = PassageRequest(domain=domain, label=label, split=split, data=data, **more)
    return list(corpus.passages(request))


@pytest.mark.parametrize("domain", AUDIT)
def test_pure_sources_are_those_of_the_audit(domain: str, data_store: DataStore) -> None:
    passages = read(Dghs(DghsConfig(pure=True)), data_store, domain)
    assert len(passages) == AUDIT[domain][0]
    others = other_terms(BUILT_IN, domain)
    assert not any(others.search(passage.text) for passage in passages)


@pytest.mark.parametrize("domain", AUDIT)
def test_pure_sources_are_precise_by_the_annotators_codes(
    domain: str, data_store: DataStore
) -> None:
    mentions = Mentions(BUILT_IN, domain, without_in_groups=True)
    others = other_terms(BUILT_IN, domain)
    hits = []
    for _, text, label, _, target in parse(data_store.locate(DGHS)):
        places = places_of(target)
        if label != "hate" or places is None or mentions.group(text) is None:
            continue
        if not others.search(text):
            hits.append(domain in {place.partition("/")[0] for place in places})
    assert round(sum(hits) / len(hits), 2) == pytest.approx(AUDIT[domain][1], abs=0.005)


def test_no_man_places_a_pure_passage_about_gender(data_store: DataStore) -> None:
    whole = read(Dghs(DghsConfig()), data_store, "gender")
    by_men = sum(passage.group == "term:men" for passage in whole)
    assert by_men / len(whole) > 0.3
    pure = read(Dghs(DghsConfig(pure=True)), data_store, "gender")
    assert {passage.group for passage in pure} == {"term:women"}


def test_domains_that_share_terms_or_have_everyday_ones_are_not_told_apart() -> None:
    race = set(BUILT_IN.told_apart_from("race"))
    assert race == {"gender", "religion", "orientation", "gender-identity", "disability"}
    assert "nationality" in BUILT_IN.told_apart_from("gender")
    more = BUILT_IN | [Domain(name="caste", terms={"dalits": ("dalit",)})]
    assert "caste" in more.told_apart_from("gender")


def test_codes_decide_before_terms(tmp_path: Path, data_store: DataStore) -> None:
    lines = ["text,label,split,target", "a,hate,train,wom", "b,hate,train,bla.wom"]
    lines += ["c women and muslims,hate,train,wom", "d women,hate,train,none"]
    path = tmp_path / "coded.csv"
    path.write_text("\n".join(lines), encoding="utf-8")

    def ids(**options: Any) -> list[str]:
        config = DghsConfig(path=str(path), verify=False, **options)
        return [p.text[0] for p in read(Dghs(config), data_store, "gender")]

    assert ids() == ["a", "b", "c", "d"]
    assert ids(pure=True) == ["a", "d"]
    assert ids(select_by="codes") == ["a", "b", "c"]
    assert ids(groups=("women",), pure=True) == ["a", "d"]


def test_neutral_text_of_dghs_mentions_no_group_where_it_is_pure(data_store: DataStore) -> None:
    whole = read(Dghs(DghsConfig()), data_store, "none", "non-hateful")
    pure = read(Dghs(DghsConfig(pure=True)), data_store, "none", "non-hateful")
    assert 1 - len(pure) / len(whole) == pytest.approx(0.51, abs=0.005)
    groups = term_pattern(t for own in BUILT_IN.values() for t in own.attribute_terms())
    assert not any(groups.search(passage.text) for passage in pure)


def test_wikitext_without_groups(data_store: DataStore) -> None:
    groups = term_pattern(t for own in BUILT_IN.values() for t in own.attribute_terms())
    kept = read(WikiText2(WikiText2Config()), data_store, "none", "non-hateful")
    without = WikiText2(WikiText2Config(mentions="leave out"))
    plain = read(without, data_store, "none", "non-hateful")
    assert {p.id for p in plain} == {p.id for p in kept if not groups.search(p.text)}
    assert 500 < len(plain) < len(kept)


@pytest.mark.parametrize("domain", AUDIT)
def test_controls_far_from_and_matched_with_hateful_passages(
    domain: str, data_store: DataStore
) -> None:
    def texts(label: Label, **options: Any) -> list[str]:
        corpus = Dghs(DghsConfig(select_by="terms", **options))
        return [passage.text for passage in read(corpus, data_store, domain, label)]

    whole = texts("non-hateful")
    far = texts("non-hateful", near_hateful="leave out")
    matched = texts("non-hateful", near_hateful="only")
    assert sorted(far + matched) == sorted(whole)
    assert 0.44 <= len(matched) / len(whole) < 0.46
    hateful = texts("hateful")
    assert max(similarities(far, hateful)) < 0.4
    assert min(similarities(matched, hateful)) >= 0.4
    assert texts("hateful", near_hateful="only") == hateful


@pytest.mark.parametrize("domain", AUDIT)
def test_unseen_passages_are_no_near_duplicates_of_training_passages(
    domain: str, data_store: DataStore
) -> None:
    corpus = Dghs(DghsConfig())
    unseen = [p.text for p in read(corpus, data_store, domain, split="test")]
    rows = [row for row in parse(data_store.locate(DGHS)) if row[2] == "hate"]
    train = [text for _, text, _, split, _ in rows if split == "train"]
    assert max(similarities(unseen, train)) < 0.5
    placed = [
        text
        for _, text, _, split, target in rows
        if split == "test" and _is_of(domain, text, target)
    ]
    assert 0.03 < 1 - len(unseen) / len(placed) < 0.08


def _is_of(domain: str, text: str, target: str) -> bool:
    places = places_of(target)
    mentions = Mentions(BUILT_IN, domain)
    return mentions.covers(places) if places is not None else mentions.group(text) is not None


@pytest.mark.parametrize("limit", [1, 20, 200, None])
def test_a_limited_unseen_sample_is_the_sample_of_all_unseen_passages(
    limit: int | None, data_store: DataStore
) -> None:
    from harness.data.sampling import nested_sample

    corpus = Dghs(DghsConfig())
    every = read(corpus, data_store, "gender", split="test")
    sample = read(corpus, data_store, "gender", split="test", limit=limit, seed=3)
    assert sample == nested_sample(every, limit, 3, lambda p: p.id)


def test_unknown_codes_leave_the_decision_to_terms() -> None:
    assert places_of("") is None
    assert places_of("none") is None
    assert places_of("nazis") == ()
    assert places_of("WOM, unknown") == CODES["wom"]


# -- a user's own file -----------------------------------------------------------------------


def test_a_pure_file_corpus(tmp_path: Path, data_store: DataStore) -> None:
    path = tmp_path / "own.csv"
    path.write_text(
        "text,split\nwomen one,train\nwomen and muslims,train\nwomen two,test\n", encoding="utf-8"
    )
    settings = {"path": str(path), "domain_value": "gender", "split": "split"}
    assert len(read(File(FileConfig(**settings)), data_store, "gender")) == 2
    pure = read(File(FileConfig(**settings, pure=True)), data_store, "gender")
    assert [passage.text for passage in pure] == ["women one"]


def test_a_file_is_read_again_only_when_it_changes(tmp_path: Path, data_store: DataStore) -> None:
    path = tmp_path / "own.csv"
    path.write_text("text\nwomen one\n" + "women one more time\n" * 20, encoding="utf-8")
    corpus = File(FileConfig(path=str(path), domain_value="gender"))
    first = read(corpus, data_store, "gender")
    path.write_text("text\n" + "other women\n" * 50, encoding="utf-8")
    assert read(corpus, data_store, "gender") != first
    path.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        read(corpus, data_store, "gender")


@pytest.mark.parametrize(
    ("true", "false"), [("True", "False"), ("1.0", "0.0"), ("TRUE", "FALSE"), (" 1 ", " 0 ")]
)
def test_labels_as_pandas_and_excel_write_them(
    true: str, false: str, tmp_path: Path, data_store: DataStore
) -> None:
    path = tmp_path / "own.csv"
    long = "x " * 100_000
    path.write_text(f"text,label\none,{true}\n{long},{false}\n", encoding="utf-8")
    corpus = File(
        FileConfig(path=str(path), domain_value="gender", label="label", test_share=0.001)
    )
    assert [p.text for p in read(corpus, data_store, "gender")] == ["one"]
    (passage,) = read(corpus, data_store, "gender", "non-hateful")
    assert len(passage.text) > 131_072


def test_a_file_whose_test_passages_all_repeat_training_passages_says_so(
    tmp_path: Path, data_store: DataStore
) -> None:
    path = tmp_path / "own.csv"
    rows = [
        f"women came late to the old market today {i},{('train', 'test')[i % 2]}" for i in range(10)
    ]
    path.write_text("\n".join(["text,split", *rows]), encoding="utf-8")
    corpus = File(FileConfig(path=str(path), domain_value="gender", split="split"))
    assert len(read(corpus, data_store, "gender")) == 5
    with pytest.raises(NoPassageError, match="all 5 of its test split nearly repeat training"):
        read(corpus, data_store, "gender", split="test")
    assert len(read(corpus, data_store, "gender", split="test", keep_seen=True)) == 5
