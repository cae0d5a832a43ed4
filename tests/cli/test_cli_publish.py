"""Published runs: a folder, its index and pages, and its upload to a hub on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from command_line import invoke
from made_runs import made_key, make_run
from upload_server import UploadHub, running_upload_hub

from harness.analysis.long_table import tidy_rows
from harness.errors import HarnessError, SpecError, StoreError
from harness.storage.archive import open_archive
from harness.storage.records import Failure
from harness.storage.store import Store
from harness.storage.uploading import HubTarget


def made(folder: Path, name: str) -> Store:
    return make_run(folder, name=name, sources=["gender"], targets=["gender", "race"], steps=[10])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Store]:
    folder = tmp_path_factory.mktemp("runs")
    return [made(folder / "a", "first"), made(folder / "b", "second")]


@pytest.fixture(scope="module")
def folder(runs: list[Store], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "site"
    done = invoke("publish", *(run.folder for run in runs), "--to", path, "--title", "A <b> & c")
    assert done.exit_code == 0, done.output
    return path


def index(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "index.json").read_text("utf-8"))
    assert isinstance(found, dict)
    return found


class Links(HTMLParser):
    """Collects the targets of links and what a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if tag == "a" and name == "href"]
        if tag in ("script", "link", "img", "iframe") and ("href", "data:,") not in attrs:
            self.loaded.append(tag)


def test_the_index_names_what_is_there(folder: Path, runs: list[Store], tmp_path: Path) -> None:
    about = index(folder)
    assert [run["name"] for run in about["runs"]] == [run.folder.name for run in runs]
    for entry, store in zip(about["runs"], runs, strict=True):
        archive = folder / entry["archive"]
        assert hashlib.sha256(archive.read_bytes()).hexdigest() == entry["archive_sha256"]
        there = open_archive(archive, tmp_path)
        assert [r.values() for r in tidy_rows(there)] == [r.values() for r in tidy_rows(store)]
        assert (folder / entry["page"]).is_file()
        assert entry["targets"] == ["gender", "race"]
    board = json.loads((folder / about["leaderboard"]).read_text("utf-8"))
    assert json.dumps(board).count("mlm-unlearning") >= 2


def test_the_numbers_are_those_of_the_run(folder: Path, runs: list[Store]) -> None:
    import pyarrow.parquet as pq

    for entry, store in zip(index(folder)["runs"], runs, strict=True):
        rows = pq.read_table(folder / entry["numbers"]).to_pylist()
        assert rows == [row.values() for row in tidy_rows(store)]


def test_the_front_page_links_to_files_and_loads_nothing(folder: Path) -> None:
    page = Links()
    text = (folder / "index.html").read_text("utf-8")
    page.feed(text)
    files = [link for link in page.links if not link.startswith("#")]
    assert len(files) == 8
    assert all((folder / unquote(link)).is_file() for link in files)
    assert all(run["verdict"].split(".")[0] in text for run in index(folder)["runs"])
    assert not page.loaded
    assert "A &lt;b&gt; &amp; c" in text
    assert "<b>" not in text


def test_the_card_has_a_head_for_data_sets_and_spaces(folder: Path) -> None:
    _, head, body = (folder / "README.md").read_text("utf-8").split("---\n", 2)
    found = yaml.safe_load(head)
    assert (found["sdk"], found["app_file"]) == ("static", "index.html")
    pattern = found["configs"][0]["data_files"]
    assert len(list(folder.glob(pattern))) == 2
    assert re.findall(r"^\| (?:a|b|first|second|made)", body, re.MULTILINE)


def test_another_run_joins_the_leaderboard(runs: list[Store], tmp_path: Path) -> None:
    for run in runs:
        done = invoke("publish", run.folder, "--to", tmp_path / "site")
        assert done.exit_code == 0, done.output
    assert {run["name"] for run in index(tmp_path / "site")["runs"]} == {
        run.folder.name for run in runs
    }


