"""Malformed word lists and pinned data sets: one line that says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import invoke
from harness_corpora.dghs import DGHS
from harness_corpora.hatecheck import HATECHECK
from harness_corpora.redditbias import REDDITBIAS
from harness_debiasers.word_lists import word_rows
from harness_evaluators.crows_pairs import PIN as CROWS_PAIRS
from harness_evaluators.stereoset import PIN as STEREOSET
from odd_files import NOT_FILES, one_line, written

from harness.data.pins import Pin, check
from harness.data.places import DataStore
from harness.data.terms import read_counterparts, read_terms
from harness.errors import DataError, DebiasError

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
        (b"# words\nhe\n\nshe, her\n", "line 4: 'she, her' has several words between marks"),
        (b"he\nshe;her\n", "line 2: 'she;her' has several words between marks"),
        (b"he\nshe\ther\n", "line 2: 'she\\ther' has several words between marks"),
        (b"- he\n", "line 1: '- he' begins with a bullet"),
        (b'he\n"she"\n', "line 2: '\"she\"' is in quotation marks"),
        (b"he\n" + b"x" * 201 + b"\n", "line 2: a term of 201 characters"),
    ],
)
def test_term_lists(content: bytes, words: str, tmp_path: Path) -> None:
    path = written(tmp_path / "terms.txt", content)
    with pytest.raises(DataError) as caught:
        read_terms(path)
    assert words in one_line(caught.value)
    assert str(path) in str(caught.value)


def test_a_table_is_not_taken_for_the_word_list_of_a_masker(tmp_path: Path) -> None:
    """Each of its lines would be one term, found in no text: nothing would be masked."""
    path = written(tmp_path / "terms.csv", b"term,group\nwoman,women\n")
    rules = ("--set", "rules=file", "--set", f"path={path}")
    result = invoke("mask", *rules)
    assert isinstance(result.exception, DataError), result.output
    assert f"{path}: line 1: 'term,group' has several words" in one_line(result.exception)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"men,women\nhe,she\n'man',woman\n", "line 3: \"'man'\" is in quotation marks"),
        ("a.csv", b"men,women\nhe;she,her\n", "line 2: 'he;she' has several words"),
        ("a.json", b'{"gender": [["he", "she, her"]]}', "gender.0: 'she, her' has several words"),
        ("a.json", b'{"a": [["x", "y"]], "a": [["z", "w"]]}', "the key 'a' is given twice"),
        ("a.json", b'{"a": [["x", "\\ud83d"]]}', "half of a character"),
    ],
)
def test_rows_of_words_of_a_debiaser(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    path = written(tmp_path / name, content)
    with pytest.raises(DebiasError) as caught:
        word_rows("gender", path)
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
        (b'a,b\n"x",y\n', "line 2: '\"x\"' is in quotation marks"),
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
