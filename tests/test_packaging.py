"""The wheel holds what it needs, and works outside the checkout."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from fresh_env import REPO, FreshEnv

from harness.cli.main import COMMANDS


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=REPO,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> FreshEnv:
    """An environment with the wheel and without the checkout."""
    env = FreshEnv.make(tmp_path_factory.mktemp("elsewhere"), with_checkout=False)
    env.pip_install(wheel)
    return env


def test_wheel_holds_code_specs_and_no_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "harness/py.typed" in names
    for spec in (REPO / "specs").glob("*.yaml"):
        assert f"harness/specs/{spec.name}" in names
    for reported in (REPO / "results" / "reported").glob("*.json"):
        assert f"harness/results/reported/{reported.name}" in names
    for source in [*(REPO / "harness").rglob("*.py"), *(REPO / "plugins").rglob("*.py")]:
        below = source.relative_to(REPO)
        packed = below.relative_to("plugins") if below.parts[0] == "plugins" else below
        assert packed.as_posix() in names
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"harness", *(folder.name for folder in (REPO / "plugins").glob("harness_*"))}
    assert not [name for name in names if "test_" in name or "__pycache__" in name]
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_it_is_the_wheels_code_that_runs(elsewhere: FreshEnv) -> None:
    shown = elsewhere.run("python", "-c", "import harness; print(harness.__file__)").stdout.strip()
    assert Path(shown).is_relative_to(elsewhere.root)


def test_console_command_and_plugins(elsewhere: FreshEnv) -> None:
    shown = elsewhere.run("harness", "--help")
    assert shown.returncode == 0
    assert all(name in shown.stdout for name in COMMANDS)
    listed = elsewhere.run("harness", "--strict-plugins", "plugins", "--json")
    assert listed.returncode == 0, listed.stderr
    found = json.loads(listed.stdout)
    assert found["failures"] == []
    assert {"smollm2-135m", "embedded", "mlm-unlearning"} <= {p["name"] for p in found["plugins"]}


def test_reported_numbers_are_found(elsewhere: FreshEnv) -> None:
    code = (
        "from harness.analysis.reported import find_publication as f; "
        "print(len(f('paper').numbers))"
    )
    shown = elsewhere.run("python", "-c", code)
    assert shown.stdout.strip() == "48", shown.stderr


def test_quickstart_is_planned_by_its_bare_name(elsewhere: FreshEnv) -> None:
    planned = elsewhere.run("harness", "--offline", "plan", "quickstart")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert "quickstart" in planned.stdout
    assert "missing" not in planned.stdout


@pytest.mark.parametrize("released", [False, True])
def test_release_notes_are_the_section_of_the_version(tmp_path: Path, released: bool) -> None:
    version = "0.1.0"
    changes = "# Changelog\n\n## [Unreleased]\n\n- New.\n"
    if released:
        changes += f"\n## [{version}] - 2026-11-26\n\n### Added\n\n- Released.\n"
    changes += "\n## [0.0.1]\n\n- Old.\n\n[0.0.1]: https://example.org\n"
    (tmp_path / "CHANGELOG.md").write_text(changes)
    (tmp_path / "pyproject.toml").write_text(f'[project]\nversion = "{version}"\n')
    (tmp_path / "Makefile").write_text((REPO / "Makefile").read_text("utf-8"))
    subprocess.run(["make", "-s", "build/release/NOTES.md"], cwd=tmp_path, check=True)
    notes = (tmp_path / "build" / "release" / "NOTES.md").read_text()
    assert notes.split() == ("### Added - Released." if released else "- New.").split()