def test_paths_of_this_machine_are_not_published(tmp_path: Path) -> None:
    run = made(tmp_path / "runs", "mine")
    stored = run.index()
    run.write_index(stored.model_copy(update={"spec": {"model": "/home/someone/secret"}}))
    with pytest.raises(StoreError, match=r"names paths of this machine \(/home/someone/secret\)"):
        raise invoke("publish", run.folder, "--to", tmp_path / "site").exception or AssertionError
    assert not (tmp_path / "site").exists()
    assert invoke("publish", run.folder, "--to", tmp_path / "site", "--allow-paths").exit_code == 0
    run.write_index(stored)
    key = made_key("failed")
    run.write_failure(Failure(key=key, reason="no file /tmp/x", trace=None, created_at="now"))
    with pytest.raises(StoreError, match=r"\(/tmp/x\)"):
        raise invoke("publish", run.folder, "--to", tmp_path / "site").exception or AssertionError


# -- upload ----------------------------------------------------------------------------------


@pytest.fixture
def hub() -> Iterator[UploadHub]:
    with running_upload_hub() as server:
        yield server


def publish(hub_url: str, tmp_path: Path, *words: object) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub_url,
        "HF_TOKEN": "hf_made_up",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
    }
    line = [sys.executable, "-m", "harness", "publish", *map(str, words)]
    return subprocess.run(
        line, capture_output=True, text=True, check=False, timeout=120, env=environment
    )


@pytest.mark.parametrize("kind", ["datasets", "spaces"])
def test_an_upload_brings_the_folder_to_the_hub(
    hub: UploadHub, runs: list[Store], tmp_path: Path, kind: str
) -> None:
    done = publish(hub.url, tmp_path, runs[0].folder, "--to", f"hf://{kind}/org/name", "--private")
    assert done.returncode == 0, done.stderr
    assert f"{kind}/org/name" in done.stdout
    (created,) = hub.created
    assert created["type"] == kind[:-1]
    assert created.get("sdk") == ("static" if kind == "spaces" else None)
    assert created.get("private") or created.get("visibility") == "private"
    assert hub.tokens == {"Bearer hf_made_up"}
    assert len(hub.commits) == 1
    local = tmp_path / "site"
    assert invoke("publish", runs[0].folder, "--to", local).exit_code == 0
    expected = {
        path.relative_to(local).as_posix(): path.read_bytes()
        for path in local.rglob("*")
        if path.is_file()
    }
    assert hub.files[f"{kind}/org/name"] == expected
    if kind == "datasets":  # a repository that exists is used
        again = publish(hub.url, tmp_path, runs[1].folder, "--to", f"hf://{kind}/org/name")
        assert again.returncode == 0, again.stderr
        found = json.loads(hub.files[f"{kind}/org/name"]["index.json"])
        assert [run["name"] for run in found["runs"]] == [runs[1].folder.name]
        assert len(hub.commits) == 2


def test_a_hub_that_refuses_is_one_line(hub: UploadHub, runs: list[Store], tmp_path: Path) -> None:
    hub.refuse = 401
    done = publish(hub.url, tmp_path, runs[0].folder, "--to", "hf://datasets/org/name")
    assert done.returncode == 7
    assert "log in with `hf auth login`" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hf_made_up" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    "target", ["hf://", "hf://org/name", "hf://models/org/name", "hf://datasets/name",
               "hf://datasets/a/b/c", "hf://datasets/../x y"]
)  # fmt: skip
def test_other_targets_are_one_line(target: str) -> None:
    with pytest.raises(SpecError, match="write hf://datasets/ORG/NAME"):
        HubTarget.of(target)


def test_offline_uploads_nothing(runs: list[Store]) -> None:
    done = invoke("publish", runs[0].folder, "--to", "hf://datasets/org/name")  # --offline
    assert isinstance(done.exception, HarnessError)
    assert "--offline" in str(done.exception)
