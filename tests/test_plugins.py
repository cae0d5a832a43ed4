"""Finding, guarding and describing plugins, on modules made up here."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal

import click
import pytest
from click.testing import CliRunner
from pydantic import Field
from toy_plugins import ToyCorpus, ToyDebiaser, ToyEvaluator, ToyMasker, ToyModelPlugin, ToyPlugin

from harness import plugins
from harness.cli.main import COMMANDS, cli
from harness.errors import PluginError
from harness.families import Masker, Plugin, PluginConfig
from harness.hookspecs import hookimpl
from harness.planning.spec import PLUGIN_KEYS
from harness.planning.yaml_lines import parse_yaml
from harness.plugins import (
    HOOKS,
    Origin,
    Registered,
    Registry,
    build_commands,
    build_registry,
    load_registry,
)
from harness.render.console.plugins import example_fragment, print_plugin
from harness.render.console.terminal import Terminal
from harness.types import MaskedPassage, MaskRequest

ORIGIN = Origin("stranger", "strange-distribution", "7.8")


def offering(hook: str, answer: Any) -> Any:
    """A plugin module whose one hook gives this answer (or raises it)."""

    def offer() -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    offer.__name__ = hook
    return SimpleNamespace(**{hook: hookimpl(offer)})


def masker(**attributes: Any) -> type[Masker[Any]]:
    """A masker class that is right but for these attributes."""
    given: dict[str, Any] = {
        "name": "strange",
        "summary": "A summary.",
        "reference": "tests",
        "mask": lambda self, request: [],
        **attributes,
    }
    return type("Strange", (Masker,), {k: v for k, v in given.items() if v is not None})


def failure(module: Any) -> str:
    """The one line that a module costs; the toys beside it load all the same."""
    registry = build_registry([(module, ORIGIN), (ToyPlugin(), Origin("toys", "toys", "1"))])
    assert registry.names("corpus") == ["toy-corpus"]
    (only,) = registry.failures
    line = str(only)
    assert line.startswith(
        "plugin not loaded: entry point 'stranger' of strange-distribution 7.8: "
    )
    assert "\n" not in line
    with pytest.raises(PluginError) as caught:
        build_registry([(module, ORIGIN)], strict=True)
    assert str(caught.value) == line
    return line


class NoDescription(PluginConfig):
    """A field that nobody explains."""

    words: int = 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, ""),
        ("Strange", "hook harness_maskers must return a list of classes, not str"),
        (7, "hook harness_maskers must return a list of classes, not int"),
        (["Strange"], "hook harness_maskers returned 'Strange', which is not a Masker class"),
        ([ToyCorpus], "which is not a Masker class"),
        ([masker(mask=None)], "hook harness_maskers: Strange does not define mask()"),
        ([masker(name=" ")], "hook harness_maskers: Strange.name must be a non-empty string"),
        ([masker(summary=None)], "Strange.summary must be a non-empty string"),
        ([masker(reference=3)], "Strange.reference must be a non-empty string"),
        ([masker(Config=dict)], "Strange.Config must be a PluginConfig class"),
        (
            [masker(Config=NoDescription)],
            "hook harness_maskers: Strange.Config.words has no description",
        ),
        ([masker(control=True)], "Strange.control must be None or one of identity, masks,"),
        ([masker(sham=True)], 'write control = "change" instead of sham = True'),
        (RuntimeError("first line\nsecond"), "RuntimeError: first line"),
    ],
)
def test_what_a_hook_must_not_return(answer: Any, said: str) -> None:
    module = offering("harness_maskers", answer)
    if answer is None:  # pluggy leaves None out: nothing is offered, nothing is wrong
        assert not build_registry([(module, ORIGIN)], strict=True).names("masker")
    else:
        assert said in failure(module)


def test_module_without_a_hook_or_with_a_misspelt_one() -> None:
    assert "implements no harness_* hook" in failure(SimpleNamespace())
    assert "harness_makser" in failure(offering("harness_makser", []))

    @hookimpl
    def harness_maskers(wrong_argument: int) -> list[Any]:
        return []

    assert "wrong_argument" in failure(SimpleNamespace(harness_maskers=harness_maskers))


def test_clash_names_both_sides_and_the_way_out() -> None:
    other = offering("harness_corpora", [ToyCorpus])
    with pytest.raises(PluginError) as caught:
        build_registry([(ToyPlugin(), Origin("toys", "toy-distribution", "1.0")), (other, ORIGIN)])
    assert str(caught.value) == (
        "two plugins claim the corpus 'toy-corpus': entry point 'toys' of toy-distribution 1.0 "
        "and entry point 'stranger' of strange-distribution 7.8; uninstall one, or name the "
        "entry points to load in HARNESS_PLUGINS"
    )


def test_one_name_in_two_families_is_no_clash() -> None:
    module = offering("harness_maskers", [masker(name="toy-corpus")])
    registry = build_registry([(ToyPlugin(), Origin("t", "t", "1")), (module, ORIGIN)])
    assert sorted(entry.family for entry in registry.find("toy-corpus")) == ["corpus", "masker"]


def test_unknown_plugin_says_what_is_near_and_what_was_lost() -> None:
    registry = build_registry(
        [(ToyPlugin(), Origin("t", "t", "1")), (offering("harness_maskers", 1), ORIGIN)]
    )
    with pytest.raises(
        PluginError, match=r"unknown corpus 'toy-corpse'; did you mean 'toy-corpus'"
    ):
        registry.get("corpus", "toy-corpse")
    with pytest.raises(PluginError, match=r"plugin not loaded: .*strange-distribution 7\.8"):
        registry.get("masker", "strange")


# -- entry points ----------------------------------------------------------------------------


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend that these entry points are installed: names to ``module:attribute``."""

    def install(**values: str) -> None:
        made = [EntryPoint(name, value, "harness") for name, value in values.items()]
        monkeypatch.setattr(plugins, "entry_points", lambda group: made)

    module = ModuleType("installed_toys")
    module.toys = ToyPlugin()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "installed_toys", module)
    monkeypatch.delenv("HARNESS_PLUGINS", raising=False)
    return install


