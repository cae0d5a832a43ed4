"""Files on their way to workers, and the options of the Ray executor; no cluster is needed."""

from __future__ import annotations

import io
import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from run_toys import TINY_SPEC
from toy_plugins import TOY_SPEC

from harness.cli.main import cli
from harness.data.places import DataStore
from harness.errors import DataError
from harness.plugins import load_registry
from harness.render.console.progress import ConsoleReporter
from harness.render.console.terminal import Terminal
from harness.running.executors import parcels as shipping
from harness.running.executors.manifest import manifest
from harness.running.executors.parcels import files_of, pack, pack_at, unpack
from harness.running.executors.remote_worker import other_software, software
from harness.running.experiment import Experiment
from harness.running.reporting import Reporter
from harness.running.units import Inputs, Job, units_of
from harness.testing import save_tiny_model


def fill(folder: Path) -> Path:
    (folder / "sub").mkdir(parents=True)
    (folder / "a.bin").write_bytes(bytes(range(256)) * 10)
    (folder / "sub" / "empty").write_bytes(b"")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("not for others")
    (folder / "link").symlink_to(folder / "a.bin")
    return folder


def test_what_is_packed_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "PIECE", 1000)
    folder, pieces = fill(tmp_path / "own"), []
    parcel = pack(files_of(folder), "own", lambda piece: pieces.append(piece) or len(pieces) - 1)
    assert max(map(len, pieces)) == 1000
    fetched: list[int] = []

    def fetch(piece: int) -> bytes:
        fetched.append(piece)
        return pieces[piece]

    there = unpack(parcel, tmp_path / "there", fetch)
    assert there.name == "own"
    assert {path: file.read_bytes() for path, file in files_of(there).items()} == {
        "a.bin": (folder / "a.bin").read_bytes(),
        "link": (folder / "a.bin").read_bytes(),
        "sub/empty": b"",
    }
    assert not list(there.parent.glob(".*")), "scratch or lock is left"
    fetched.clear()
    assert unpack(parcel, tmp_path / "there", fetch) == there
    assert not fetched, "what was there was fetched again"


def test_a_lone_file_keeps_its_name_and_content_names_the_place(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"one")
    one = pack(files_of(file), file.name, bytes)
    assert unpack(one, tmp_path / "there", bytes).read_bytes() == b"one"
    assert pack(files_of(file), file.name, bytes) == one
    file.write_bytes(b"two")
    two = pack(files_of(file), file.name, bytes)
    assert two.place != one.place
    assert unpack(two, tmp_path / "there", bytes).name == "model.gguf"


