"""Bad files: each is one line that names file and place, or is understood as it says here.

No case may end in a trace, hang, or give passages that are not in the file.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import invoke
from harness_corpora.dghs import DGHS
from harness_corpora.domains import BUILT_IN
from harness_corpora.file import File, FileConfig
from harness_corpora.hatecheck import HATECHECK
from harness_corpora.redditbias import REDDITBIAS
from harness_debiasers.word_lists import word_rows
from harness_evaluators.crows_pairs import PIN as CROWS_PAIRS
from harness_evaluators.stereoset import PIN as STEREOSET
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.pins import Pin, check
from harness.data.places import DataStore
from harness.data.terms import read_counterparts, read_terms
from harness.errors import DataError, DebiasError, HarnessError, SpecError
from harness.planning.yaml_lines import parse_yaml
from harness.types import PassageRequest

SECONDS = 20


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """End a case that waits, such as for a pipe."""

    def late(*_: object) -> None:
        raise TimeoutError(f"not done after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def one_line(error: BaseException) -> str:
    """The message, which has one printable line of a bearable length."""
    message = str(error)
    assert message.isprintable(), message
    assert len(message) < 700
    return message


def passages(path: Path | str, **options: Any) -> list[str]:
    """Texts that the corpus `file` gives, train and test together."""
    config = {"path": str(path), "domain_value": "gender", **options}
    corpus = File(FileConfig.model_validate(config))
    data = DataStore(cache_dir=Path(os.devnull), offline=True, domains=BUILT_IN)
    texts = []
    for split in ("train", "test"):
        request = PassageRequest(domain="gender", label="hateful", split=split, data=data)  # type: ignore[arg-type]
        try:
            texts += [passage.text for passage in corpus.passages(request)]
        except DataError as error:
            if "has no" not in str(error) or "split; its domains" not in str(error):
                raise
    return texts


# -- YAML ------------------------------------------------------------------------------------

NESTED = "".join("  " * i + "- \n" for i in range(1, 200))
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{last}'] * 10)}]\n"
    for last, name in zip("abcdefghi", "bcdefghij", strict=True)
)

YAML: dict[str, tuple[str, int, str]] = {
    "a day that does not exist": ("a: 1\nname: 2024-02-30", 2, "day is out of range"),
    "a month that does not exist": ("name: 2024-13-01", 1, "month must be in 1..12"),
    "an hour that does not exist": ("name: 2024-01-01 25:00:00", 1, "hour must be in"),
    "a time zone that does not exist": ("name: 2024-01-01 01:00:00 +99:00", 1, "not what it looks"),
    "int of a word": ("a: 1\nb: !!int x", 2, "not what it looks like"),
    "int of nothing": ("b: !!int", 1, "not what it looks like"),
    "float of a word": ("b: !!float x", 1, "not what it looks like"),
    "bool of a word": ("b: !!bool x", 1, "not what it looks like"),
    "timestamp of a word": ("b: !!timestamp x", 1, "not what it looks like"),
    "binary of a word": ("b: !!binary x", 1, "base64"),
    "an endless number": ("b: " + "9" * 5000, 1, "not what it looks like"),
    "an endless number of base 60": ("b: " + ":".join(["9"] * 3000), 1, "too large a number"),
    "a number over 64 bits": ("b: 99999999999999999999", 1, "too large a number"),
    "NUL": ("a: 1\nb: \0", 2, "U+0000"),
    "NUL in quotes": ('a: 1\nb: "x\0"', 2, "U+0000"),
    "ESC": ("a: \x1b[31m", 1, "U+001B"),
    "DEL": ("a: \x7f", 1, "U+007F"),
    "half of a character": ('a: "\\ud83d"', 1, "half of a character"),
    "a noncharacter": ("a: \ufffe", 1, "U+FFFE"),
    "a list in itself": ("a: &x [*x]", 1, "contains it"),
    "a mapping in itself": ("a: &x {b: *x}", 1, "contains it"),
    "a list in itself, further down": ("a: &x\n  - [1, [*x]]", 1, "contains it"),
    "deep flow lists": ("a: " + "[" * 20_000, 1, "nested more than 50"),
    "deep flow mappings": ("a: " + "{a: " * 20_000, 1, "nested more than 50"),
    "deep block lists": ("a:\n" + NESTED, 51, "nested more than 50"),
    "deep and closed": ("a: " + "[" * 100 + "]" * 100, 1, "nested more than 50"),
    "an alias bomb": (BOMB, 1, "aliases multiply"),
    "a key twice": ("a: 1\nb: 2\na: 3", 3, "'a' is given twice"),
    "a key twice further down": ("a:\n  b: 1\n  b: 2", 3, "'b' is given twice"),
    "a key twice, quoted": ("a: 1\n'a': 2", 2, "'a' is given twice"),
    "a number as key": ("1: a", 1, "must be a word"),
    "nothing as key": ("~: a", 1, "must be a word"),
    "truth as key": ("yes: a", 1, "must be a word"),
    "a date as key": ("a: 1\n2024-02-30: a", 2, "day is out of range"),
    "a list as key": ("? [a]\n: 1", 1, "must be a word"),
    "a mapping as key": ("? {a: 1}\n: 1", 1, "must be a word"),
    "a merge key": ("a: &x {b: 1}\nc:\n  <<: *x", 3, "write the keys out"),
    "code": ("a: !!python/object/apply:os.system [x]", 1, "not plain data"),
    "code in a scalar": ("a: !!python/name:os.system", 1, "could not determine a constructor"),
    "a tag of one's own": ("a: !mine {b: 1}", 1, "not plain data"),
    "a set": ("a: !!set {b, c}", 1, "not plain data"),
    "an ordered mapping": ("a: !!omap [b: 1]", 1, "not plain data"),
    "two documents": ("a: 1\n---\nb: 2", 2, "another document"),
    "a tab": ("a:\n\tb: 1", 2, "cannot start any token"),
    "an open quote": ('a: "x\n', 2, "end of stream"),
    "an open list": ("a: [x\n", 2, "expected ',' or ']'"),
    "an unknown alias": ("a: *x", 1, "undefined alias"),
    "an unknown directive": ("%FOO\n---\na: *x", 3, "undefined alias"),
    "a wrong indent": ("a:\n  b: 1\n c: 2", 3, "expected"),
    "octal": ("a: 010", 1, "'010' would be read as 8"),
    "base 60": ("a: 1\nb: 1:30", 2, "'1:30' would be read as 90"),
    "base 60 with a fraction": ("a: 1:30.5", 1, "would be read as 90.5"),
    "a colon in a value": ("a: b: c", 1, "mapping values are not allowed"),
}


@pytest.mark.parametrize("case", YAML)
def test_yaml(case: str) -> None:
    text, line, words = YAML[case]
    with pytest.raises(SpecError) as caught:
        parse_yaml(text, "study.yaml")
    message = one_line(caught.value)
    assert message.startswith(f"study.yaml:{line}: "), message
    assert words in message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 2024-02-28", {"a": "2024-02-28"}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("a: !!binary aGk=", {"a": "aGk="}),
        ("", None),
        ("# only a comment", None),
        ("a: é", {"a": "é"}),
        ("a: ['010', '1:30', 0, 00, 05, 0x10, 1_000]", {"a": ["010", "1:30", 0, 0, 5, 16, 1000]}),
    ],
)
def test_yaml_that_is_understood(text: str, value: object) -> None:
    assert parse_yaml(text, "study.yaml")[0] == value


@pytest.mark.parametrize("case", ["a key twice", "an alias bomb", "NUL", "deep flow lists"])
def test_a_spec_with_bad_yaml_ends_the_command_with_one_line(case: str, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(YAML[case][0], encoding="utf-8")
    result = invoke("plan", path)
    assert isinstance(result.exception, SpecError)
    assert result.exception.exit_code == 2
    assert str(path) in one_line(result.exception)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name: caf\xe9", "line 1, byte 9 (0xe9) is not UTF-8 (it may be Windows-1252)"),
        ("name: x".encode("utf-16"), "is UTF-16"),
        (b"a: " + b"x" * (1 << 20), "more than the limit of"),
        (b"", "a spec is a mapping"),
        (b"- a\n- b\n", "a spec is a mapping"),
        (b"just text", "a spec is a mapping"),
    ],
)
def test_spec_files(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(content)
    result = invoke("plan", path)
    assert isinstance(result.exception, SpecError)
    assert words in one_line(result.exception)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.text(st.sampled_from("a1:-[]{}&*!?|>'\"%@`,# \n\t<~.\\u"), max_size=40))
def test_any_yaml_is_data_or_one_line(text: str) -> None:
    try:
        parse_yaml(text, "study.yaml")
    except SpecError as error:
        one_line(error)


# -- CSV -------------------------------------------------------------------------------------

CSV: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    "only a mark": (b"\xef\xbb\xbf", "the file is empty"),
    "no such column": (b"txt,label\na,1\n", "no column 'text'; it has: 'txt', 'label'"),
    "semicolons": (b"text;label\na;1\n", "separated by semicolons"),
    "tabs": (b"text\tlabel\na\t1\n", "separated by tabs"),
    "a column twice": (b"text,label,text\na,1,b\n", "the column 'text' is given twice"),
    "another column twice": (b"text,label,x,x\na,1,b,c\n", "the column 'x' is given twice"),
    "too few fields": (b"text,label\na,1\nb\n", "line 3: 1 fields instead of 2"),
    "too many fields": (b"text,label\na,1\nb,1,2\n", "line 3: 3 fields instead of 2"),
    "a comma that is not quoted": (b"text,label\na, b,1\n", "line 2: 3 fields instead of 2"),
    "an open quote": (b'text,label\na,1\n"b,1\n', "line 3: unexpected end of data"),
    "a quote in the middle": (b'text,label\n"a"b,1\n', "line 2: "),
    "a blank text": (b"text,label\na,1\n  ,1\n", "line 3: empty text"),
    "no text": (b"text,label\na,1\n,1\n", "line 3: empty text"),
    "an unknown label": (b"text,label\na,1\nb,2\n", "line 3: unknown label '2'"),
    "no label": (b"text,label\na,\n", "line 2: unknown label ''"),
    "a label that is not a number": (b"text,label\na,nan\n", "line 2: unknown label 'nan'"),
    "a line after a text of lines": (b'text,label\n"a\nb\nc",1\nd,2\n', "line 5: unknown label"),
    "cp1252": (b"text,label\na,1\ncaf\xe9 \x93x\x94,1\n", "line 3, byte 18 (0xe9) is not UTF-8"),
    "cp1252 says so": (b"text,label\n\x93x\x94,1\n", "may be Windows-1252"),
    "not even cp1252": (b"text,label\n\x81\x8d,1\n", "line 2, byte 11 (0x81) is not UTF-8;"),
    "UTF-16": ("text,label\na,1\n".encode("utf-16"), "the file is UTF-16"),
    "UTF-16, big": (b"\xfe\xff\x00t\x00e", "the file is UTF-16"),
    "UTF-32": ("text,label\na,1\n".encode("utf-32"), "the file is UTF-32"),
    "UTF-16 without a mark": ("text,label\na,1\n".encode("utf-16-le"), "line 1: a NUL character"),
    "NUL": (b"text,label\na,1\nb\0,1\n", "line 3: a NUL character"),
    "half of a character": (b"text,label\n\xed\xa0\xbd,1\n", "line 2, byte 11 (0xed)"),
    "a cut character": (b"text,label\na,1\n\xf0\x9f", "line 3, byte 15 (0xf0)"),
    "returns only": (b"text,label\ra,1\rb,1\r", "line 1: "),
    "a zip": (b"PK\x03\x04\x14\x00\x06\x00", "line 1: a NUL character"),
    "a gzip": (b"\x1f\x8b\x08\x00abc", "line 1, byte 1 (0x8b)"),
    "JSON": (b'[{"text": "a"}]', "no column 'text', 'label'"),
    "HTML": (b"<!DOCTYPE html><html><body>404</body></html>", "no column 'text', 'label'"),
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "no column 'text'"),
}


@pytest.mark.parametrize("case", CSV)
def test_csv(case: str, tmp_path: Path) -> None:
    content, words = CSV[case]
    path = tmp_path / "own.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        passages(path, label="label")
    message = one_line(caught.value)
    assert message.startswith(f"{path}: "), message
    assert words in message


CSV_READ: dict[str, tuple[bytes, list[str]]] = {
    "a mark": (b"\xef\xbb\xbftext,label\na,1\n", ["a"]),
    "CRLF": (b"text,label\r\na,1\r\nb,1\r\n", ["a", "b"]),
    "a bare return in quotes": (b'text,label\n"a\rb",1\n', ["a\rb"]),
    "lines in quotes": (b'text,label\n"a\nb",1\n', ["a\nb"]),
    "doubled quotes": (b'text,label\n"a ""b""",1\n', ['a "b"']),
    "blank lines": (b"text,label\n\na,1\n\n\nb,1\n", ["a", "b"]),
    "no last line end": (b"text,label\na,1", ["a"]),
    "True": (b"text,label\na,True\nb,False\n", ["a"]),
    "TRUE": (b"text,label\na,TRUE\nb,FALSE\n", ["a"]),
    "1.0": (b"text,label\na,1.0\nb,0.0\n", ["a"]),
    "spaces around a label": (b"text,label\na, 1 \nb, 0\n", ["a"]),
    "an index as pandas writes it": (b",text,label\n0,a,1\n1,b,0\n", ["a"]),
    "NA is a text": (b"text,label\nNA,1\nnull,1\nNone,1\n", ["NA", "null", "None"]),
    "an emoji": ("text,label\n\U0001f600,1\n".encode(), ["\U0001f600"]),
    "a long field": (b"text,label\n" + b"ab " * 50_000 + b",1\n", ["ab " * 50_000]),
    "a formula stays a text": (b"text,label\n=1+1,1\n", ["=1+1"]),
    "rich markup stays a text": (b"text,label\n[red]a[/red],1\n", ["[red]a[/red]"]),
}


