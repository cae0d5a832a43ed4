"""Corpora on the real data: domains, splits that never meet, nested limits, and refusals."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from harness_corpora.choosing import normalised
from harness_corpora.dghs import Dghs, DghsConfig
from harness_corpora.embedded import Embedded, EmbeddedConfig
from harness_corpora.file import File, FileConfig
from harness_corpora.hatecheck import HateCheck, HateCheckConfig
from harness_corpora.redditbias import RedditBias, RedditBiasConfig
from harness_corpora.wikitext2 import WikiText2, WikiText2Config
from pydantic import ValidationError

from harness.boundary import read_passages
from harness.data.places import DataStore
from harness.errors import DataError
from harness.families import Corpus
from harness.plugins import Origin, Registered
from harness.types import Label, Passage, PassageRequest, Split

MADE: dict[str, Corpus[Any]] = {
    "dghs": Dghs(DghsConfig()),
    "hatecheck": HateCheck(HateCheckConfig()),
    "redditbias": RedditBias(RedditBiasConfig()),
    "embedded": Embedded(EmbeddedConfig()),
}
HAVE_BOTH_LABELS = ("dghs", "hatecheck", "embedded")


def read(
    corpus: Corpus[Any],
    data: DataStore,
    domain: str = "gender",
    label: Label = "hateful",
    split: Split = "train",
    limit: int | None = None,
    seed: int = 0,
) -> tuple[Passage, ...]:
    """Through the boundary, so that the contract is checked too."""
    asked = PassageRequest(
        domain=domain, label=label, split=split, limit=limit, seed=seed, data=data
    )
    return read_passages(Registered(type(corpus), Origin("test", "test", "0")), corpus, asked)


@pytest.mark.parametrize("name", sorted(MADE))
def test_nothing_unlearned_is_ever_unseen(name: str, data_store: DataStore) -> None:
    corpus = MADE[name]
    domain = "gender" if "gender" in corpus.domains else sorted(corpus.domains)[0]
    train = read(corpus, data_store, domain, split="train")
    test = read(corpus, data_store, domain, split="test")
    assert train
    assert test
    assert not {normalised(p.text) for p in train} & {normalised(p.text) for p in test}


@pytest.mark.parametrize("name", sorted(MADE))
def test_limits_are_nested_samples_in_the_order_of_the_data(
    name: str, data_store: DataStore
) -> None:
    corpus = MADE[name]
    domain = sorted(corpus.domains)[0]
    whole = [p.id for p in read(corpus, data_store, domain)]
    small = [p.id for p in read(corpus, data_store, domain, limit=5)]
    large = [p.id for p in read(corpus, data_store, domain, limit=10)]
    assert (len(small), len(large)) == (5, 10)
    assert set(small) < set(large)
    assert large == [i for i in whole if i in set(large)]
    other = [p.id for p in read(corpus, data_store, domain, limit=5, seed=1)]
    assert other != small


@pytest.mark.parametrize("name", HAVE_BOTH_LABELS)
@pytest.mark.parametrize("domain", ["gender", "religion"])
def test_non_hateful_passages_of_the_same_groups(
    name: str, domain: str, data_store: DataStore
) -> None:
    found = [
        passage
        for split in ("train", "test")
        for passage in read(MADE[name], data_store, domain, label="non-hateful", split=split)  # type: ignore[arg-type]
    ]
    assert len(found) >= 100  # HateCheck, the smallest, has 111 about Muslims and 136 about women


def test_a_domain_that_a_corpus_lacks_names_those_it_has(data_store: DataStore) -> None:
    with pytest.raises(DataError, match="gender") as caught:
        read(MADE["embedded"], data_store, "profession")
    assert "\n" not in str(caught.value)


def test_embedded_is_large_enough(data_store: DataStore) -> None:
    for domain in ("gender", "race", "religion"):
        for label in ("hateful", "non-hateful"):
            train = read(MADE["embedded"], data_store, domain, label=label)  # type: ignore[arg-type]
            test = read(MADE["embedded"], data_store, domain, label=label, split="test")  # type: ignore[arg-type]
            assert len(train) >= 120
            assert len(test) >= 60


def test_dghs_by_terms_and_by_codes(data_store: DataStore) -> None:
    train = read(MADE["dghs"], data_store, "religion")
    assert len(train) > 1000
    assert all((p.group or "").startswith("term:") for p in train)
    test = read(MADE["dghs"], data_store, "religion", split="test")
    assert any((p.group or "") == "code:mus" for p in test)


def test_dghs_canonical_shape_is_read_by_its_codes(data_store: DataStore, tmp_path: Path) -> None:
    rows = [
        ("0", "A hateful text.\rSecond line.", "hate", "derogation", "wom", "train"),
        ("1", "Another one.", "hate", "derogation", "bla.wom", "train"),
        ("2", "A third.", "hate", "derogation", "mus", "train"),
        ("3", "A kind text about women.", "nothate", "none", "none", "train"),
    ]
    path = tmp_path / "v0.2.3.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        header = ("acl.id", "text", "label", "type", "target", "split", "level", "round")
        writer.writerow(header)
        writer.writerows([(*row, "original", "1") for row in rows])
    corpus = Dghs(DghsConfig(path=str(path), verify=False))
    found = read(corpus, data_store, "gender")
    assert [p.group for p in found] == ["code:wom", "code:bla.wom"]
    assert "\r" in found[0].text
    assert [p.group for p in read(corpus, data_store, "race")] == ["code:bla.wom"]
    kind = read(corpus, data_store, "gender", label="non-hateful")
    assert [p.group for p in kind] == ["term:women"]
    with pytest.raises(DataError, match="this is not the pinned data set 'dghs'"):
        read(Dghs(DghsConfig(path=str(path))), data_store, "gender")


def test_wikitext_is_plain_text_of_no_domain(data_store: DataStore) -> None:
    found = read(WikiText2(WikiText2Config()), data_store, "none", label="non-hateful", limit=20)
    assert len(found) == 20
    assert {p.domain for p in found} == {"none"}


# -- a user's own file -----------------------------------------------------------------------

ROWS = [
    {"text": f"A text about women number {i}.", "kind": "hate" if i % 2 else "nothate"}
    for i in range(40)
]


def write(path: Path) -> Path:
    if path.suffix == ".csv":
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, ["text", "kind"])
            writer.writeheader()
            writer.writerows(ROWS)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in ROWS))
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


def own(path: Path, **options: Any) -> File:
    return File(FileConfig(path=str(path), label="kind", domain_value="gender", **options))


def test_csv_jsonl_and_parquet_say_the_same(tmp_path: Path, data_store: DataStore) -> None:
    found = [
        [(p.id, p.text, p.label, p.split) for p in read(own(write(tmp_path / name)), data_store)]
        for name in ("a.csv", "a.jsonl", "a.parquet")
    ]
    assert found[0]
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"txt,kind\na,hate\n", "no column 'text'"),
        (b"text,kind\n,hate\n", "line 2: empty text"),
        (b"text,kind\na,hat\n", "line 2: unknown label 'hat'"),
        (b"text,kind\n\xff,hate\n", "is not UTF-8"),
        (b"text,kind\na\n", "line 2: 1 fields instead of 2"),
        (b"", "empty"),
    ],
)
def test_bad_files_name_the_line(
    content: bytes, words: str, tmp_path: Path, data_store: DataStore
) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(own(path), data_store)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_strange_one(tmp_path: Path, data_store: DataStore) -> None:
    with pytest.raises(DataError, match=r"none\.csv"):
        read(own(tmp_path / "none.csv"), data_store)
    with pytest.raises(ValidationError, match="must end in one of"):
        own(tmp_path / "weights.pkl")