@pytest.mark.parametrize("harm", ["altered", "cut off", "lost", "more", "unreadable"])
def test_a_damaged_copy_on_a_worker_is_made_anew(
    tmp_path: Path, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its content would be scored under the key of the driver's."""
    parcel = pack(files_of(fill(tmp_path / "own")), "own", bytes)
    before = files_of(tmp_path / "own")
    place = unpack(parcel, tmp_path / "there", bytes)
    file = place / "a.bin"
    if harm == "altered":
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    elif harm == "cut off":
        file.write_bytes(b"")
    elif harm == "lost":
        file.unlink()
    elif harm == "more":
        (place / "b.bin").write_bytes(b"x")
    else:
        file.unlink()
        file.symlink_to(file.name)
    monkeypatch.setattr(shipping, "_checked", set())  # as in the next process
    assert unpack(parcel, tmp_path / "there", bytes) == place
    after = files_of(place)
    assert {name: path.read_bytes() for name, path in after.items()} == {
        name: path.read_bytes() for name, path in before.items()
    }


def test_an_interrupted_unpacking_leaves_nothing(tmp_path: Path) -> None:
    parcel = pack_at(files_of(fill(tmp_path / "own")), "models/own", bytes)

    def lost(piece: bytes) -> bytes:
        raise RuntimeError("the driver is gone")

    with pytest.raises(RuntimeError):
        unpack(parcel, tmp_path / "there", lost)
    assert not list((tmp_path / "there" / "models").iterdir())
    assert (unpack(parcel, tmp_path / "there", bytes) / "a.bin").is_file()


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    parcel = pack_at(files_of(fill(tmp_path / "own")), "models/own", bytes)
    (tmp_path / "there").write_text("a file")
    with pytest.raises(DataError, match=r"cannot be written: .*; free some space there, or set"):
        unpack(parcel, tmp_path / "there", bytes)


def test_a_runs_files_are_found(tmp_path: Path, shared_data: Path) -> None:
    """Pinned data by its place in a data folder; a config's path, and a model's folder, by field;
    what a model has ready in the cache, by its name there."""
    registry = load_registry(strict=True)
    own = tmp_path / "own.csv"
    shutil.copy(shared_data / "crows_pairs" / "crows_pairs_anonymized.csv", own)
    cache = tmp_path / "there"
    ready = cache / "models" / "smollm2-135m-b179c9523d0e"
    ready.mkdir(parents=True)
    (ready / "model.safetensors").touch()
    raw = {
        **TINY_SPEC,
        "model": [{"use": "hf", "id": str(save_tiny_model(tmp_path / "tiny"))}, "smollm2-135m"],
        "evaluators": ["stereoset", {"use": "crows-pairs", "path": str(own)}],
    }
    data = DataStore(data_dir=shared_data, cache_dir=cache, offline=True)
    experiment = Experiment.from_mapping(raw, registry=registry, data=data)
    spec, plan = experiment.spec, experiment.plan()
    units = tuple(units_of(plan, set(plan.tasks())))
    job = Job(spec, units, lambda unit: Inputs(), registry, data, Reporter())
    run = manifest(job, load_registry, len)
    assert run.data is not None
    assert [packed.path for packed in run.data.files] == ["stereoset/dev.json"]
    ((use, fields), (other, more)) = run.paths.items()
    assert (use, other) == (("model", "hf"), ("evaluator", "crows-pairs"))
    assert fields["id"][0] == str(tmp_path / "tiny")
    assert more["path"][1].place.endswith("/own.csv")
    assert {label: parcel.place for label, parcel in run.cached.items()} == {
        "smollm2-135m": "models/smollm2-135m-b179c9523d0e"
    }
    assert {"model", "debiaser", "masker", "corpus", "evaluator"} == {f for f, _ in run.origins}


def test_a_hub_model_is_pinned_to_the_commit_that_the_plan_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness_models.huggingface import HuggingFace, HuggingFaceConfig
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    refs = tmp_path / "models--some--model" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text("c0ffee")
    model = HuggingFace(HuggingFaceConfig(id="some/model"))
    assert model.pinned().revision == "c0ffee"
    assert model.paths() == {}
    folder = HuggingFace(HuggingFaceConfig(id=str(tmp_path)))
    assert folder.pinned() == folder.config
    assert folder.paths() == {"id": tmp_path}


def test_other_software_is_named_and_the_same_is_not() -> None:
    ours = software()
    assert other_software(ours) == ""
    theirs = {**ours, "torch": "1.0", "vllm": "2"}
    assert other_software(theirs) == (
        f"torch is {ours['torch']}, the driver's is 1.0; vllm is missing, the driver's is 2"
    )


def test_the_time_left_knows_of_workers_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four workers, 10 s a quick and 100 s a slow measurement; 110 s have passed."""
    clock = itertools.chain([0.0, 0.0], itertools.repeat(110.0))
    monkeypatch.setattr("harness.render.console.progress.time.perf_counter", lambda: next(clock))
    reporter = ConsoleReporter(Terminal(file=io.StringIO()))
    reporter.begin({"quick": 12, "slow": 5}, 0)
    reporter._seconds = {"quick": [10.0] * 4, "slow": [100.0] * 4}  # 440 s of measuring
    reporter._counted = 8
    assert reporter._left() == "about 0:02:35 left"  # (12 x 10 + 5 x 100) / 4 s


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--retries", "2"], "--retries is for --executor ray"),
        (["--executor", "ray", "--ray-address", "ray://head:10001"], "--ray-address auto"),
        (["--executor", "ray", "--ray-address", "127.0.0.1:9"], "no Ray cluster at '127.0.0.1:9'"),
        (["--executor", "ray", "--gpus-per-task", "-1"], "--gpus-per-task"),
        (["--executor", "dask"], "'dask' is not one of"),
    ],
)
def test_options_that_cannot_be_used_are_told(
    tmp_path: Path, options: Sequence[str], said: str
) -> None:
    words = ["--offline", "run", "quickstart", "--results", str(tmp_path), *options]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code
    assert said in f"{result.output} {result.exception}"


def test_the_toy_spec_needs_no_files(tmp_path: Path) -> None:
    from toy_plugins import toy_registry

    registry = toy_registry()
    data = DataStore(cache_dir=tmp_path, offline=True)
    experiment = Experiment.from_mapping(TOY_SPEC, registry=registry, data=data)
    spec, plan = experiment.spec, experiment.plan()
    units = tuple(units_of(plan, set(plan.tasks())))
    run = manifest(
        Job(spec, units, lambda u: Inputs(), registry, data, Reporter()), toy_registry, len
    )
    assert (run.data, run.paths, run.cached, run.keep) == (None, {}, {}, False)