@pytest.mark.parametrize("case", CSV_READ)
def test_csv_that_is_understood(case: str, tmp_path: Path) -> None:
    content, texts = CSV_READ[case]
    path = tmp_path / "own.csv"
    path.write_bytes(content)
    assert sorted(passages(path, label="label")) == sorted(texts)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(content=st.binary(max_size=60), head=st.sampled_from([b"", b"text,label\n", b"text\n"]))
def test_any_csv_is_read_or_one_line(
    content: bytes, head: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("csv") / "own.csv"
    path.write_bytes(head + content)
    try:
        texts = passages(path)
    except DataError as error:
        one_line(error)
    else:
        assert all(text.strip() for text in texts)


# -- JSON lines ------------------------------------------------------------------------------

GOOD = '{"text": "a", "label": 1}\n'

JSONL: dict[str, tuple[str, str]] = {
    "not JSON": (GOOD + "text\n", "line 2: not JSON"),
    "a cut line": (GOOD + '{"text": "b', "line 2: not JSON"),
    "a list": (GOOD + "[1]\n", "line 2: not a JSON object"),
    "a number": (GOOD + "1\n", "line 2: not a JSON object"),
    "null": (GOOD + "null\n", "line 2: not a JSON object"),
    "no text": (GOOD + '{"label": 1}\n', "line 2: no column 'text'"),
    "no label": (GOOD + '{"text": "b"}\n', "line 2: no column 'label'"),
    "a number as text": (GOOD + '{"text": 1, "label": 1}\n', "line 2: 'text' is not a text: 1"),
    "null as text": (GOOD + '{"text": null, "label": 1}\n', "line 2: 'text' is not a text: None"),
    "a list as text": (GOOD + '{"text": ["b"], "label": 1}\n', "line 2: 'text' is not a text"),
    "a blank text": (GOOD + '{"text": " ", "label": 1}\n', "line 2: empty text"),
    "a list as label": (GOOD + '{"text": "b", "label": [1]}\n', "line 2: unknown label '[1]'"),
    "an object as label": (GOOD + '{"text": "b", "label": {}}\n', "line 2: unknown label '{}'"),
    "null as label": (GOOD + '{"text": "b", "label": null}\n', "line 2: unknown label ''"),
    "half of a character": (
        GOOD + '{"text": "\\ud83d", "label": 1}\n',
        "line 2: the text of 'text'",
    ),
    "the other half": (GOOD + '{"text": "\\ude00!", "label": 1}\n', "line 2: the text of 'text'"),
    "halves the wrong way": (GOOD + '{"text": "\\ude00\\ud83d", "label": 1}\n', "line 2: the text"),
    "half of a character elsewhere": (
        GOOD + '{"text": "b", "label": 1, "by": {"name": ["\\ud83d"]}}\n',
        "line 2: the text of 'name'",
    ),
    "half of a character as key": (GOOD + '{"text": "b", "label": 1, "\\ud83d": 2}\n', "line 2: "),
    "a key twice": (GOOD + '{"text": "b", "text": "c", "label": 1}\n', "'text' is given twice"),
    "deep": (GOOD + "[" * 100_000 + "\n", "line 2: JSON that is nested too deeply"),
    "an endless number": (GOOD + '{"text": "b", "label": ' + "1" * 5000 + "}\n", "line 2: Exceeds"),
    "infinity": (GOOD + '{"text": "b", "label": Infinity}\n', "line 2: unknown label 'inf'"),
    "NUL": (GOOD + '{"text": "\0", "label": 1}\n', "line 2: a NUL character"),
    "one long list": ('[{"text": "a", "label": 1}]\n', "line 1: not a JSON object"),
}


@pytest.mark.parametrize("case", JSONL)
def test_jsonl(case: str, tmp_path: Path) -> None:
    content, words = JSONL[case]
    path = tmp_path / "own.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        passages(path, label="label")
    message = one_line(caught.value)
    assert message.startswith(f"{path}: line "), message
    assert words in message


@pytest.mark.parametrize("label", ["1", "1.0", "true", '"1"', '"True"', '"hate"', '" hateful "'])
def test_labels_of_json(label: str, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    emoji = json.dumps("\U0001f600")
    path.write_text(f'{{"text": {emoji}, "label": {label}}}\n\n', encoding="utf-8")
    assert passages(path, label="label") == ["\U0001f600"]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.text(st.sampled_from('{}[]",:\\ud83n text1.e-'), max_size=40))
def test_any_jsonl_is_read_or_one_line(text: str) -> None:
    from harness.data.tabular import parse_json

    try:
        parse_json(text, "own.jsonl: line 1")
    except DataError as error:
        one_line(error)


# -- Parquet ---------------------------------------------------------------------------------


def parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-20])
    return path


