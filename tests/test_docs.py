"""What the README and the docs say is so: commands parse, examples are real, keys exist."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner
from fences import FENCE
from fresh_env import REPO
from harness_debiasers.hooks import harness_debiasers
from harness_evaluators.pairs import PAIR_METRICS
from harness_evaluators.triples import TRIPLE_METRICS

from harness import __version__, hookspecs
from harness.cli.main import COMMANDS, cli
from harness.planning.spec import Limits, Spec
from harness.planning.spec_reader import build_spec, find_spec
from harness.planning.yaml_lines import Lines
from harness.plugins import Registry, load_registry
from harness.testing import check_debiaser

PAGES = [REPO / "README.md", *sorted((REPO / "docs").rglob("*.md"))]
PACKAGE = REPO / "tests" / "support" / "packages" / "third_party"


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of a language, without the fences."""
    return [body for kind, body in FENCE.findall(page.read_text("utf-8")) if kind == language]


def fenced_commands() -> Iterator[tuple[str, list[str]]]:
    """Every ``harness …`` line of the console blocks, with its page."""
    for page in PAGES:
        for block in blocks(page, "console"):
            for line in block.splitlines():
                words = shlex.split(line)
                if words and words[0] == "harness":
                    yield page.name, words[1:]


COMMAND_LINES = list(fenced_commands())


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(strict=True)


def test_there_are_commands_to_check() -> None:
    assert {page for page, _ in COMMAND_LINES} >= {"README.md", "specs.md", "plugins.md"}


@pytest.mark.parametrize(("page", "words"), COMMAND_LINES, ids=lambda value: str(value))
def test_every_command_parses(page: str, words: list[str]) -> None:
    if words[0] == "example-groups":  # of the package in docs/plugins.md, run by its own test
        return
    parse(words)


def parse(words: Sequence[str]) -> None:
    """As the command line does; it raises on a wrong command or option."""
    context: click.Context = click.Context(cli)
    command: click.Command = cli
    arguments = list(words)
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        _, found, arguments = command.resolve_command(context, arguments)
        assert found is not None
        command = found
    command.make_context(command.name, arguments, parent=context)


def test_what_starts_a_run_on_a_cluster_is_right() -> None:
    page = REPO / "docs" / "scaling.md"
    slurm = next(b for b in blocks(page, "bash") if "#SBATCH" in b)
    assert subprocess.run(["bash", "-n"], input=slurm, text=True, check=False).returncode == 0
    (job,) = [yaml.safe_load(b) for b in blocks(page, "yaml") if "RayJob" in b]
    lines = [slurm.replace("\\\n", " ").split(" -- ")[1], job["spec"]["entrypoint"]]
    for words in map(shlex.split, lines):
        assert words[0] == "harness"
        parse(words[1:])
    volumes = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    (head,) = volumes["containers"]
    mounted = {mount["mountPath"] for mount in head["volumeMounts"]}
    assert mounted == {part for part in shlex.split(lines[1]) if part.startswith("/")}


def test_every_method_stands_in_the_table_of_methods() -> None:
    page = (REPO / "docs" / "methods.md").read_text("utf-8")
    table = re.findall(r"^\| `([\w-]+)`( \(control\))? \|", page, re.MULTILINE)
    built_in = {method.name: method.control is not None for method in harness_debiasers()}
    assert {name: bool(control) for name, control in table} == built_in


@pytest.mark.parametrize("words", [w for _, w in COMMAND_LINES if w[0] == "plugins"], ids=str)
def test_cheap_commands_run(words: list[str]) -> None:
    if "example-ascent" in words:  # of the package in docs/plugins.md
        return
    result = CliRunner().invoke(cli, ["--offline", *words])
    assert result.exit_code == 0, result.output


def test_specs_that_are_named_ship() -> None:
    shipped = {path.stem for path in (REPO / "specs").glob("*.yaml")}
    for page, words in COMMAND_LINES:
        if words[0] in ("run", "plan"):
            assert words[1] in shipped, page
            assert find_spec(words[1]).stem == words[1]


def test_overrides_that_are_named_work(registry: Registry) -> None:
    from harness.planning.spec_reader import load_spec

    for _, words in COMMAND_LINES:
        overrides = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
        if overrides and words[0] in ("run", "plan"):
            changed = load_spec(words[1], registry, overrides)
            assert changed != load_spec(words[1], registry)


def test_table_of_commands_is_whole() -> None:
    readme = PAGES[0].read_text("utf-8")
    assert set(re.findall(r"^\| `harness ([\w-]+)", readme, re.MULTILINE)) == set(COMMANDS)


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (REPO / "Makefile").read_text("utf-8"), re.MULTILINE))
    for page in PAGES:
        for block in blocks(page, "console"):
            assert set(re.findall(r"^make (\w+)", block, re.MULTILINE)) <= targets


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


# -- plugins.md ------------------------------------------------------------------------------


def test_the_example_package_is_the_one_that_is_tested() -> None:
    page = REPO / "docs" / "plugins.md"
    python = blocks(page, "python")
    assert (PACKAGE / "harness_example.py").read_text("utf-8") in python
    assert (PACKAGE / "test_harness_example.py").read_text("utf-8") in python
    assert blocks(page, "toml") == [(PACKAGE / "pyproject.toml").read_text("utf-8")]