def test_module_that_does_not_import(points: Callable[..., None]) -> None:
    points(gone="no_such_module_anywhere", toys="installed_toys:toys")
    registry = load_registry()
    (only,) = registry.failures
    assert "ModuleNotFoundError: No module named 'no_such_module_anywhere'" in str(only)
    with pytest.raises(PluginError, match="entry point 'gone'"):
        load_registry(strict=True)


def test_harness_plugins_chooses(
    points: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    points(gone="no_such_module_anywhere", other="installed_toys:toys")
    monkeypatch.setenv("HARNESS_PLUGINS", " other ,")
    assert load_registry(strict=True).failures == ()
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    assert not list(load_registry(strict=True))
    monkeypatch.setenv("HARNESS_PLUGINS", "othr")
    with pytest.raises(PluginError, match="'othr'; did you mean 'other'"):
        load_registry()
    monkeypatch.setenv("HARNESS_PLUGINS", "gone")
    assert [f.origin.entry_point for f in plugins.load_commands()[1]] == ["gone"]
    monkeypatch.setenv("HARNESS_PLUGINS", "other")
    assert plugins.load_commands() == ([], [])


# -- commands --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("text", "hook harness_commands must return a list of click commands, not str"),
        ([print], "which is not a click command"),
        (ValueError("no"), "ValueError: no"),
    ],
)
def test_wrong_commands_cost_one_line(answer: Any, said: str) -> None:
    right = offering("harness_commands", [click.Command("fine")])
    commands, lost = build_commands(
        [(offering("harness_commands", answer), ORIGIN), (right, Origin("r", "r", "1"))]
    )
    assert [command.name for command in commands] == ["fine"]
    (only,) = lost
    assert "strange-distribution 7.8" in str(only)
    assert said in str(only)


def test_commands_may_not_clash() -> None:
    module = offering("harness_commands", [click.Command("run")])
    with pytest.raises(PluginError, match="two claim the command 'run': the harness itself and"):
        build_commands([(module, ORIGIN)], reserved=COMMANDS)
    with pytest.raises(PluginError, match="two claim the command 'run': entry point 'stranger'"):
        build_commands([(module, ORIGIN), (module, Origin("other", "other", "1"))])


# -- harness plugins -------------------------------------------------------------------------


def harness(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["--offline", *arguments])


def test_list_as_json_holds_plugins_and_failures(points: Callable[..., None]) -> None:
    points(gone="no_such_module_anywhere", toys="installed_toys:toys")
    result = harness("plugins", "--json")
    assert result.exit_code == 0
    listed = json.loads(result.stdout)
    assert {(row["family"], row["name"]) for row in listed["plugins"]} >= {
        ("model", "toy"),
        ("corpus", "toy-corpus"),
        ("debiaser", "toy-identity"),
    }
    assert [row["entry_point"] for row in listed["failures"]] == ["gone"]
    assert result.stderr == ""
    maskers = json.loads(harness("plugins", "--json", "--family", "masker").stdout)
    assert [row["name"] for row in maskers["plugins"]] == ["toy-masker"]


def test_list_shows_each_plugin_and_each_failure_once(points: Callable[..., None]) -> None:
    points(gone="no_such_module_anywhere", toys="installed_toys:toys")
    result = harness("plugins")
    assert result.exit_code == 0
    assert result.output.count("toy-masker") == 1
    assert result.output.count("no_such_module_anywhere") == 1


def test_strict_plugins_is_fatal(points: Callable[..., None]) -> None:
    points(gone="no_such_module_anywhere")
    result = harness("--strict-plugins", "plugins")
    assert isinstance(result.exception, PluginError)
    assert "no_such_module_anywhere" in str(result.exception)


