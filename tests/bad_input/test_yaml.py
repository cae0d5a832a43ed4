"""Malformed YAML and spec files: one line that says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import invoke
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_files import NOT_FILES, one_line

from harness.errors import SpecError
from harness.planning.yaml_lines import parse_yaml

pytestmark = pytest.mark.usefixtures("no_hang")


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
    "a custom tag": ("a: !mine {b: 1}", 1, "not plain data"),
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


@pytest.mark.parametrize("case", NOT_FILES)
def test_specs_that_are_not_files(case: str, tmp_path: Path) -> None:
    path = NOT_FILES[case][0](tmp_path / "own.yaml")
    result = invoke("plan", path)
    assert isinstance(result.exception, SpecError), result.exception
    one_line(result.exception)