def damaged(path: Path) -> Path:
    content = bytearray(path.read_bytes())
    content[20:60] = b"\xff" * 40
    path.write_bytes(content)
    return path


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


PARQUET: dict[str, tuple[Callable[[Path], Path], str]] = {
    "empty": (lambda p: written(p, b""), "cannot be read as Parquet"),
    "a text": (lambda p: written(p, b"text,label\na,1\n" * 9), "cannot be read as Parquet"),
    "only the magic": (lambda p: written(p, b"PAR1PAR1PAR1"), "cannot be read as Parquet"),
    "cut": (lambda p: cut(parquet(p, text=["a"] * 99, label=[1] * 99)), "read as Parquet"),
    "damaged": (lambda p: damaged(parquet(p, text=["a"] * 99, label=[1] * 99)), "as Parquet"),
    "no column": (lambda p: parquet(p, txt=["a"], label=[1]), "no column 'text'"),
    "numbers as texts": (lambda p: parquet(p, text=[1], label=[1]), "line 1: 'text' is not a text"),
    "a missing text": (
        lambda p: parquet(p, text=["a", None], label=[1, 1]),
        "line 2: 'text' is not",
    ),
    "bytes as texts": (
        lambda p: parquet(p, text=[b"a"], label=[1]),
        "line 1: 'text' is not a text",
    ),
    "a blank text": (lambda p: parquet(p, text=["a", ""], label=[1, 1]), "line 2: empty text"),
    "a missing label": (lambda p: parquet(p, text=["a"], label=[None]), "line 1: unknown label ''"),
    "a column twice": (
        lambda p: _twice(p),
        "the column 'text' is given twice",
    ),
}


