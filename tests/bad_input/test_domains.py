"""The section ``domains`` of a spec, and the files that it names: what is understood and refused.

A term that is in no text would silently mask nothing, so what cannot be a term is refused.
"""

from __future__ import annotations

import codecs
import gzip
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.errors import SpecError
from harness.planning.spec import Spec
from harness.planning.spec_reader import load_spec
from harness.plugins import Registry, load_registry

BASE = {
    "name": "own",
    "model": {"use": "hf", "id": "gpt2"},
    "corpus": "embedded",
    "source": "gender",
    "masker": "wordlist",
    "debiaser": "identity",
    "evaluators": "embedded-pairs",
    "steps": [1],
}

LOOP = "a link to itself"
PIPE = "a pipe"
FOLDER = "a folder"
SPARSE = "five gigabytes"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(strict=True)


@pytest.fixture
def read(registry: Registry, tmp_path: Path) -> Callable[[Any], Spec]:
    """Reads a spec with a section ``domains``, given as a value or as YAML text."""

    def read(domains: Any) -> Spec:
        text = yaml.safe_dump(BASE)
        text += domains if isinstance(domains, str) else yaml.safe_dump({"domains": domains})
        (tmp_path / "spec.yaml").write_text(text, "utf-8")
        return load_spec(tmp_path / "spec.yaml", registry)

    return read


def make(path: Path, content: bytes | str) -> None:
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == PIPE:
        os.mkfifo(path)
    elif content == FOLDER:
        path.mkdir()
    elif content == LOOP:
        path.symlink_to(path.name)
    else:
        path.touch()
        os.truncate(path, 5 << 30)


TERMS = ("dalit", "dalits")

UNDERSTOOD = {
    "lines": b"dalit\ndalits\n",
    "no line end": b"dalit\ndalits",
    "CRLF": b"dalit\r\ndalits\r\n",
    "old Macs": b"dalit\rdalits\r",
    "a byte-order mark": codecs.BOM_UTF8 + b"dalit\ndalits\n",
    "a mark, then a comment": codecs.BOM_UTF8 + b"# terms\ndalit\ndalits\n",
    "blanks and comments": b"\n  dalit  \n# more\n\tdalits\n\n",
    "twice, in other letter case": b"dalit\nDalit\nDALITS\ndalits\n",
}


@pytest.mark.parametrize("content", UNDERSTOOD.values(), ids=UNDERSTOOD)
def test_a_file_of_terms_is_understood(
    content: bytes, read: Callable[[Any], Spec], tmp_path: Path
) -> None:
    make(tmp_path / "terms.txt", content)
    (domain,) = read({"caste": {"terms": {"dalits": "terms.txt"}}}).domains
    assert domain.terms == {"dalits": TERMS}


UNREADABLE: dict[str, tuple[bytes | str | None, str]] = {
    "missing": (None, "terms.txt: cannot be read: No such file"),
    "empty": (b"", "has no term; write one on each line"),
    "comments only": (b"# a\n\n# b\n", "has no term; write one on each line"),
    "Windows-1252": ("café\n".encode("cp1252"), "line 1, byte 3 (0xe9) is not UTF-8"),
    "UTF-16": ("dalit\n".encode("utf-16"), "the file is UTF-16; convert it to UTF-8"),
    "UTF-32": ("dalit\n".encode("utf-32"), "convert it to UTF-8"),
    "a NUL": (b"da\0lit\n", "line 1: a NUL character"),
    "gzip": (gzip.compress(b"dalit\n"), "is not UTF-8"),
    "a pipe": (PIPE, "terms.txt: cannot be read: it is a pipe"),
    "a folder": (FOLDER, "terms.txt: cannot be read: it is a folder"),
    "a link to itself": (LOOP, "terms.txt: cannot be read"),
    "five gigabytes": (SPARSE, "5,368,709,120 bytes, more than the limit of 4,194,304"),
    "one long line": (b"a" * 5000, "a term of 5,000 characters"),
    "commas": (b"dalit, dalits\n", "'dalit, dalits' has several words between marks"),
    "semicolons": (b"dalit;dalits\n", "write one term on each line"),
    "tabs": (b"dalit\tdalits\n", "write one term on each line"),
    "bullets": (b"- dalit\n- dalits\n", "'- dalit' begins with a bullet"),
    "quotation marks": ("“dalit”\n".encode(), "is in quotation marks"),
}


