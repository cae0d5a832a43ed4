"""Malformed specs, overrides and command lines: one line that says where, and an exit code."""

from __future__ import annotations

import string
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_plugins import TOY_SPEC, toy_registry

from harness.cli.main import cli
from harness.data.places import DataStore
from harness.errors import DataError, HarnessError, SpecError
from harness.planning.overrides import apply_override
from harness.planning.spec import Spec
from harness.planning.spec_reader import load_spec
from harness.running.experiment import Experiment
from harness.testing import save_tiny_model

GOOD = """\
name: toy
model: toy
corpus: toy-corpus
source: [gender, race]
label: hateful
masker: toy-masker
debiaser:
  - toy-debiaser
  - use: toy-debiaser
    as: fast
    rate: 0.5
evaluators:
  - toy-evaluator
targets: [gender, race, religion]
steps: [1, 2]
seed: [0, 1]
device: cpu
dtype: float32
limits:
  items: 5
keep_checkpoints: false
"""

WRONG_VALUES: dict[str, list[str]] = {
    "name": [
        "5",
        "null",
        "[a]",
        "../up",
        "a/b",
        "''",
        ".hidden",
        "'a b'",
        "x" * 200,
        "{a: 1}",
        "con",
        "NUL",
        "aux.yaml",
        "com1",
        "run.",
    ],
    "model": [
        "null",
        "5",
        "[]",
        "[null]",
        "{}",
        "{use: 5}",
        "{use: toy, level: high}",
        "{use: toy, levle: 1}",
        "{use: toy, level: .nan}",
        "{use: toy, level: .inf}",
        "{use: toy, level: true}",
        "{use: toy, level: [1]}",
        "[toy, toy]",
        "gpt2",
        "{use: toy, as: []}",
        "{use: toy, as: a/b}",
        "{use: toy, as: ''}",
        "{use: toy, as: true}",
        "[{use: toy, as: Toy}, toy]",
        '[{use: toy, as: "\\xe9"}, {use: toy, as: "e\\u0301"}]',
        "[{use: toy, as: ' toy '}, toy]",
        "[[toy]]",
    ],
    "corpus": ["nowhere", "{use: toy-corpus, empty: [a]}", "7", "[toy-corpus, toy-corpus]"],
    "source": [
        "null",
        "5",
        "[gendre]",
        "[gender, gender]",
        "[religion]",
        "{a: b}",
        "[[gender]]",
        "true",
    ],
    "label": ["null", "[]", "rude", "[hateful, hateful]", "5", "{a: b}"],
    "masker": ["nobody", "{use: toy-masker, nothing: maybe}", "[toy-masker, toy-masker]"],
    "debiaser": [
        "nobody",
        "[toy-debiaser, toy-debiaser]",
        "{rate: 1}",
        "{use: toy-debiaser, maskers: [all]}",
        "{use: toy-debiaser, seeds: [true]}",
        "{use: toy-debiaser, seeds: [0, 0]}",
        "{use: toy-debiaser, sources: []}",
        "{use: toy-debiaser, models: {a: b}}",
        "{use: toy-debiaser, rate: quick}",
        "{use: toy-debiaser, 5: 1}",
    ],
    "evaluators": [
        "null",
        "[]",
        "nobody",
        "{use: toy-evaluator, domains: []}",
        "{use: toy-evaluator, domains: [1]}",
        "{use: toy-evaluator, domains: [age]}",
        "{use: toy-evaluator, domains: [gender, gender]}",
        "{use: toy-evaluator, version: 1.5}",
        "{use: toy-evaluator, version: many}",
    ],
    "targets": ["null", "[]", "[gender, gender]", "[5]", "[age]", "{gender: 1}"],
    "steps": [
        "null",
        "[]",
        "[2, 1]",
        "[1, 1]",
        "0",
        "[-1, 1]",
        "many",
        "[1.5]",
        "[true]",
        "[[1]]",
        "{a: 1}",
        "010",
        "[1, 1:30]",
    ],
    "seed": ["010", "null", "[]", "[0, 0, 0]", "-1", "4294967296", "one", "[1.5]", "true", "[[0]]"],
    "device": ["5", "null", "[cpu]", "{cpu: 1}"],
    "dtype": ["float64", "5", "null", "[float32]"],
    "limits": [
        "5",
        "[1]",
        "{itmes: 5}",
        "{items: 0}",
        "{items: -3}",
        "{items: many}",
        "{items: 1.5}",
        "{items: [5]}",
        "{sample_seed: one}",
        "{fixed_passages: perhaps}",
        "{items: true}",
        "{seed: false}",
        "{sample_seed: yes}",
        "{passages: 0100}",
    ],
    "keep_checkpoints": ["maybe", "5", "null", "[true]"],
    "stop_at": [
        "5",
        "{}",
        "{kl: 0}",
        "{kl: -1}",
        "{kl: .inf}",
        "{kl: .nan}",
        "{kl: much}",
        "{kl: true}",
        "{kl: 0.1, windows: 1:40}",
        "{kl: 0.1, windows: 10}",
        "{kl: 0.1, widnows: 40}",
        "[0.1]",
    ],
    "hypotheses": ["5", "{}", "{tests: []}", "{tests: [{}]}", "{alpha: 2, tests: []}", "[1]"],
    "stepz": ["[1]"],
    "modle": ["toy"],
}
"""Wrong values of the keys of a spec, as YAML."""


