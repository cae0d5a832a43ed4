"""The model `hf`: what is read is in its key, its place is not; a hub's commit stays fixed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness_models.huggingface import Gguf, HuggingFace
from hub_server import Hub, running_hub
from safetensors.torch import load_file, save_file

from harness.data.places import DataStore
from harness.errors import ModelError
from harness.lm.loading.hub import hub_commit
from harness.planning.keys import PluginInputs
from harness.planning.spec import PluginUse
from harness.plugins import load_registry
from harness.testing import save_tiny_model
from harness.types import LoadRequest

TEXT = ["Women and men wait near the station."]
REPO = "somebody/tiny"


def key_of(use: str, **config: Any) -> dict[str, Any]:
    """What the model adds to a content key, taken anew as a new process would."""
    hub_commit.cache_clear()
    registry = load_registry()
    plugin = registry.get("model", use).plugin
    full = plugin.Config(**config).model_dump(mode="json")
    inputs = PluginInputs(registry, DataStore(offline=True))
    return inputs.of("model", PluginUse(use=use, label="m", config=full))


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def sharded(folder: Path) -> Path:
    """Move the weights into two shards, one of them in a sub-folder."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    (folder / "parts").mkdir()
    where = {n: ("parts/b.safetensors" if k % 2 else "a.safetensors") for k, n in enumerate(names)}
    for shard in set(where.values()):
        own = {n: tensors[n] for n in names if where[n] == shard}
        save_file(own, folder / shard, {"format": "pt"})
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


MUST_CHANGE: dict[str, Callable[[Path], object]] = {
    "weights": lambda p: flip(p / "a.safetensors"),
    "a shard in a sub-folder": lambda p: flip(p / "parts" / "b.safetensors"),
    "the index": lambda p: edit(p / "model.safetensors.index.json", metadata={"a": 1}),
    "config": lambda p: edit(p / "config.json", layer_norm_epsilon=1e-3),
    "tokenizer": lambda p: edit(p / "tokenizer.json", truncation=None, padding=None, version="1.1"),
    "tokenizer config": lambda p: edit(p / "tokenizer_config.json", model_max_length=32),
    "special tokens": lambda p: (p / "special_tokens_map.json").write_text('{"bos_token": "!"}'),
    "added tokens": lambda p: (p / "added_tokens.json").write_text('{"x": 360}'),
    "a vocabulary": lambda p: (p / "vocab.txt").write_text("a\n"),
    "sentencepiece": lambda p: (p / "tokenizer.model").write_bytes(b"x"),
    "the start token": lambda p: (p / "harness_start_token.json").write_text("{}"),
}

MUST_NOT_CHANGE: dict[str, Callable[[Path], object]] = {
    "generation settings": lambda p: (p / "generation_config.json").write_text('{"top_k": 3}'),
    "a page": lambda p: (p / "README.md").write_text("news"),
    "a chat template": lambda p: (p / "chat_template.jinja").write_text("{{ x }}"),
    "pickled weights beside": lambda p: (p / "pytorch_model.bin").write_bytes(b"x"),
    "other weights beside": lambda p: (p / "consolidated.safetensors").write_bytes(b"x"),
    "git": lambda p: (p / ".gitattributes").write_text("*"),
    "a folder that is not read": lambda p: shutil.copytree(p / "parts", p / "checkpoint-5"),
}


@pytest.mark.parametrize("change", MUST_CHANGE)
def test_every_file_that_is_read_is_in_the_key(change: str, tmp_path: Path) -> None:
    folder = sharded(save_tiny_model(tmp_path / "model"))
    before = key_of("hf", id=str(folder))
    MUST_CHANGE[change](folder)
    assert key_of("hf", id=str(folder)) != before


@pytest.mark.parametrize("change", MUST_NOT_CHANGE)
def test_what_is_not_read_is_not_in_the_key(change: str, tmp_path: Path) -> None:
    folder = sharded(save_tiny_model(tmp_path / "model"))
    before = key_of("hf", id=str(folder))
    MUST_NOT_CHANGE[change](folder)
    assert key_of("hf", id=str(folder)) == before


def test_the_same_model_elsewhere_or_spelled_otherwise_has_the_same_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_tiny_model(tmp_path / "model")
    before = key_of("hf", id=str(folder))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "link").symlink_to(folder)
    for spelling in ("model", "./model/", f"{folder}/../model", "~/model", "link"):
        assert key_of("hf", id=spelling) == before, spelling
    assert key_of("hf", id=str(folder), kind="causal") == before
    assert key_of("hf", id=str(folder), max_memory={"cpu": "1GiB"}) == before
    folder.rename(tmp_path / "moved")
    assert key_of("hf", id="moved") == before
    assert key_of("hf", id="moved", start_token="none") != before


