"""Malformed word lists and pinned data sets: one line that says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from harness_corpora.dghs import DGHS
from harness_corpora.hatecheck import HATECHECK
from harness_corpora.redditbias import REDDITBIAS
from harness_evaluators.crows_pairs import PIN as CROWS_PAIRS
from harness_evaluators.stereoset import PIN as STEREOSET
from odd_files import NOT_FILES, one_line, written

from harness.data.pins import Pin, check
from harness.data.places import DataStore
from harness.data.terms import read_counterparts, read_terms
from harness.errors import DataError

pytestmark = pytest.mark.usefixtures("no_hang")


# -- word lists ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "has no term"),
        (b"# only a comment\n\n", "has no term"),
        (b"caf\xe9\n", "line 1, byte 3 (0xe9) is not UTF-8"),
        (b"a\n\0b\n", "line 2: a NUL character"),
        ("a\n".encode("utf-16"), "is UTF-16"),
    ],
)
def test_term_lists(content: bytes, words: str, tmp_path: Path) -> None:
    path = written(tmp_path / "terms.txt", content)
    with pytest.raises(DataError) as caught:
        read_terms(path)
    assert words in one_line(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "at least one row"),
        (b"a,b\n", "at least one row"),
        (b"a\nb\n", "line 1: give two or more words"),
        (b"a,b\nx\n", "line 2: give 2 words"),
        (b"a,b\nx,y,z\n", "line 2: give 2 words"),
        (b"a,b\n# fine\nx,\n", "line 3: give 2 words"),
    ],
)
def test_counterparts(content: bytes, words: str, tmp_path: Path) -> None:
    path = written(tmp_path / "rows.csv", content)
    with pytest.raises(DataError) as caught:
        read_counterparts(path)
    assert words in one_line(caught.value)


@pytest.mark.parametrize("reader", [read_terms, read_counterparts])
@pytest.mark.parametrize("case", NOT_FILES)
def test_word_lists_that_are_not_files(
    case: str, reader: Callable[[Path], object], tmp_path: Path
) -> None:
    path = NOT_FILES[case][0](tmp_path / "own.txt")
    with pytest.raises(DataError, match="cannot be read") as caught:
        reader(path)
    one_line(caught.value)


# -- pinned data -----------------------------------------------------------------------------

PINNED: dict[str, tuple[Pin, bytes, str]] = {
    "dghs, no column": (DGHS, b"text,label\na,hate\n", "no column 'split', 'target'"),
    "dghs, a label": (DGHS, b"text,label,split,target\na,bad,train,\n", "line 2: label 'bad'"),
    "dghs, a split": (DGHS, b"text,label,split,target\na,hate,x,\n", "line 2: label 'hate', split"),
    "dghs, no text": (DGHS, b"text,label,split,target\n ,hate,train,\n", "line 2: empty text"),
    "hatecheck, a group": (
        HATECHECK,
        b"case_id,test_case,label_gold,target_ident,templ_id,ref_templ_id\n1,a,hateful,cats,1,\n",
        "unknown domain alias 'cats'",
    ),
    "hatecheck, a label": (
        HATECHECK,
        b"case_id,test_case,label_gold,target_ident,templ_id,ref_templ_id\n1,a,bad,women,1,\n",
        "line 2: unknown label 'bad'",
    ),
    "crows-pairs, cut": (
        CROWS_PAIRS,
        b',sent_more,sent_less,stereo_antistereo,bias_type\n0,a,"b',
        "line 2: ",
    ),
    "stereoset, cut": (STEREOSET, b'{"data": {"intrasentence": [', "not JSON"),
    "stereoset, a list": (STEREOSET, b"[]", "not StereoSet's dev.json"),
    "stereoset, empty": (STEREOSET, b"", "not JSON"),
}


@pytest.mark.parametrize("case", PINNED)
def test_pinned_data(case: str, tmp_path: Path) -> None:
    pin, content, words = PINNED[case]
    path = written(tmp_path / Path(pin.filename).name, content)
    with pytest.raises(DataError) as caught:
        check(pin, path)
    assert words in one_line(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("pin", [DGHS, HATECHECK, CROWS_PAIRS, STEREOSET], ids=lambda p: p.name)
@pytest.mark.parametrize("case", NOT_FILES)
def test_pinned_data_that_is_not_a_file(case: str, pin: Pin, tmp_path: Path) -> None:
    path = NOT_FILES[case][0](tmp_path / Path(pin.filename).name)
    data = DataStore(cache_dir=tmp_path / "cache", offline=True)
    with pytest.raises(DataError) as caught:
        check(pin, data.locate(pin, str(path)))
    one_line(caught.value)


def test_a_data_set_of_several_files_that_lacks_one(tmp_path: Path) -> None:
    data = DataStore(cache_dir=tmp_path / "cache", offline=True)
    with pytest.raises(DataError, match="lacks") as caught:
        data.locate(REDDITBIAS, str(tmp_path))
    one_line(caught.value)