def test_show(points: Callable[..., None]) -> None:
    points(toys="installed_toys:toys")
    shown = harness("plugins", "show", "toy-debiaser").stdout
    for part in ("Lowers the level.", "rate", "number", "0.01", "nats a step", "use: toy-debiaser"):
        assert part in shown
    missing = harness("plugins", "show", "toy-debaser")
    assert isinstance(missing.exception, PluginError)
    assert "did you mean 'toy-debiaser'" in str(missing.exception)


def test_show_prints_both_of_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    module = offering("harness_maskers", [masker(name="toy-corpus", summary="The other one.")])
    registry = build_registry([(ToyPlugin(), Origin("t", "t", "1")), (module, ORIGIN)])
    monkeypatch.setattr(plugins, "load_registry", lambda strict: registry)
    shown = harness("plugins", "show", "toy-corpus").stdout
    assert "Ten made-up passages" in shown
    assert "The other one." in shown


class Everything(PluginConfig):
    """One field of each kind."""

    needed: str = Field(description="has no default")
    exemplified: str = Field(description="has an example", examples=["like this"])
    rate: float = Field(1e-5, gt=0, le=1, description="bounded")
    words: tuple[str, ...] = Field(("a", "b: c"), description="several")
    either: int | None = Field(None, ge=2, description="optional")
    mode: Literal["mean", "sum"] = Field("mean", description="a choice")
    sizes: dict[str, int] = Field(default_factory=lambda: {"a": 1}, description="made")


class Rich(Masker[Everything]):
    """A masker with every kind of field."""

    name = "rich"
    summary = "With [brackets] in it."
    reference = "tests"
    Config = Everything

    def mask(self, request: MaskRequest) -> Sequence[MaskedPassage]:
        return []


def test_show_says_type_bounds_default_and_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    print_plugin(Terminal(width=200), Registered(Rich, ORIGIN))
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line}
    assert " ".join(rows["needed"]) == "needed text required has no default"
    assert " ".join(rows["rate"]) == "rate number > 0 and ≤ 1 1.0e-05 bounded"
    assert " ".join(rows["either"]) == "either integer or null ≥ 2 null optional"
    assert " ".join(rows["mode"]) == "mode mean or sum mean a choice"
    assert " ".join(rows["sizes"]) == "sizes mapping of text to integer {a: 1} made"
    assert "[brackets]" in rows["With"]


ALL_TOYS: Sequence[type[Plugin[Any]]] = (
    ToyModelPlugin, ToyCorpus, ToyMasker, ToyDebiaser, ToyEvaluator, Rich,
)  # fmt: skip


def fragment_config(entry: Registered) -> dict[str, Any]:
    """Parse the example fragment as a spec would; returns the inline config."""
    data, _ = parse_yaml(example_fragment(entry), "example")
    ((key, (use,)),) = data.items()
    assert PLUGIN_KEYS[key] == entry.family
    if isinstance(use, str):
        assert use == entry.name
        return {}
    assert use.pop("use") == entry.name
    return dict(use)


@pytest.mark.parametrize("cls", ALL_TOYS, ids=lambda cls: cls.name)
def test_example_fragment_fits_the_config(cls: type[Plugin[Any]]) -> None:
    config = fragment_config(Registered(cls, ORIGIN))
    validated = cls.Config.model_validate(config)
    assert set(config) == set(cls.Config.model_fields)
    assert validated.model_dump(mode="json") == config


# -- the built-ins ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(strict=True)


def test_built_ins_are_there_and_documented(registry: Registry) -> None:
    for family in HOOKS:
        assert registry.names(family)
    for entry in registry:
        assert len(entry.plugin.summary) <= 100, entry.describe()
        assert "\n" not in entry.plugin.summary
        for name, info in entry.plugin.Config.model_fields.items():
            assert info.description, f"{entry.describe()}: {name}"


def test_examples_of_the_built_ins_fit_their_configs(registry: Registry) -> None:
    for entry in registry:
        config = fragment_config(entry)
        entry.plugin.Config.model_validate(config)


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("import harness.domains", "it is harness.data.domains now"),
        ("from harness.tiny_models import x", "it is harness.testing.tiny_models now"),
        ("from harness.families import Metric", "write 'from harness import Metric'"),
        ("from harness.metrics import nothing", "what plugins need is in 'harness'"),
        ("import harness.nothing_at_all", "what plugins need is in 'harness'"),
    ],
)
def test_an_import_from_an_old_place_says_what_to_import(
    line: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"old_{abs(hash(line))}"
    (tmp_path / f"{module}.py").write_text(line)
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint("old", module, "harness")
    monkeypatch.setattr("harness.plugins.entry_points", lambda group: [point])
    (failure,) = load_registry(only=["old"]).failures
    assert hint in str(failure)
    assert len(str(failure).splitlines()) == 1
