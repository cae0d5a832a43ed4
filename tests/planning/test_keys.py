"""Content keys: what can change an answer is in them, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.main import cli
from harness.data.places import DataStore
from harness.errors import DataError
from harness.families import PinnedConfig
from harness.planning.keys import PluginInputs, content_key
from harness.planning.spec import PluginUse
from harness.plugins import Registry, load_registry


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(strict=True)


def key(registry: Registry, data: DataStore, family: str, name: str, **config: object) -> str:
    full = registry.create(family, name, config).config.model_dump(mode="json")  # type: ignore[arg-type]
    use = PluginUse.model_validate({"use": name, "label": name, "config": full})
    return content_key(PluginInputs(registry, data).of(family, use))  # type: ignore[arg-type]


def test_how_a_service_is_called_is_not_in_the_key(
    registry: Registry, data_store: DataStore
) -> None:
    plain = key(registry, data_store, "masker", "openai", model="gpt-4")
    hurried = key(
        registry,
        data_store,
        "masker",
        "openai",
        model="gpt-4",
        timeout=5,
        retries=1,
        max_concurrency=2,
        max_cost=3.0,
    )
    assert plain == hurried
    assert plain != key(registry, data_store, "masker", "openai", model="gpt-4o")
    assert plain != key(registry, data_store, "masker", "openai", model="gpt-4", temperature=0.5)


def pinned(registry: Registry) -> list[tuple[str, str]]:
    """Family and name of every plugin whose config says where its data is."""
    return [(e.family, e.name) for e in registry if issubclass(e.plugin.Config, PinnedConfig)]


def test_every_corpus_and_evaluator_with_pins_uses_the_shared_config(registry: Registry) -> None:
    with_pins = {
        (e.family, e.name)
        for e in registry
        if e.plugin.pins and e.family in ("corpus", "evaluator")
    }
    assert with_pins == set(pinned(registry))
    assert len(with_pins) >= 7


def test_where_data_is_changes_no_key(
    registry: Registry, data_store: DataStore, shared_data: Path, tmp_path: Path
) -> None:
    for family, name in pinned(registry):
        pins = [pin for pin, _ in registry.create(family, name, {}).reads()]  # type: ignore[arg-type]
        folder = tmp_path / f"{family}-{name}"
        for pin in pins:
            source, copy = data_store.locate(pin), folder / pin.filename
            copy.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, copy)
        keys = {
            key(registry, data_store, family, name),
            key(registry, data_store, family, name, path=str(folder)),
            key(registry, data_store, family, name, path=str(folder / "." / ".." / folder.name)),
        }
        if len(pins) == 1:
            keys |= {
                key(registry, data_store, family, name, path=str(copy)),
                key(registry, data_store, family, name, path=str(source), verify=False),
            }
        assert len(keys) == 1, (family, name)


def test_other_items_change_the_key(
    registry: Registry, data_store: DataStore, tmp_path: Path
) -> None:
    for family, name in pinned(registry):
        pin, *more = (pin for pin, _ in registry.create(family, name, {}).reads())  # type: ignore[arg-type]
        if pin.files or more:
            continue
        source = data_store.locate(pin)
        other = tmp_path / f"{family}-{name}{source.suffix}"
        other.write_bytes(source.read_bytes().replace(b" is ", b" was "))
        plain = key(registry, data_store, family, name)
        assert plain != key(registry, data_store, family, name, path=str(other), verify=False)
        with pytest.raises(DataError, match="not the pinned data set"):
            key(registry, data_store, family, name, path=str(other))


def test_a_list_of_ones_own_is_known_by_its_words(
    registry: Registry, data_store: DataStore, tmp_path: Path
) -> None:
    def of(name: str, words: str) -> str:
        path = tmp_path / name
        path.write_text(words, encoding="utf-8")
        return key(registry, data_store, "masker", "wordlist", rules=["file"], path=str(path))

    assert of("a.txt", "baker\ntailor\n") == of("b.txt", "baker\ntailor\n")
    assert of("a.txt", "baker\ntailor\n") != of("c.txt", "baker\nsmith\n")


SPEC = """
model: smollm2-135m
corpus: dghs
source: gender
masker: {masker}
debiaser: mlm-unlearning
evaluators: crows-pairs
targets: gender
limits: {{passages: 10}}
"""


@pytest.mark.parametrize(
    ("masker", "reads"),
    [
        ("wordlist", False),
        ("{use: wordlist, rules: [harm]}", False),
        ("{use: wordlist, rules: [harm], harm_list: ldnoobw}", True),
    ],
)
def test_plan_names_the_data_that_is_read_and_no_other(
    masker: str, reads: bool, tmp_path: Path, shared_data: Path
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.format(masker=masker), encoding="utf-8")
    result = CliRunner().invoke(cli, ["--data-dir", str(shared_data), "plan", str(spec)])
    assert result.exit_code == 0, result.output
    assert ("ldnoobw" in result.output) is reads
