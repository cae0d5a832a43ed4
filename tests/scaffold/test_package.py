"""``harness new plugin``: what it writes installs and passes, for every family."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner
from fresh_env import FreshEnv

from harness.cli.main import cli
from harness.errors import SpecError
from harness.families import Family
from harness.scaffold.package import write_package

FAMILIES: tuple[Family, ...] = get_args(Family)


def test_a_new_package_installs_and_passes_for_every_family(tmp_path: Path) -> None:
    env = FreshEnv.make(tmp_path, with_checkout=True)
    folders = {family: env.work / f"my-{family}" for family in FAMILIES}
    for family, folder in folders.items():
        result = CliRunner().invoke(
            cli, ["new", "plugin", f"my-{family}", "--family", family, "--to", str(folder)]
        )
        assert result.exit_code == 0, result.output
        assert f"pip install -e {folder}" in result.output.replace("\n", "")
    env.pip_install(*folders.values())
    listed = json.loads(env.run("harness", "plugins", "--json").stdout)
    assert listed["failures"] == []
    names = {(row["family"], row["name"]) for row in listed["plugins"]}
    assert names >= {(family, f"my-{family}") for family in FAMILIES}
    tested = env.run(
        "pytest", "-q", "-W", "error", "--import-mode=importlib", *map(str, folders.values())
    )
    assert tested.returncode == 0, tested.stdout
    assert "6 passed" in tested.stdout


@pytest.mark.parametrize("name", ["My-Method", "my_method", "-x", "a--b", "", "2x", "x" + "/y"])
def test_a_name_that_cannot_be_one_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="is not a plugin name; use lower-case"):
        write_package(name, "masker", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_files_that_are_there_are_kept(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(SpecError, match="is not empty; name another folder with --to"):
        write_package("my-masker", "masker", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(SpecError, match="cannot be written"):
        write_package("my-masker", "masker", tmp_path / "file" / "below")
    assert (tmp_path / "README.md").read_text() == "mine"