def _twice(path: Path) -> Path:
    names = ["text", "text", "label"]
    pq.write_table(pa.Table.from_arrays([["a"], ["b"], [1]], names=names), path)
    return path


@pytest.mark.parametrize("case", PARQUET)
def test_parquet(case: str, tmp_path: Path) -> None:
    make, words = PARQUET[case]
    path = make(tmp_path / "own.parquet")
    with pytest.raises(DataError) as caught:
        passages(path, label="label")
    message = one_line(caught.value)
    assert message.startswith(f"{path}: "), message
    assert words in message


@pytest.mark.parametrize("label", [[1], [1.0], [True], ["1"], [b"1".decode()]])
def test_labels_of_parquet(label: list[Any], tmp_path: Path) -> None:
    path = parquet(tmp_path / "own.parquet", text=["a"], label=label)
    assert passages(path, label="label") == ["a"]


# -- what is not a file ----------------------------------------------------------------------


def _pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _socket(path: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _link(path: Path, target: str) -> Path:
    path.symlink_to(target)
    return path


NOT_FILES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nothing": (lambda p: p, "No such file"),
    "a folder": (_folder, "not a file"),
    "a pipe": (_pipe, "not a file"),
    "a dead link": (lambda p: _link(p, "nowhere.csv"), "No such file"),
    "a link to itself": (lambda p: _link(p, p.name), "symbolic links"),
    "a link to a device": (lambda p: _link(p, "/dev/zero"), "not a file"),
    "a link to a pipe": (lambda p: _link(p, str(_pipe(p.with_name("pipe")))), "not a file"),
    "a long name": (lambda p: p.with_name("x" * 300 + p.suffix), "File name too long"),
    "a long path": (lambda p: Path(f"{p.parent}/{'x/' * 4000}{p.name}"), "File name too long"),
    "a NUL": (lambda p: p.with_name(f"a\0b{p.suffix}"), "null byte"),
    "a line end": (lambda p: p.with_name(f"a\nb{p.suffix}"), "No such file"),
    "no such user": (lambda p: Path(f"~nobody-at-all/{p.name}"), "No such file"),
    "below a file": (lambda p: written(p.with_name("f"), b"") / p.name, "Not a directory"),
}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("case", NOT_FILES)
def test_not_files(case: str, suffix: str, tmp_path: Path) -> None:
    make, words = NOT_FILES[case]
    path = make(tmp_path / f"own{suffix}")
    with pytest.raises(DataError) as caught:
        passages(path)
    assert words in one_line(caught.value)


