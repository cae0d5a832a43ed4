"""Bad files: each is one line that names file and place, or is understood as it says here.

No case may end in a trace, hang, or give passages that are not in the file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import invoke
from harness_corpora.domains import BUILT_IN
from harness_corpora.file import File, FileConfig
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_files import NOT_FILES, one_line, written

from harness.data.places import DataStore
from harness.errors import DataError, HarnessError
from harness.types import PassageRequest

pytestmark = pytest.mark.usefixtures("no_hang")


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


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("case", NOT_FILES)
def test_not_files(case: str, suffix: str, tmp_path: Path) -> None:
    make, words = NOT_FILES[case]
    path = make(tmp_path / f"own{suffix}")
    with pytest.raises(DataError) as caught:
        passages(path)
    assert words in one_line(caught.value)


def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.csv"
    with path.open("wb") as stream:
        stream.truncate(5 << 30)  # a sparse file: it takes no space
    with pytest.raises(DataError, match="more than the limit of"):
        passages(path)


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
