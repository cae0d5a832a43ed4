"""Publishing a run: whole, checked, the same each time, and with the text of its README kept."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bench import Bench
from fresh_env import REPO
from kept_run import masked_run
from old_masks import without_words

from harness.storage.store import Store


def publish(run: Path, results: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPO / "benchmarks" / "publish.py"), str(run), "mine"]
    return subprocess.run(
        [*command, "--results", str(results), "--spec", "specs/mine.yaml", "--reported", "paper"],
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bench = Bench(tmp_path_factory.mktemp("bench"))
    bench.run()
    return bench.store.folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_published_run_is_whole_and_the_same_each_time(run: Path, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("| run | what | command |\n|---|---|---|\n")
    done = publish(run, tmp_path)
    assert done.returncode == 0, done.stderr
    first = contents(tmp_path / "mine")
    for name in ("index.json", "report.html", "README.md", "tables/numbers.csv",
                 "tables/tables.md", "tables/tables.tex"):  # fmt: skip
        assert name in first
    published, made = Store.open(tmp_path / "mine"), Store.open(run)
    assert [*published.record_keys()] == [*made.record_keys()]
    assert not [name for name in first if name.startswith("records/")]  # packed
    assert any(name.startswith("figures/matrix") and name.endswith(".svg") for name in first)
    readme = first["README.md"].decode()
    assert "harness run specs/mine.yaml" in readme
    assert "To be written" in readme
    assert "Reported, not measured here" in readme.split("Leaderboard: mean distance")[1]
    assert "[mine](mine/README.md)" in (tmp_path / "README.md").read_text()
    path = tmp_path / "mine" / "README.md"
    path.write_text(readme.replace("*To be written", "Nothing. *Once", 1), "utf-8")
    assert publish(tmp_path / "mine", tmp_path).returncode == 0  # from itself, too
    second = contents(tmp_path / "mine")
    assert "Nothing. *Once" in second["README.md"].decode()
    assert (tmp_path / "README.md").read_text().count("mine/README.md") == 1
    assert {k: v for k, v in second.items() if k != "README.md"} == {
        k: v for k, v in first.items() if k != "README.md"
    }


def test_masks_of_an_earlier_version_get_their_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(REPO / "benchmarks"))
    from publish import add_words

    store = masked_run(tmp_path, "wordlist", "random").store
    masks = {name: masks for name in store.mask_keys() if (masks := store.masks(name)) is not None}
    records = {key: store.record(key) for key in store.record_keys()}
    for new in masks.values():
        store.write_masks(without_words(new))
    store.pack()
    before = Store.open(store.folder)
    assert all(before.masks(name) != masks[name] for name in masks)
    add_words(before)
    after = Store.open(store.folder)
    assert {name: after.masks(name) for name in after.mask_keys()} == masks
    assert {key: after.record(key) for key in after.record_keys()} == records
    assert not (store.folder / "masks").exists()  # packed again


def test_a_run_that_gives_the_machine_away_or_was_altered_is_refused(
    run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    for name, content in contents(run).items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(content)
    path = min((copy / "records").iterdir())
    record = json.loads(path.read_text())
    del record["sha256"]
    record["measurements"][0]["metrics"][0]["value"] = 0.123
    path.write_text(json.dumps(record))
    refused = publish(copy, tmp_path / "results")
    assert refused.returncode == 1
    assert "do not follow from their items" in refused.stderr
    index = json.loads((copy / "index.json").read_text())
    del index["sha256"]
    index["spec"]["corpus"] = [{"use": "dghs", "config": {"path": "/home/somebody/dghs.csv"}}]
    (copy / "index.json").write_text(json.dumps(index))
    refused = publish(copy, tmp_path / "results")
    assert "holds a path of this machine: /home/somebody/dghs.csv" in refused.stderr