def wrong_specs() -> Iterator[tuple[str, str]]:
    for key, values in WRONG_VALUES.items():
        for value in values:
            yield key, value


def spec_with(key: str, value: str) -> tuple[str, int]:
    """The good spec with one key replaced, and the line of that key."""
    kept: list[str] = []
    skipping = False
    for line in GOOD.splitlines():
        if line[0] not in " ":
            skipping = line.partition(":")[0] == key
        if not skipping:
            kept.append(line)
    return "\n".join([*kept, f"{key}: {value}", ""]), len(kept) + 1


def one_line(error: HarnessError, *parts: str) -> None:
    message = str(error)
    assert "\n" not in message
    assert len(message) < 700
    assert "Input should be" not in message  # pydantic's own words
    for part in parts:
        assert part in message, message


def test_the_good_spec_is_good(tmp_path: Path) -> None:
    path = tmp_path / "toy.yaml"
    path.write_text(GOOD)
    assert load_spec(path, toy_registry()).name == "toy"


def test_enough_cases_are_tried() -> None:
    assert len(list(wrong_specs())) + len(WRONG_OVERRIDES) + len(WRONG_COMMANDS) >= 120


@pytest.mark.parametrize(("key", "value"), list(wrong_specs()))
def test_a_wrong_value_is_one_line_with_its_place(tmp_path: Path, key: str, value: str) -> None:
    text, line = spec_with(key, value)
    path = tmp_path / "toy.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_spec(path, toy_registry())
    assert caught.value.exit_code == 2
    # some mistakes show only where another key meets this one
    elsewhere = {"source": "corpus", "targets": "evaluators"}.get(key)
    one_line(caught.value, str(path))
    if elsewhere is None:
        one_line(caught.value, f"toy.yaml:{line}: ")


WRONG_OVERRIDES = [
    ("", "KEY=VALUE"),
    ("=", "KEY=VALUE"),
    ("=5", "KEY=VALUE"),
    ("seed", "KEY=VALUE"),
    (".=1", "KEY=VALUE"),
    ("limits.=1", "KEY=VALUE"),
    ("limits..items=1", "KEY=VALUE"),
    (" =1", "KEY=VALUE"),
    ("modle=toy", "unknown key 'modle'; did you mean 'model'"),
    ("nothing.at.all=1", "unknown key 'nothing'"),
    ("limits.itmes=3", "unknown key 'limits.itmes'; did you mean 'items'"),
    ("limits.items.more=3", "'limits.items' has no keys, so 'more' cannot be set"),
    ("name.x=1", "'name' has no keys"),
    ("debiaser.slow.rate=1", "'debiaser' has no entry 'slow'"),
    ("debiaser.7.rate=1", "'debiaser' has no entry '7'"),
    ("debiaser.-1.rate=1", "'debiaser' has no entry '-1'"),
    ("debiaser.fast.rat=1", "did you mean 'rate'"),
    ("debiaser.fast.rate=quick", "must be a number"),
    ("seed.9=1", "'seed' has no entry '9'"),
    ("seed.0.x=1", "'seed.0' has no keys"),
    ("steps=[2,1]", "steps must ascend"),
    ("steps=", "must be a whole number"),
    ("limits.items=zero", "must be a whole number"),
    ("limits.items=0", "must be at least 1"),
    ("dtype=float64", "must be 'float32', 'bfloat16' or 'float16'"),
    ("model=[", "not valid YAML"),
    ("model={use: toy", "not valid YAML"),
    ("keep_checkpoints=perhaps", "must be true or false"),
    ("model.level=high", "must be a number"),
    ("evaluators.toy-evaluator.domains=[age]", "age"),
    ("targets=[gender,gender]", "given twice"),
    ("x" * 5000 + "=1", "unknown key"),
]