@pytest.mark.parametrize("case", NOT_FILES)
def test_specs_that_are_not_files(case: str, tmp_path: Path) -> None:
    path = NOT_FILES[case][0](tmp_path / "own.yaml")
    result = invoke("plan", path)
    assert isinstance(result.exception, SpecError), result.exception
    one_line(result.exception)


@pytest.mark.parametrize("reader", [read_terms, read_counterparts])
@pytest.mark.parametrize("case", NOT_FILES)
def test_word_lists_that_are_not_files(
    case: str, reader: Callable[[Path], object], tmp_path: Path
) -> None:
    path = NOT_FILES[case][0](tmp_path / "own.txt")
    with pytest.raises(DataError, match="cannot be read") as caught:
        reader(path)
    one_line(caught.value)


def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.csv"
    with path.open("wb") as stream:
        stream.truncate(5 << 30)  # a sparse file: it takes no space
    with pytest.raises(DataError, match="more than the limit of"):
        passages(path)


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


def test_a_bad_corpus_costs_its_own_cells_only(tmp_path: Path) -> None:
    """A plan with a sound corpus and a bad one shows the problem and plans the rest."""
    bad = written(tmp_path / "bad.jsonl", JSONL["half of a character"][0].encode())
    spec = tmp_path / "study.yaml"
    spec.write_text(
        "model: smollm2-135m\n"
        "corpus:\n  - embedded\n"
        f"  - {{use: file, path: {bad}, label: label, domain_value: gender}}\n"
        "source: gender\nmasker: wordlist\ndebiaser: gradient-ascent\n"
        "evaluators: embedded-pairs\n",
        encoding="utf-8",
    )
    result = invoke("plan", spec, "--results", tmp_path / "runs")
    assert result.exit_code == 1, result.output
    assert not isinstance(result.exception, HarnessError)
    words = " ".join(result.output.split())
    assert "half of a character" in words
    assert "line 2" in words