def test_the_first_plugin_of_the_page_works() -> None:
    """It is about ten lines, loads, and changes a model as it says."""
    (source, *_) = blocks(REPO / "docs" / "plugins.md", "python")
    assert len([line for line in source.splitlines() if line.strip()]) <= 13
    module: dict[str, Any] = {}
    exec(source, module)
    (plugin,) = module["harness_debiasers"]()
    assert [step.step for step in check_debiaser(plugin)] == [1]


def test_every_hook_stands_with_its_signature() -> None:
    (signatures,) = (
        own
        for own in blocks(REPO / "docs" / "plugins.md", "python")
        if own.startswith("def harness")
    )
    hooks = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("harness_")}
    expected = [f"def {name}{inspect.signature(hook)}" for name, hook in hooks.items()]
    assert [line.replace("'", "") for line in expected] == signatures.splitlines()


# -- specs.md --------------------------------------------------------------------------------


@pytest.mark.parametrize(("title", "model"), [("Keys", Spec), ("Limits", Limits)])
def test_every_key_of_a_spec_is_explained(title: str, model: Any) -> None:
    text = (REPO / "docs" / "specs.md").read_text("utf-8")
    section = text.split(f"## {title}\n")[1].split("\n## ")[0]
    explained = re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", section, re.MULTILINE)
    assert [key for key, _ in explained] == list(model.model_fields)
    for key, default in explained:
        info = model.model_fields[key]
        if re.fullmatch(r"`[\d\[].*`", default):
            written = yaml.safe_load(default.strip("`"))
            own = info.default
            assert written == (list(own) if isinstance(written, list) else own) or own == (written,)


def test_the_example_spec_is_valid(registry: Registry) -> None:
    example, hypotheses = blocks(REPO / "docs" / "specs.md", "yaml")
    spec = build_spec(yaml.safe_load(example + hypotheses), registry, Lines("docs/specs.md"))
    assert spec.hypotheses is not None
    assert [use.label for use in spec.debiaser] == ["mlm-unlearning", "faster", "identity"]


# -- evaluators.md and openai.md -------------------------------------------------------------


def test_every_evaluator_and_scorer_is_explained(registry: Registry) -> None:
    text = (REPO / "docs" / "evaluators.md").read_text("utf-8")
    ours = [e for e in registry if e.family == "evaluator"]
    for entry in ours:
        assert entry.name in text
    described = " ".join(
        entry.plugin.Config.model_fields["scorers"].description or ""
        for entry in ours
        if "scorers" in entry.plugin.Config.model_fields
    )
    scorers, _, rest = text.partition("## Scorers of sentences")[2].partition("\n## ")
    for metric in (*PAIR_METRICS, *TRIPLE_METRICS):
        shown = metric.whole or metric.name.removesuffix("_macro").removesuffix("_micro")
        assert shown in rest, f"metric {metric.name} is not explained"
    named = set(re.findall(r"^\| `(\w+_\w+)`", scorers, re.MULTILINE))
    assert named == set(re.findall(r"\b\w+_\w+\b", described))


def test_the_masker_of_openai_md_is_valid(registry: Registry) -> None:
    (example,) = blocks(REPO / "docs" / "openai.md", "yaml")
    ((entry,),) = yaml.safe_load(example).values()
    config = {key: value for key, value in entry.items() if key != "use"}
    registry.create("masker", entry["use"], config)


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_files_that_pages_for_contributors_name_exist(page: str) -> None:
    named = re.findall(r"`((?:harness|plugins|tests|docs)/[\w./*]+)`", (REPO / page).read_text())
    assert len(named) > 10
    missing = [p for p in named if "NAME" not in p and not list(REPO.glob(p.rstrip("/")))]
    assert missing == []


# -- CITATION.cff and CHANGELOG.md -----------------------------------------------------------


def test_citation_names_this_version_and_the_paper() -> None:
    cited = yaml.safe_load((REPO / "CITATION.cff").read_text("utf-8"))
    assert (cited["type"], cited["version"], cited["license"]) == (
        "software",
        __version__,
        "Apache-2.0",
    )
    (paper,) = cited["references"]
    assert paper["title"].startswith("Towards Transfer Unlearning")
    assert [author["family-names"] for author in paper["authors"]] == [
        "Lu", "Isonuma", "Mori", "Sakata",
    ]  # fmt: skip


def test_changelog_speaks_of_this_version() -> None:
    assert f"## {__version__}\n" in (REPO / "CHANGELOG.md").read_text("utf-8")


WHOLE_SPECS = [
    (page.relative_to(REPO).as_posix(), block)
    for page in PAGES
    for block in blocks(page, "yaml")
    if "example-templates" not in block  # of the example package: test_plugins_installed runs it
    and {"name", "model", "evaluators"} <= {line.partition(":")[0] for line in block.splitlines()}
]


@pytest.mark.parametrize(("page", "block"), WHOLE_SPECS, ids=[page for page, _ in WHOLE_SPECS])
def test_every_whole_spec_is_one(
    page: str, block: str, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("dalits", "brahmins"):  # files of the reader's own, where a page names them
        (tmp_path / f"{name}.txt").write_text(f"{name}\n")
    (tmp_path / "castes.csv").write_text("dalits,brahmins\ndalit,brahmin\n")
    build_spec(yaml.safe_load(block), registry, Lines(page))
