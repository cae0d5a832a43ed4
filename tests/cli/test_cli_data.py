"""harness data: list, verify and fetch, on the real data and on an altered copy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from click.testing import CliRunner

from harness.cli.main import cli
from harness.errors import DataError


def invoke(folder: Path, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["--data-dir", str(folder), "--offline", "data", *words])
    if isinstance(result.exception, DataError):
        return result.exception.exit_code, str(result.exception)
    return result.exit_code, result.output


def test_every_pin_names_its_licence_and_is_found(shared_data: Path) -> None:
    code, output = invoke(shared_data, "list", "--json")
    assert code == 0
    listed = {entry["name"]: entry for entry in json.loads(output)}
    assert {"crows-pairs", "stereoset", "dghs", "hatecheck"} <= set(listed)
    for entry in listed.values():
        assert entry["licence"]
        assert entry["used_by"]
    assert listed["crows-pairs"]["path"] is not None


def test_the_shared_copies_are_the_pinned_data(shared_data: Path) -> None:
    code, output = invoke(shared_data, "verify")
    assert code == 0, output
    assert "crows-pairs: bytes ok: 1508 items" in output
    assert "stereoset: items ok: 2106 items" in output
    assert "altered" not in output


def test_an_altered_copy_is_told(shared_data: Path, tmp_path: Path) -> None:
    target = tmp_path / "data" / "crows_pairs"
    target.mkdir(parents=True)
    source = shared_data / "crows_pairs" / "crows_pairs_anonymized.csv"
    copy = Path(shutil.copy(source, target))
    copy.chmod(0o644)
    copy.write_bytes(copy.read_bytes().replace(b"engineer", b"musician", 1))
    code, output = invoke(tmp_path / "data", "verify", "crows-pairs")
    assert code == DataError.exit_code
    assert "crows-pairs: altered" in output


def test_names_and_absence(tmp_path: Path) -> None:
    code, output = invoke(tmp_path, "verify", "crows-pair")
    assert code == DataError.exit_code
    assert "did you mean 'crows-pairs'" in output
    code, output = invoke(tmp_path, "verify", "crows-pairs")
    assert (code, output.strip()) == (0, "crows-pairs: not found")
    code, output = invoke(tmp_path, "fetch", "crows-pairs")
    assert code == DataError.exit_code