@pytest.mark.parametrize(("content", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_that_holds_no_terms_is_named_in_one_line(
    content: bytes | str | None, reason: str, read: Callable[[Any], Spec], tmp_path: Path
) -> None:
    if content is not None:
        make(tmp_path / "terms.txt", content)
    started = time.process_time()
    with pytest.raises(SpecError) as caught:
        read({"caste": {"terms": {"dalits": "terms.txt"}}})
    assert time.process_time() - started < 2
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'spec.yaml'}:")
    assert "\n" not in said
    assert reason in said


def own(**keys: Any) -> dict[str, Any]:
    return {"caste": {"terms": {"dalits": ["dalit"]}, **keys}}


MISTAKES: dict[str, tuple[Any, str]] = {
    "a list of domains": ([1], "give a mapping of names to domains"),
    "nothing": ("domains:\n", "give a mapping of names to domains"),
    "an empty domain": ({"caste": None}, "domain 'caste': give description, terms"),
    "a list as domain": ({"caste": [1]}, "domain 'caste': give description, terms"),
    "a number as name": ({5: {"terms": ["a"]}}, "a key must be a word, not 5"),
    "a path as name": ({"../up": {"terms": ["a"]}}, "'../up' is not a name"),
    "an accent apart": ({"cafe\u0301": {"terms": ["a"]}}, "write both as one character"),
    "a long name": ({"x" * 300: {"terms": ["a"]}}, "at most 64 characters, not 300"),
    "the name of no domain": ({"none": {"terms": ["a"]}}, "has a meaning of its own"),
    "the name of all domains": ({"overall": {"terms": ["a"]}}, "has a meaning of its own"),
    "a built-in name in other letter case": (
        {"Gender": {"terms": ["a"]}},
        "differs from 'gender' in letter case alone",
    ),
    "two names in other letter case": (
        {"caste": {"terms": ["a"]}, "Caste": {"terms": ["b"]}},
        "in letter case alone",
    ),
    "a name twice": ("domains: {a: {terms: [x]}, a: {terms: [y]}}\n", "'a' is given twice"),
    "an unknown key": ({"caste": {"term": ["a"]}}, "unknown key 'term'; did you mean 'terms'"),
    "no terms in a group": ({"caste": {"terms": {"a": None}}}, "give a list of words or the name"),
    "an empty list": ({"caste": {"terms": {"a": []}}}, "give a list of words or the name"),
    "terms without value": ({"caste": {"terms": None}}, "give a list of words or the name"),
    "a number as terms": ({"caste": {"terms": 5}}, "give a list of words or the name of a file"),
    "a number as term": ({"caste": {"terms": {"a": [5]}}}, "give a list of words or the name"),
    "a truth value as term": (
        "domains: {caste: {terms: {a: [no, yes]}}}\n",
        "give a list of words or the name of a file",
    ),
    "an empty term": ({"caste": {"terms": {"a": ["x", ""]}}}, "group 'a' has no term, or an empty"),
    "a blank term": ({"caste": {"terms": {"a": ["x", " "]}}}, "group 'a' has no term, or an empty"),
    "a term with a comma": ({"caste": {"terms": {"a": ["x, y"]}}}, "'x, y' has several words"),
    "an unknown in-group": (own(in_groups=["b"]), "in_groups: there is no group 'b'"),
    "a word as in-groups": (own(in_groups="dalits"), "in_groups: Input should be a valid tuple"),
    "a word as truth value": (own(everyday="maybe"), "everyday: Input should be a valid boolean"),
    "a list as description": (own(description=[1]), "the description must be a text"),
    "counterparts: no file": (own(counterparts="no.csv"), "no.csv: cannot be read: No such file"),
    "counterparts: one role": (own(counterparts=[["a"], ["b"]]), "list of rows with the roles"),
    "counterparts: too few words": (
        own(counterparts=[["a", "b"], ["x"]]),
        "list of rows with the roles",
    ),
    "counterparts: roles alone": (own(counterparts=[["a", "b"]]), "list of rows with the roles"),
    "counterparts: numbers": (
        own(counterparts=[["a", "b"], [1, 2]]),
        "list of rows with the roles",
    ),
    "counterparts: a mapping": (own(counterparts={"a": "b"}), "list of rows with the roles"),
    "counterparts: a role twice": (
        own(counterparts=[["a", "a"], ["x", "y"]]),
        "two roles have one name: a, a",
    ),
}


@pytest.mark.parametrize(("domains", "reason"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_with_its_place(
    domains: Any, reason: str, read: Callable[[Any], Spec], tmp_path: Path
) -> None:
    with pytest.raises(SpecError) as caught:
        read(domains)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'spec.yaml'}:")
    assert "\n" not in said
    assert reason in said


ROWS = {
    "semicolons": (b"a;b\nx;y\n", "line 1: give two or more words between commas"),
    "tabs": (b"a\tb\nx\ty\n", "line 1: give two or more words between commas"),
    "too few words": (b"a,b\nx\n", "line 2: give 2 words between commas"),
    "an empty word": (b"a,b\nx,\n", "line 2: give 2 words between commas"),
    "a quoted comma": (b'a,b\n"x, z",y\n', "line 2: give 2 words between commas"),
    "roles alone": (b"a,b\n", "at least one row of words"),
    "Windows-1252": ("a,b\né,y\n".encode("cp1252"), "line 2, byte 4 (0xe9) is not UTF-8"),
    "a pipe": (PIPE, "it is a pipe"),
}


@pytest.mark.parametrize(("content", "reason"), ROWS.values(), ids=ROWS)
def test_a_file_of_counterparts_that_is_wrong_is_named_in_one_line(
    content: bytes | str, reason: str, read: Callable[[Any], Spec], tmp_path: Path
) -> None:
    make(tmp_path / "rows.csv", content)
    with pytest.raises(SpecError) as caught:
        read(own(counterparts="rows.csv"))
    said = str(caught.value)
    assert "\n" not in said
    assert f"{tmp_path / 'rows.csv'}: " in said
    assert reason in said


def test_a_spec_may_say_what_a_built_in_domain_means(
    read: Callable[[Any], Spec], registry: Registry
) -> None:
    (domain,) = read({"gender": {"terms": {"women": ["lass", "lasses"]}}}).domains
    assert (registry.domains | [domain])["gender"].attribute_terms() == ("lass", "lasses")


def test_a_term_of_two_groups_counts_once(read: Callable[[Any], Spec]) -> None:
    (domain,) = read({"caste": {"terms": {"a": ["dalit", "x"], "b": ["dalit"]}}}).domains
    assert domain.attribute_terms() == ("dalit", "x")
