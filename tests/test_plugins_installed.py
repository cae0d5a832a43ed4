"""Plugins of other people: installed with pip into a fresh environment, and used from there."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fresh_env import FreshEnv

from harness.plugins import HOOKS
from harness.storage.store import Store
from harness.testing import save_tiny_model

# One process: the environment is made once.
pytestmark = pytest.mark.xdist_group("installed")

PACKAGES = Path(__file__).parent / "support" / "packages"
BUILT_IN = "corpora,maskers,debiasers,evaluators,models"

SPEC = """
name: strangers
model: {use: hf, id: tiny}
corpus:
  use: example-templates
  template: "{group} make poor {job}."
source: [gender, age]
masker: {use: example-longest, words: 2}
debiaser: {use: example-ascent, learning_rate: 0.05}
evaluators: example-pairs
targets: [gender, age]
steps: [1, 3]
"""


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> FreshEnv:
    """An environment with all the packages of tests/support/packages; HARNESS_PLUGINS chooses."""
    folder = tmp_path_factory.mktemp("strangers")
    made = FreshEnv.make(folder, with_checkout=True)
    sources = folder / "sources"
    shutil.copytree(PACKAGES, sources)
    made.pip_install(*(path.parent for path in sorted(sources.glob("*/pyproject.toml"))))
    shutil.copy(sources / "third_party" / "test_harness_example.py", made.work)
    save_tiny_model(made.work / "tiny")
    (made.work / "spec.yaml").write_text(SPEC)
    return made


@pytest.fixture(scope="module")
def first_run(env: FreshEnv) -> subprocess.CompletedProcess[str]:
    """What ``harness run`` said when it made ``runs/strangers`` with the example's plugins."""
    words = ("run", "spec.yaml", "--results", "runs")
    result = env.run("harness", *words, HARNESS_PLUGINS=f"{BUILT_IN},example")
    assert result.returncode == 0, result.stderr
    return result


def listed(env: FreshEnv, *entry_points: str) -> dict[str, Any]:
    """What ``harness plugins --json`` says, with these entry points beside the built-in ones."""
    chosen = ",".join([BUILT_IN, *entry_points])
    result = env.run("harness", "plugins", "--json", HARNESS_PLUGINS=chosen)
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_plugins_of_an_installed_package_are_listed(env: FreshEnv) -> None:
    found = listed(env, "example")
    assert found["failures"] == []
    theirs = [row for row in found["plugins"] if row["distribution"] == "harness-example"]
    assert {(row["family"], row["name"]) for row in theirs} == {
        ("corpus", "example-templates"),
        ("masker", "example-longest"),
        ("debiaser", "example-ascent"),
        ("evaluator", "example-pairs"),
    }
    assert {row["version"] for row in theirs} == {"1.2.3"}
    assert {row["family"] for row in found["plugins"]} == set(HOOKS)


def test_a_spec_runs_on_plugins_of_an_installed_package(
    env: FreshEnv, first_run: subprocess.CompletedProcess[str]
) -> None:
    store = Store.open(env.work / "runs" / "strangers")
    records = list(map(store.record, store.record_keys()))
    assert len(records) == 5  # the base model, and two steps from each of two sources
    touched = {
        plugin.name: (plugin.distribution, plugin.version)
        for record in records
        if record is not None
        for plugin in record.provenance.plugins
    }
    for name in ("example-templates", "example-longest", "example-ascent", "example-pairs"):
        assert touched[name] == ("harness-example", "1.2.3")
    assert "gender" in first_run.stdout
    again = env.run(
        "harness", "run", "spec.yaml", "--results", "runs", HARNESS_PLUGINS=f"{BUILT_IN},example"
    )
    assert "0 measured, 5 already there" in again.stderr
    assert "next: harness matrix " in again.stderr


@pytest.mark.usefixtures("first_run")
def test_their_estimator_is_used_by_tables_and_verify(env: FreshEnv) -> None:
    chosen = f"{BUILT_IN},example"
    run = "runs/strangers"
    found = env.run("harness", "verify", run, HARNESS_PLUGINS=chosen)
    assert found.returncode == 0, found.stdout + found.stderr
    for metric in ("token_probability", "preference"):
        table = env.run("harness", "matrix", run, "--metric", metric, HARNESS_PLUGINS=chosen)
        assert table.returncode == 0, table.stderr
        assert metric in table.stdout
    without = env.run("harness", "verify", run, HARNESS_PLUGINS=BUILT_IN)
    assert without.returncode == 1
    words = " ".join(without.stdout.split())
    assert "unknown estimator 'example-geometric-mean'" in words
    assert "the plugin that adds it is not installed" in words


