"""Run folders with broken files: one line that names the file, and no table from wrong content.

Each case breaks one file of a small run. `harness verify` must name that file, and a command that
reads it must either refuse it in one line or show what it showed before.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from made_runs import made_key, make_run

from harness.cli.main import cli
from harness.errors import HarnessError, StoreError
from harness.storage.seals import sealed, unsealed
from harness.storage.store import Store

LIMIT = 20.0
"""Seconds of this process that a command may take on a broken run."""

BASE, AFTER = made_key("pairs-base-0"), made_key("pairs-mlm-unlearning-wordlist-gender-0-10")
FILES = {
    "index": "index.json",
    "record": f"records/{AFTER}.json",
    "base record": f"records/{BASE}.json",
    "items": f"items/{AFTER}.json.gz",
    "failure": "failures/{}.json",
    "packed records": "records.jsonl.gz",
    "packed items": "items.jsonl.gz",
}


class Case(NamedTuple):
    """A file, and what to do to it."""

    file: str
    name: str
    act: Callable[[Path], None]


def content(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """An act that changes the bytes of a file."""
    return lambda path: path.write_bytes(change(path.read_bytes()))


def replaced(act: Callable[[Path], None]) -> Callable[[Path], None]:
    """An act that puts something else in the place of a file."""

    def put(path: Path) -> None:
        path.unlink()
        act(path)

    return put


def resealed(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """An act that changes the JSON of a file and gives it a hash that fits."""

    def act(path: Path) -> None:
        text, _ = unsealed(path.read_bytes())
        changed = json.dumps(change(json.loads(text)), separators=(",", ":")).encode()
        path.write_bytes(sealed(changed) if changed.startswith(b'{"') else changed)

    return act


def rezipped(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """An act that changes the JSON of items, and the record's hash of them."""

    def act(path: Path) -> None:
        items = json.loads(gzip.decompress(path.read_bytes()))
        path.write_bytes(gzip.compress(json.dumps(change(items)).encode(), mtime=0))
        record = path.parents[1] / "records" / path.name.removesuffix(".gz")
        text, _ = unsealed(record.read_bytes())
        loose = json.loads(text)
        del loose["items_sha256"]
        record.write_bytes(sealed(json.dumps(loose, separators=(",", ":")).encode()))

    return act


RAW: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "one brace": lambda _: b"{",
    "null": lambda _: b"null",
    "a list": lambda _: b"[]",
    "a string": lambda _: b'"x"',
    "a number": lambda _: b"1",
    "zeros": lambda old: b"\0" * len(old),
    "noise": lambda old: random.Random(0).randbytes(len(old)),
    "UTF-16": lambda old: old.decode("latin-1").encode("utf-16"),
    "a byte order mark": lambda old: b"\xef\xbb\xbf" + old,
    "half": lambda old: old[: len(old) // 2],
    "all but the end": lambda old: old[:-1],
    "twice": lambda old: old + old,
    "a stray byte": lambda old: old[:40] + b"\xff" + old[40:],
    "deeply nested": lambda _: b"[" * 100_000 + b"]" * 100_000,
    "deeply nested objects": lambda _: b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "a page": lambda _: b"<!doctype html><title>Sign in</title>",
    "another gzip": lambda _: gzip.compress(b"{}"),
    "a bomb": lambda _: gzip.compress(b" " * 2**26, 1),
}
PLACES: dict[str, Callable[[Path], None]] = {
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a dead link": lambda path: path.symlink_to("/nowhere/at/all"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to a secret": lambda path: path.symlink_to("/etc/passwd"),
}
OTHERS: tuple[Any, ...] = (None, 7, "x", [[]], {"a": {}})


def fields(file: str, names: dict[str, Any]) -> Iterator[Case]:
    """Each field of an object missing, and of another type."""
    for name, fine in names.items():
        yield Case(file, f"no {name}", resealed(_without(name)))
        wrong = next(other for other in OTHERS if type(other) is not type(fine))
        yield Case(file, f"{name} of another type", resealed(_with(name, wrong)))