@pytest.mark.parametrize(("override", "words"), WRONG_OVERRIDES, ids=lambda v: str(v)[:40])
def test_a_wrong_override_names_the_option(tmp_path: Path, override: str, words: str) -> None:
    path = tmp_path / "toy.yaml"
    path.write_text(GOOD)
    with pytest.raises(SpecError) as caught:
        load_spec(path, toy_registry(), [override])
    message = str(caught.value)
    assert words in message
    assert "--set" in message
    assert "toy.yaml:" not in message  # the file is not at fault
    assert "\n" not in message


WRONG_COMMANDS: list[tuple[list[str], int, str]] = [
    (["run"], 2, "Missing argument 'SPEC'"),
    (["run", "nowhere"], 2, "no such spec file"),
    (["run", "/dev/null/x.yaml"], 2, "no such spec file"),
    (["run", "."], 2, "folder"),
    (["run", "x" * 5000], 2, "no such spec file"),
    (["run", "quickstart", "--set"], 2, "requires an argument"),
    (["run", "quickstart", "--set", "x"], 2, "KEY=VALUE"),
    (["run", "quickstart", "--frehs"], 2, "--fresh"),
    (["run", "quickstart", "--executor", "slurm"], 2, "slurm"),
    (["run", "quickstart", "--retries", "3"], 2, "--executor ray"),
    (["run", "quickstart", "--executor", "ray", "--retries", "-1"], 2, "--retries"),
    (["run", "quickstart", "--executor", "ray", "--cpus-per-task", "0"], 2, "--cpus-per-task"),
    (["run", "quickstart", "--executor", "ray", "--cpus-per-task", "nan"], 2, "not a finite"),
    (["run", "quickstart", "--executor", "ray", "--gpus-per-task", "inf"], 2, "not a finite"),
    (["power", "quickstart", "--item-sd", "nan"], 2, "not a finite number"),
    (["leaderboard", "x", "--max-perplexity-increase", "inf"], 2, "not a finite number"),
    (["repro", "x", "--tolerance", "nan"], 2, "not a finite number"),
    (["plan"], 2, "Missing argument 'SPEC'"),
    (["plan", "nowhere"], 2, "no such spec file"),
    (["plan", "quickstart", "--set", "limits.itmes=1"], 2, "limits.itmes"),
    (["eval"], 2, "Missing"),
    (["eval", "smollm2-135m"], 2, "--evaluator"),
    (["eval", "gpt2", "-e", "embedded-pairs"], 2, "unknown model 'gpt2'"),
    (["eval", "smollm2-135m", "-e", "embedded-pair"], 2, "did you mean 'embedded-pairs'"),
    (["eval", "smollm2-135m", "-e", "embedded-pairs", "-t", "gendre"], 2, "did you mean 'gender'"),
    (["eval", "smollm2-135m", "-e", "embedded-pairs", "--limit", "0"], 2, "--limit"),
    (["eval", "smollm2-135m", "-e", "embedded-pairs", "--set", "modle.id=x"], 2, "modle"),
    (["eval", "smollm2-135m", "-e", "embedded-pairs", "--dtype", "int8"], 2, "int8"),
    (["explain", "nowhere", "abc"], 8, "no run 'nowhere'"),
    (["rnu"], 2, "did you mean 'run'"),
]