def test_a_package_written_for_an_earlier_version_runs_unchanged(env: FreshEnv) -> None:
    """The example of docs/plugins.md at commit aee1f52: old imports, no quantities, no roles."""
    chosen = f"{BUILT_IN},of_november"
    found = listed(env, "of_november")
    assert found["failures"] == []
    theirs = [row for row in found["plugins"] if row["distribution"] == "harness-of-november"]
    assert len(theirs) == 4
    words = ("run", "spec.yaml", "--set", "name=november", "--results", "runs")
    result = env.run("harness", *words, HARNESS_PLUGINS=chosen)
    assert result.returncode == 0, result.stderr
    assert "stereotype_score" in result.stdout
    for command in ("verify", "matrix", "leaderboard"):
        shown = env.run("harness", command, "runs/november", HARNESS_PLUGINS=chosen)
        assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "example-groups" in env.run("harness", "--help", HARNESS_PLUGINS=chosen).stdout


def test_their_command_stands_beside_ours(env: FreshEnv) -> None:
    chosen = f"{BUILT_IN},example"
    assert "example-groups" in env.run("harness", "--help", HARNESS_PLUGINS=chosen).stdout
    shown = env.run("harness", "example-groups", HARNESS_PLUGINS=chosen)
    assert shown.stdout.splitlines() == ["gender: women, men", "age: young people, old people"]


def test_the_packages_own_tests_pass_there(env: FreshEnv) -> None:
    options = ("-q", "-W", "error", "-p", "no:cacheprovider", ".")
    result = env.run("pytest", *options, HARNESS_PLUGINS=f"{BUILT_IN},example")
    assert result.returncode == 0, result.stdout
    assert "5 passed" in result.stdout


@pytest.mark.parametrize(
    ("entry_point", "line"),
    [
        (
            "broken_import",
            "plugin not loaded: entry point 'broken_import' of harness-broken-import 0.1: "
            "ModuleNotFoundError: No module named 'a_package_that_nobody_has'",
        ),
        (
            "moved_import",
            "plugin not loaded: entry point 'moved_import' of harness-of-november 0.6: "
            "ModuleNotFoundError: No module named 'harness.domains'; it is harness.data.domains "
            "now, and what plugins need of it is in 'harness' (harness.__all__)",
        ),
        (
            "wrong_type",
            "plugin not loaded: entry point 'wrong_type' of harness-wrong-type 0.2: "
            "hook harness_evaluators must return a list of classes, not str",
        ),
        (
            "undescribed",
            "plugin not loaded: entry point 'undescribed' of harness-undescribed 0.5: hook "
            "harness_maskers: Undescribed.Config.strength has no description; it is the "
            "documentation of the parameter",
        ),
    ],
)
def test_a_broken_package_costs_one_line(env: FreshEnv, entry_point: str, line: str) -> None:
    chosen = f"{BUILT_IN},{entry_point}"
    tolerant = env.run("harness", "plugins", HARNESS_PLUGINS=chosen)
    assert tolerant.returncode == 0
    assert tolerant.stdout.splitlines().count(line) == 1
    assert "smollm2-135m" in tolerant.stdout
    strict = env.run("harness", "--strict-plugins", "plugins", HARNESS_PLUGINS=chosen)
    assert (strict.returncode, strict.stderr.splitlines()) == (3, [f"harness: {line}"])


def test_a_name_clash_is_an_error(env: FreshEnv) -> None:
    result = env.run("harness", "plugins", HARNESS_PLUGINS=f"{BUILT_IN},name_clash")
    assert result.returncode == 3
    (line,) = result.stderr.splitlines()
    assert line.startswith("harness: two plugins claim the debiaser 'identity': entry point ")
    assert "entry point 'name_clash' of harness-name-clash 0.4" in line
    assert "entry point 'debiasers' of bias-transfer-harness" in line


def test_a_wrong_answer_at_run_time_names_plugin_method_and_field(env: FreshEnv) -> None:
    result = env.run(
        "harness", "run", "spec.yaml", "--set", "name=wrong", "--set", "masker=too-far",
        "--results", "runs",
        HARNESS_PLUGINS=f"{BUILT_IN},example,wrong_mask",
    )  # fmt: skip
    assert result.returncode == 9, result.stderr
    assert (
        "masker 'too-far' (entry point 'wrong_mask' of harness-wrong-mask 0.3) broke its "
        "contract in mask(): answer[0]"
    ) in result.stderr
    assert "Traceback" not in result.stderr
    store = Store.open(env.work / "runs" / "wrong")
    assert len(list(store.record_keys())) == 1  # the base model's record is kept
