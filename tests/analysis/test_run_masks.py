"""Agreement of the maskers of a run: by hand, and as `harness mask --compare` shows it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from kept_run import masked_run
from made_runs import make_run
from old_masks import without_words

from harness.analysis.run_masks import RunMasks, agreement_table, run_masks
from harness.cli.main import cli
from harness.data.words import word_spans
from harness.render.console.masks import agreement_row
from harness.replay.masked_texts import find_masked_texts
from harness.storage.masks import StoredMasks
from harness.storage.reader import RunReader
from harness.storage.store import Store
from harness.types import MaskedPassage, Passage, Span

TEXTS = {"one": "a b c d", "two": "e f g h", "three": "i j k l", "four": "m n"}


def _masked(name: str, words: Sequence[int], *, final: bool = True) -> MaskedPassage:
    """A passage with the words of these positions masked, each by a span of its own."""
    ranges = word_spans(TEXTS[name])
    return MaskedPassage(
        passage=Passage(id=name, text=TEXTS[name], domain="gender", label="hateful", split="train"),
        spans=tuple(
            Span(start=ranges[i][0], end=ranges[i][1], kind="k", reason="r") for i in words
        ),
        final=final,
    )


ANSWERS = {
    ("wordlist", "gender", 0): (_masked("one", [0, 1]), _masked("two", [0])),
    ("random", "gender", 0): (_masked("one", [1]), _masked("two", [0])),
    ("wordlist", "gender", 1): (_masked("two", [0]), _masked("three", []), _masked("four", [0])),
    ("random", "gender", 1): (
        _masked("two", [2]),
        _masked("three", [3]),
        _masked("four", [], final=False),
    ),
}
"""Two fits that share the second passage; a service has not answered for the fourth."""


def _run(folder: Path, masks: dict[tuple[str, str, int], StoredMasks]) -> Store:
    return make_run(
        folder,
        sources=("gender", "race"),
        steps=(10,),
        maskers=("wordlist", "random"),
        seeds=(0, 1),
        evaluators=("pairs",),
        items=8,
        masks=masks,
    )


def _stored() -> dict[tuple[str, str, int], StoredMasks]:
    return {place: StoredMasks.of(masked) for place, masked in ANSWERS.items()}


def _compared(store: Store) -> RunMasks:
    compared = run_masks(RunReader(store))
    assert compared is not None
    return compared


def test_fits_are_pooled_and_each_passage_counts_once(tmp_path: Path) -> None:
    """Of 12 words both mask 2 and each 3: 10/12 agree, by chance (3 * 3 + 9 * 9)/144 would."""
    compared = _compared(_run(tmp_path, _stored()))
    (pair,) = compared.pairs
    assert (pair.first, pair.second, pair.passages) == ("wordlist", "random", 3)
    assert (pair.words, pair.both, pair.only_first, pair.only_second) == (12, 2, 1, 1)
    assert pair.kappa == pytest.approx((10 / 12 - 90 / 144) / (1 - 90 / 144))
    assert pair.span_overlap == 4 / 6
    assert pair.differing_share == 2 / 3
    assert compared.without_words == 0
    assert compared.examples == ((),)  # the texts are not stored


def test_masks_for_other_sources_are_not_compared(tmp_path: Path) -> None:
    masks = {
        ("wordlist", "gender", 0): StoredMasks.of(ANSWERS["wordlist", "gender", 0]),
        ("random", "race", 0): StoredMasks.of(ANSWERS["random", "gender", 0]),
    }
    compared = _compared(_run(tmp_path, masks))
    (row,) = agreement_table(compared).rows
    assert compared.pairs[0].passages == 0
    assert {cell.note for cell in row.cells[2:-1]} == {"no passage to compare"}


def test_a_run_with_one_masker_has_nothing_to_compare(tmp_path: Path) -> None:
    store = make_run(tmp_path, masks=_stored())
    assert run_masks(RunReader(store)) is None


def test_the_table_has_the_numbers_of_each_pair(tmp_path: Path) -> None:
    compared = _compared(_run(tmp_path, _stored()))
    table = agreement_table(compared)
    (row,), (pair,) = table.rows, compared.pairs
    kappa, overlap, differing, passages = row.cells[2:]
    assert [cell.text for cell in row.cells[:2]] == ["wordlist", "random"]
    assert (kappa.value, kappa.interval) == (pair.kappa, None)  # three passages are too few
    assert (overlap.value, differing.value) == (pytest.approx(400 / 6), pytest.approx(200 / 3))
    assert passages.count == 3
    assert not table.notes


def test_masks_of_an_earlier_version_need_the_texts(tmp_path: Path) -> None:
    old = {place: without_words(masks) for place, masks in _stored().items()}
    assert {m.sha256 for m in old.values()} == {m.sha256 for m in _stored().values()}
    store = _run(tmp_path, old)
    compared = _compared(store)
    assert (compared.pairs[0].passages, compared.without_words) == (0, 3)
    assert "3 passages are left out" in " ".join(agreement_table(compared).notes)
    texts = {old[place].sha256: masked for place, masked in ANSWERS.items()}
    with_texts = run_masks(RunReader(store), texts)
    assert with_texts is not None
    assert with_texts.pairs == _compared(_run(tmp_path / "new", _stored())).pairs
    (examples,) = with_texts.examples
    assert [one.passage.id for one, _ in examples] == ["one", "three"]


def test_masks_that_cannot_be_read_are_named_and_left_out(tmp_path: Path) -> None:
    store = _run(tmp_path, _stored())
    path = store.path("masks", _stored()["random", "gender", 0].sha256)
    path.write_bytes(path.read_bytes()[:-5])
    compared = _compared(store)
    assert [str(path) in line for line in compared.unreadable] == [True]
    assert compared.pairs[0].passages == 2  # those of the other seed
    assert compared.unreadable[0] in agreement_table(compared).notes


def test_a_run_agrees_with_the_preview_of_its_maskers(tmp_path: Path) -> None:
    both = {"use": "wordlist", "as": "both", "rules": "both", "harm_list": "builtin"}
    ran = masked_run(tmp_path, "wordlist", both, "random", "all")
    reader = RunReader(ran.store)
    texts = find_masked_texts(reader, ran.registry, ran.data, pytest.fail)
    spec = tmp_path / "small.yaml"
    spec.write_text(yaml.safe_dump(ran.raw))
    words = ["mask", "--compare", "--spec", str(spec), "--limit", "8", "--show", "99", "--json"]
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    preview = json.loads(result.stdout)["pairs"]
    examples = [pair.pop("examples") for pair in preview]
    assert len(preview) == 6
    for compared in (run_masks(reader), run_masks(reader, texts)):
        assert compared is not None
        assert json.loads(json.dumps([*map(agreement_row, compared.pairs)])) == preview
    assert compared is not None
    assert [
        [
            {"first": a.model_dump(mode="json"), "second": b.model_dump(mode="json")}
            for a, b in of_pair
        ]
        for of_pair in compared.examples
    ] == examples