@pytest.mark.parametrize(("words", "code", "said"), WRONG_COMMANDS, ids=lambda v: str(v)[:50])
def test_a_wrong_command_line_says_what_is_wrong(
    words: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    result = CliRunner().invoke(cli, ["--offline", *words])
    error: Any = result.exception
    if isinstance(error, HarnessError):  # `main` prints these
        assert error.exit_code == code
        assert said in str(error)
        assert "\n" not in str(error)
    else:
        assert isinstance(error, SystemExit)
        assert result.exit_code == code
        assert said in result.output
        assert "Traceback" not in result.output
    assert not list((tmp_path / "work").iterdir())  # nothing was made


def test_the_process_prints_one_line_and_no_trace(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("model: toy\nevaluators: 5\n")
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "harness", "plan", "bad.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert time.monotonic() - started < 60
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("harness: bad.yaml:")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(string.printable, max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(string.ascii_letters, max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(key=st.sampled_from(sorted(Spec.model_fields)), value=VALUES)
def test_any_value_of_any_key_is_taken_or_refused_in_one_line(
    tmp_path: Path, key: str, value: Any
) -> None:
    path = tmp_path / "toy.yaml"
    data = {**yaml.safe_load(GOOD), key: value}
    path.write_text(yaml.safe_dump(data, allow_unicode=True), "utf-8")
    try:
        load_spec(path, toy_registry())
    except HarnessError as error:
        one_line(error)


@settings(max_examples=150, deadline=None)
@given(
    key=st.lists(
        st.sampled_from(["debiaser", "fast", "0", "1", "-1", "limits", "items", "seed", "", "x"]),
        max_size=4,
    ),
    value=st.text(string.printable, max_size=10),
)
def test_any_override_is_taken_or_refused_in_one_line(key: list[str], value: str) -> None:
    data = yaml.safe_load(GOOD)
    try:
        apply_override(data, f"{'.'.join(key)}={value}")
    except HarnessError as error:
        one_line(error, "--set")


@pytest.mark.parametrize(
    "changes",
    [
        {"description": "half \ud83d"},
        {"model": {"use": "toy", "id\ud83d": 1}},
        {"domains": {"caste": {"terms": {"a": ["x", "\udc80"]}}}},
        {"source": ("gender", "\ud83d")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_half_of_a_character_from_python_is_one_line_with_its_key(changes: dict[str, Any]) -> None:
    """It could be neither hashed nor stored."""
    with pytest.raises(SpecError) as caught:
        Experiment.from_mapping({**TOY_SPEC, **changes}, registry=toy_registry(), source="mine")
    one_line(caught.value, "mine: ", "half of a character")
    str(caught.value).encode("utf-8")


LONG = "x" * 400


@pytest.mark.parametrize("path", [LONG, "~nobody-of-this-name/x"])
def test_paths_that_cannot_be_cost_their_own_cells_only(tmp_path: Path, path: str) -> None:
    """A name that is too long, and the home of a user who is not there."""
    model = {"use": "hf", "id": str(save_tiny_model(tmp_path / "model")), "as": "tiny"}
    raw = {
        "name": "paths",
        "model": [model, {"use": "hf", "id": path if "/" in path else f"/{path}", "as": "lost"}],
        "corpus": "embedded",
        "source": "gender",
        "masker": {"use": "wordlist", "rules": "file", "path": path},
        "debiaser": ["mlm-unlearning", {"use": "cda", "word_lists": path}, "identity"],
        "evaluators": "embedded-pairs",
        "steps": [1],
        "limits": {"items": 3, "passages": 4, "neutral": 4},
        "neutral": "embedded",
    }
    data = DataStore(cache_dir=tmp_path / "cache", offline=True)
    experiment = Experiment.from_mapping(raw, data=data, folder=tmp_path / "run")
    outcome = experiment.run()
    assert outcome.measured == 2  # the base and identity
    assert not outcome.traces
    assert len(outcome.failures) == 6
    for _, reason in outcome.failures:
        assert "\n" not in reason


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as a user without an entry."""

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    for name in ("HARNESS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DataError, match=r"no home folder .* HARNESS_CACHE"):
        DataStore()
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert DataStore().cache_dir == Path("/somewhere/bias-transfer-harness")