def _without(name: str) -> Callable[[Any], Any]:
    return lambda data: {key: value for key, value in data.items() if key != name}


def _with(name: str, value: Any) -> Callable[[Any], Any]:
    return lambda data: {**data, name: value}


def _in_cell(**changes: Any) -> Callable[[Any], Any]:
    def change(data: Any) -> Any:
        cells = list(data["cells"])
        cells[1] = {**cells[1], **changes}
        return {**data, "cells": cells}

    return change


def _in_ref(**changes: Any) -> Callable[[Any], Any]:
    return lambda data: _in_cell(
        measures=[{**ref, **changes} for ref in data["cells"][1]["measures"]]
    )(data)


def _in_metric(**changes: Any) -> Callable[[Any], Any]:
    def change(data: Any) -> Any:
        first, *rest = data["measurements"]
        metrics = [{**metric, **changes} for metric in first["metrics"]]
        return {**data, "measurements": [{**first, "metrics": metrics}, *rest]}

    return change


def _in_item(**changes: Any) -> Callable[[Any], Any]:
    return lambda groups: [[{**item, **changes} for item in group] for group in groups]


def _values(value: Any) -> Callable[[Any], Any]:
    return lambda groups: [
        [{**item, "values": dict.fromkeys(item["values"], value)} for item in group]
        for group in groups
    ]


CASES = [
    *(
        Case(file, name, content(change))
        for file in ("index", "record", "items", "packed records", "packed items")
        for name, change in RAW.items()
        if not (file == "packed items" and name in ("twice", "all but the end"))
    ),
    *(
        Case(file, name, replaced(act))
        for file in ("index", "record", "items", "packed records", "packed items")
        for name, act in PLACES.items()
    ),
    *fields("index", {"name": "", "created_at": "", "targets": [], "cells": [], "spec": {}}),
    *fields("record", {"key": "", "inputs": {}, "measurements": [], "provenance": {}}),
    Case("index", "an unknown field", resealed(_with("more", 1))),
    Case("index", "another schema", resealed(_with("schema_version", 2))),
    Case("record", "another schema", resealed(_with("schema_version", 99))),
    Case("record", "an unknown field", resealed(_with("more", 1))),
    Case("record", "another key", resealed(_with("key", BASE))),
    Case("record", "a path as key", resealed(_with("key", "../../etc/passwd"))),
    Case("record", "a path as masks", resealed(_with("masks", "/etc/passwd"))),
    Case("record", "no measurement", resealed(_with("measurements", []))),
    *(
        Case("index", f"{name} in a cell", resealed(_in_cell(**{name: value})))
        for name, value in {
            "model": None,
            "debiaser": 3,
            "seed": "x",
            "control_kind": "other",
            "measures": None,
            "fit_key": "../x",
            "more": 1,
        }.items()
    ),
    *(
        Case("index", f"{name} {value!r} in a measure", resealed(_in_ref(**{name: value})))
        for name, value in (
            ("step", -1),
            ("step", "x"),
            ("key", "../x"),
            ("key", "/etc/passwd"),
            ("key", ""),
            ("evaluator", None),
        )
    ),
    *(
        Case("record", f"{name} {value!r} in a metric", resealed(_in_metric(**{name: value})))
        for name, value in (
            ("value", "x"),
            ("value", 12.5),
            ("n", -1),
            ("n", 1.5),
            ("of", []),
            ("of", ["none"]),
            ("estimator", "none"),
            ("estimator", 3),
            ("direction", {"kind": "sideways"}),
            ("stratum", 3),
        )
    ),
    *(
        Case("items", f"{name} {value!r}", rezipped(_in_item(**{name: value})))
        for name, value in (
            ("id", 3),
            ("id", None),
            ("id", ["x"]),
            ("cluster", 3),
            ("stratum", {}),
            ("values", None),
            ("values", 3),
        )
    ),
    *(
        Case("items", f"each value {value!r:.20}", rezipped(_values(value)))
        for value in ("x", None, [1], {}, True, 10**400)
    ),
    Case("items", "one measurement less", rezipped(lambda groups: groups[1:])),
    Case("items", "one measurement more", rezipped(lambda groups: [*groups, []])),
    Case("items", "one item less", rezipped(lambda groups: [group[1:] for group in groups])),
    Case("items", "no list", rezipped(lambda _: {"a": 1})),
    Case("items", "no object", rezipped(lambda _: [[1]])),
    *(Case("failure", name, content(RAW[name])) for name in ("empty", "noise", "twice", "null")),
    *(Case("failure", name, replaced(PLACES[name])) for name in PLACES),
]


