"""Content keys: what can change an answer is in them, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.main import cli
from harness.data.places import DataStore
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


def test_the_same_data_at_another_place_have_the_same_key(
    registry: Registry, data_store: DataStore, shared_data: Path, tmp_path: Path
) -> None:
    found = data_store.locate(registry.get("corpus", "hatecheck").plugin.pins[0])
    copy = tmp_path / "elsewhere" / found.name
    copy.parent.mkdir()
    shutil.copy(found, copy)
    assert key(registry, data_store, "corpus", "hatecheck") == key(
        registry, data_store, "corpus", "hatecheck", path=str(copy)
    )


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