def test_a_gguf_file_is_its_content(tmp_path: Path) -> None:
    (tmp_path / "one.gguf").write_bytes(b"GGUF one")
    before = key_of("gguf", path=str(tmp_path / "one.gguf"))
    (tmp_path / "one.gguf").rename(tmp_path / "two.gguf")
    assert key_of("gguf", path=str(tmp_path / "two.gguf")) == before
    (tmp_path / "two.gguf").write_bytes(b"GGUF two")
    assert key_of("gguf", path=str(tmp_path / "two.gguf")) != before
    with pytest.raises(ModelError, match=r"x.gguf: no such GGUF file"):
        key_of("gguf", path=str(tmp_path / "x.gguf"))
    (tmp_path / "two.gguf").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelError, match=r"two.gguf: a git-lfs pointer"):
        Gguf(Gguf.Config(path=tmp_path / "two.gguf")).load(LoadRequest(cache_dir=tmp_path))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with an empty local cache; nothing else is reached."""
    from huggingface_hub import constants

    with running_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        hub_commit.cache_clear()
        yield hub
        hub_commit.cache_clear()


def plugin(**config: Any) -> HuggingFace:
    return HuggingFace(HuggingFace.Config(id=REPO, **config))


def test_one_commit_is_resolved_keyed_and_loaded(hub: Hub, tmp_path: Path) -> None:
    """FAULTS A6 and D2: nothing is cached at first, and the branch moves between plan and load."""
    old, new = (save_tiny_model(tmp_path / str(seed), seed=seed) for seed in (0, 1))
    first = hub.push(REPO, sharded(old))
    model = plugin()
    data = DataStore(offline=True)
    fingerprint = model.fingerprint(data)
    assert fingerprint == {"hub": REPO, "commit": first, "kind": "causal"}
    second = hub.push(REPO, new)
    pinned = model.pinned()
    assert pinned.revision == first
    loaded = HuggingFace(pinned).load(LoadRequest(cache_dir=tmp_path))
    unpinned = plugin().load(LoadRequest(cache_dir=tmp_path))
    expected = HuggingFace(HuggingFace.Config(id=str(old))).load(LoadRequest(cache_dir=tmp_path))
    for other in (loaded, unpinned):
        np.testing.assert_array_equal(
            other.token_scores(TEXT)[0].logprobs, expected.token_scores(TEXT)[0].logprobs
        )
    assert model.fingerprint(data) == fingerprint  # within the process
    assert key_of("hf", id=REPO)["fingerprint"]["commit"] == second  # the next one notices
    assert key_of("hf", id=REPO, revision=first)["fingerprint"] == fingerprint
    newer = plugin(revision=second).load(LoadRequest(cache_dir=tmp_path))
    assert not np.allclose(
        newer.token_scores(TEXT)[0].logprobs[1:], expected.token_scores(TEXT)[0].logprobs[1:]
    )


def test_what_is_cached_is_used_without_the_hub(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.push(REPO, save_tiny_model(tmp_path / "model"))
    plugin().load(LoadRequest(cache_dir=tmp_path))
    hub_commit.cache_clear()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert plugin().fingerprint(DataStore(offline=True))["commit"] == commit
    plugin().load(LoadRequest(cache_dir=tmp_path))
    hub_commit.cache_clear()
    with pytest.raises(ModelError, match="neither a local folder nor in the local cache, and the"):
        HuggingFace(HuggingFace.Config(id="somebody/else")).fingerprint(DataStore(offline=True))


def test_only_what_is_read_is_downloaded(hub: Hub, tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    for name in ("pytorch_model.bin", "consolidated.safetensors", "tf_model.h5"):
        (folder / name).write_bytes(b"x" * 1000)
    (folder / "onnx").mkdir()
    (folder / "onnx" / "config.json").write_text("{}")
    hub.push(REPO, folder)
    plugin().load(LoadRequest(cache_dir=tmp_path))
    taken = {path.rpartition("/")[2] for path in hub.asked if "/resolve/" in path}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= taken
    assert not taken & {"pytorch_model.bin", "consolidated.safetensors", "tf_model.h5"}
    assert not any("onnx" in path for path in hub.asked)


def test_what_the_hub_refuses_is_one_line(hub: Hub, tmp_path: Path) -> None:
    hub.push(REPO, save_tiny_model(tmp_path / "model"))
    cases: list[tuple[dict[str, Any], str]] = [
        ({"id": "nobody/nothing"}, "neither a local folder nor a public model of the hub"),
        ({"id": REPO, "revision": "v9"}, "has no branch, tag or commit 'v9' on the hub"),
        ({"id": "not a name"}, "is neither a local folder nor the id of a model on the hub"),
    ]
    for config, words in cases:
        with pytest.raises(ModelError, match=words) as caught:
            HuggingFace(HuggingFace.Config(**config)).fingerprint(DataStore(offline=True))
        assert "\n" not in str(caught.value)
    hub.gated.add(REPO)
    with pytest.raises(ModelError, match="is gated: accept its terms on the hub and log in"):
        plugin().fingerprint(DataStore(offline=True))
