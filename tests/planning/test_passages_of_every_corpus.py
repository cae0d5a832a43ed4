"""Passages of every registered corpus: they depend on the content of its files alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path
from typing import get_args

import pytest
from every_plugin import REGISTRY, Changes, Config, Place, files_of, pinned, pinned_as_made

from harness.boundary import read_passages
from harness.errors import DataError
from harness.planning.passages import passages_hash
from harness.plugins import Registered
from harness.types import Label, Passage, PassageRequest, Split

CORPORA = [entry for entry in REGISTRY if entry.family == "corpus"]
LINES = 300
"""Lines of a published file from which a small one is made."""


@pytest.fixture(scope="module")
def made_short(
    tmp_path_factory: pytest.TempPathFactory, shared_data: Path
) -> tuple[Place, Changes]:
    folder = tmp_path_factory.mktemp("shortened")
    rows = "".join(f"A woman waits {n}.\n" for n in range(9))
    (folder / "rows.csv").write_text(f"text\n{rows}", "utf-8")
    for pin in (pin for entry in CORPORA for pin in entry.plugin.pins):
        path, source = folder / "data" / pin.filename, shared_data / pin.filename
        for file, full in zip(files_of(pin, path), files_of(pin, source), strict=True):
            file.parent.mkdir(parents=True, exist_ok=True)
            with full.open("rb") as stream:
                file.write_bytes(b"".join(islice(stream, LINES)))
    return Place(folder), pinned_as_made(folder, lambda pin: pin.parse)


@pytest.fixture
def shortened(made_short: tuple[Place, Changes]) -> Iterator[Place]:
    """The beginnings of the published files of corpora, and pins with their checksums."""
    with pinned(made_short[1]):
        yield made_short[0]


def passages_of(entry: Registered, config: Config, place: Place) -> list[Passage]:
    """Every passage of a corpus."""
    corpus = REGISTRY.create("corpus", entry.name, config)
    data = place.data.knowing(REGISTRY.domains)
    passages: list[Passage] = []
    refusals: list[DataError] = []
    for domain, label, split in product(
        sorted(entry.plugin.domains) or ["gender", "none"], get_args(Label), get_args(Split)
    ):
        asked = PassageRequest(domain=domain, label=label, split=split, data=data)
        try:
            passages += read_passages(REGISTRY.get("corpus", entry.name), corpus, asked)
        except DataError as error:  # it may have no such passage
            refusals.append(error)
    if not passages:
        raise refusals[0]
    return passages


def read(entry: Registered, config: Config, place: Place) -> str:
    """Hash of the passages of a corpus, as keys hold those of a source."""
    return passages_hash(passages_of(entry, config, place))


def corpus_config(entry: Registered, place: Place) -> Config:
    fields = entry.plugin.Config.model_fields
    if "path" in fields and fields["path"].is_required():
        return {"path": str(place.folder / "rows.csv"), "domain_value": "gender"}
    return {}


@pytest.mark.parametrize("entry", CORPORA, ids=lambda e: e.name)
def test_passages_are_the_same_wherever_their_file_is(
    entry: Registered, shortened: Place, tmp_path: Path
) -> None:
    config = corpus_config(entry, shortened)
    before = read(entry, config, shortened)
    copy = shortened.copy(tmp_path / "copy, ü")
    moved = json.loads(json.dumps(config).replace(str(shortened.folder), str(copy.folder)))
    assert read(entry, moved, copy) == before
    (tmp_path / "link").symlink_to(copy.folder, target_is_directory=True)
    linked = json.loads(json.dumps(moved).replace(str(copy.folder), str(tmp_path / "link")))
    assert read(entry, linked, Place(tmp_path / "link")) == before
    files = [Path(moved["path"])] if "path" in moved else []
    for pin in entry.plugin.pins:
        files += files_of(pin, copy.folder / "data" / pin.filename)
        given = {**moved, "path": str(copy.folder / "data" / pin.filename)}
        assert read(entry, given, copy) == before
        assert read(entry, {**given, "verify": False}, copy) == before
    for file in files:
        os.utime(file, (1e9, 1e9))
    assert read(entry, moved, copy) == before


@pytest.mark.parametrize(
    "entry", [e for e in CORPORA if e.plugin.pins or corpus_config(e, Place(Path()))],
    ids=lambda e: e.name,
)  # fmt: skip
def test_a_changed_passage_changes_what_is_read_or_is_refused(
    entry: Registered, shortened: Place, tmp_path: Path
) -> None:
    copy = shortened.copy(tmp_path / "copy")
    config = corpus_config(entry, copy)
    passages = passages_of(entry, config, copy)
    before = passages_hash(passages)
    own = [Path(config["path"])] if "path" in config else []
    published = [
        file
        for pin in entry.plugin.pins
        for file in files_of(pin, copy.folder / "data" / pin.filename)
    ]
    changed_files = 0
    for file in (*own, *published):
        whole = file.read_bytes()
        texts = (passage.text.encode() for passage in passages)
        text = max((text for text in texts if text in whole), key=len, default=None)
        if text is None:
            continue
        inner = next(k for k in range(1, len(text)) if text[k - 1 : k + 1].isalpha())
        file.write_bytes(whole.replace(text, text[:inner] + b"x" + text[inner:]))
        changed_files += 1
        if file in published:
            with pytest.raises(DataError, match="not the pinned data set"):
                read(entry, config, copy)
            assert read(entry, {**config, "verify": False}, copy) != before
        else:
            assert read(entry, config, copy) != before
        file.write_bytes(whole)
    assert changed_files
    assert read(entry, config, copy) == before
