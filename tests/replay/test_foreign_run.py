"""A fit of someone else's run is done again from its masks: no request, no key, no file of mine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kept_run import carry_out, small_spec
from openai_server import Server, asked_text, naming, reply, serving

from harness.cli.main import cli
from harness.data.places import DataStore
from harness.errors import StoreError
from harness.plugins import load_registry
from harness.storage.store import Store

KEY = "sk-secret-0123456789abcdef"


def name_a_word(handler: Any, body: dict[str, Any]) -> None:
    """Name the longest word of the passage."""
    words = [word.strip(".,!?") for word in asked_text(body).split()]
    reply(naming(max(words, key=len)))(handler, body)


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, Server]]:
    """The one that made the masks, and the one that the run names."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with serving() as mine, serving() as foreign:
        mine.default = foreign.default = [name_a_word]
        yield mine, foreign


@pytest.fixture
def folder(tmp_path: Path, servers: tuple[Server, Server]) -> Path:
    """A run whose index names a server of someone else."""
    mine, foreign = servers
    registry = load_registry(strict=True)
    data = DataStore(cache_dir=tmp_path / "elsewhere", offline=False, domains=registry.domains)
    raw = small_spec(
        tmp_path,
        name="foreign",
        masker={"use": "openai", "base_url": mine.base_url, "backoff": 0.001},
        debiaser={"use": "mlm-unlearning", "learning_rate": 0.01},
        evaluators="embedded-pairs",
        steps=2,
    )
    store = Store(tmp_path / "runs" / "foreign")
    carry_out(raw, store, registry, data)
    assert mine.calls
    index = store.index()
    text = index.model_dump_json().replace(mine.base_url, foreign.base_url)
    store.write_index(type(index).model_validate_json(text))
    return store.folder


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


COMMANDS = {
    "export-model": lambda run, out: ("export-model", run, "mlm-unlearning", out),
    "repro": lambda run, _: ("repro", run, "--cell", "mlm-unlearning", "--refit"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("packed", [False, True], ids=["files", "packed"])
def test_the_stored_masks_are_used_and_nobody_is_asked(
    folder: Path, servers: tuple[Server, Server], tmp_path: Path, command: str, packed: bool
) -> None:
    mine, foreign = servers
    calls = mine.calls
    if packed:
        Store(folder).pack()
    result = run(*COMMANDS[command](folder, tmp_path / "out"))
    assert result.exit_code == 0, (result.output, result.exception)
    assert (mine.calls, foreign.calls) == (calls, 0)
    assert "differs" not in result.output


def test_without_stored_masks_only_a_server_of_the_command_line_is_asked(
    folder: Path, servers: tuple[Server, Server], tmp_path: Path
) -> None:
    mine, foreign = servers
    calls = mine.calls
    shutil.rmtree(folder / "masks")
    for name, words in COMMANDS.items():
        for more in ((), ("--server", mine.base_url)):
            result = run(*words(folder, tmp_path / name), *more)
            assert isinstance(result.exception, StoreError), result.output
            message = str(result.exception)
            assert "did not store its masks" in message
            assert f"--server {foreign.base_url}" in message
            assert KEY not in message + result.output
    assert (mine.calls, foreign.calls) == (calls, 0)
    assert not foreign.keys
    result = run(*COMMANDS["export-model"](folder, tmp_path / "out"), "--server", foreign.base_url)
    assert result.exit_code == 0, (result.output, result.exception)
    assert foreign.calls == calls


def test_masks_that_were_changed_are_not_used(
    folder: Path, servers: tuple[Server, Server], tmp_path: Path
) -> None:
    _, foreign = servers
    (path,) = (folder / "masks").iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    result = run(*COMMANDS["export-model"](folder, tmp_path / "out"))
    assert isinstance(result.exception, StoreError)
    assert str(path) in str(result.exception)
    assert foreign.calls == 0
    assert not (tmp_path / "out").exists()


def test_an_exported_model_has_the_modes_of_new_files(folder: Path, tmp_path: Path) -> None:
    result = run(*COMMANDS["export-model"](folder, tmp_path / "out"))
    assert result.exit_code == 0, result.exception
    (tmp_path / "new").write_bytes(b"")
    usual = (tmp_path / "new").stat().st_mode
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    found = {path.name: path.stat().st_mode for path in files}
    assert "model.safetensors" in found
    assert set(found.values()) == {usual}
    assert json.loads((tmp_path / "out" / "harness.json").read_text())["run"] == "foreign"