FORGED = {
    "no measurement",
    "value 12.5 in a metric",
    "of ['none'] in a metric",
    "estimator 'none' in a metric",  # it may be one of a plugin that is not installed
    "one item less",
}
"""Made with a hash that fits: only `harness verify` can tell, from the items and inputs."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    store = make_run(
        folder, sources=("gender", "race"), targets=("gender",), steps=(10,),
        evaluators=("pairs",), identity=False, fail={("race", 10)},
    )  # fmt: skip
    packed = folder / "packed"
    shutil.copytree(store.folder, packed)
    Store(packed).pack()
    return folder


def run(*words: object) -> tuple[int, str]:
    """Exit code and output of a command; fails on a traceback, a second line, or a long wait."""
    started = time.process_time()
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert time.process_time() - started < LIMIT
    if isinstance(result.exception, HarnessError):
        assert len(str(result.exception).splitlines()) == 1
        return result.exception.exit_code, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


READERS: dict[str, Callable[[Path, Path], tuple[object, ...]]] = {
    "matrix": lambda folder, _: ("matrix", folder),
    "leaderboard": lambda folder, _: ("leaderboard", folder),
    "export": lambda folder, _: ("export", folder, "--format", "json"),
    "compare": lambda folder, other: ("compare", folder, other),
    "show": lambda folder, _: ("show", folder, "gender", "--no-text"),
    "explain": lambda folder, _: ("explain", folder, AFTER),
    "report": lambda folder, other: ("report", folder, "--out", other.parent / "page.html"),
}


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda k: f"{CASES[k][0]}: {CASES[k][1]}")
def test_a_broken_file_is_named_and_changes_no_table(
    whole: Path, tmp_path: Path, number: int
) -> None:
    case = CASES[number]
    packed = case.file.startswith("packed")
    good = whole / ("packed" if packed else "made-run")
    folder = tmp_path / "run"
    shutil.copytree(good, folder)
    failure = next(good.glob("failures/*.json"), Path("none"))
    path = folder / FILES[case.file].format(failure.stem)
    case.act(path)
    key = path.name.partition(".")[0]

    code, output = run("verify", folder)
    _, before = run("verify", good)
    assert code != 0
    named = [line for line in output.splitlines() if key in line and line not in before]
    if case.file == "packed items":
        named = [line for line in output.splitlines() if path.name in line]
    assert named, output

    name = list(READERS)[number % len(READERS)]
    words = READERS[name]
    code, output = run(*words(folder, whole / "made-run"))
    expected = run(*words(good, whole / "made-run"))
    if case.name in FORGED:
        return
    if code != 0:
        assert path.name in output or key in output, output
    elif case.file != "failure":
        assert output == expected[1].replace(str(good), str(folder))


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 150
    names = [case[:2] for case in CASES]
    assert [name for name in names if names.count(name) > 1] == []


@pytest.mark.parametrize("name", ["nowhere", "file", "empty"])
@pytest.mark.parametrize("command", ["matrix", "verify", "pack", "export", "report", "show"])
def test_what_is_not_a_run_is_said_in_one_line(tmp_path: Path, command: str, name: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    words = [command, tmp_path / name, *(["cell"] if command == "show" else [])]
    code, output = run(*words)
    assert code == StoreError.exit_code
    assert output.startswith("no run")
