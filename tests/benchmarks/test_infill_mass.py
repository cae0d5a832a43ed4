"""`benchmarks/infill_mass.py` on a tiny model: resumable, and exact where it scores everything."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from fresh_env import REPO

from harness.testing import save_tiny_model


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(REPO / "benchmarks"))
    for name in ("infill_mass", "fit_step", "measuring", "peers"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import infill_mass

    return infill_mass


def test_it_goes_on_where_it_ended_and_agrees_with_the_exact_share(
    command: Any, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mass.jsonl"
    model = str(save_tiny_model(tmp_path / "model"))

    def run(passages: int) -> str:
        count = str(passages)
        options = ["--passages", count, "--counts", "4", "8", "--out", str(out)]
        options += ["--exact", "1", "--exact-suffix", "100"]
        command.main(["--data-dir", str(shared_data), "--model", model, *options])
        return capsys.readouterr().err

    assert "vocabulary of passage 1 of 1" in run(40)
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    estimates = [row for row in rows if row["kind"] == "estimate"]
    assert 60 < len(estimates) <= 40 * 2  # some first masked words are beyond the context
    assert all(0.0 < row["outside"] < 1.0 for row in estimates)
    with out.open("a", encoding="utf-8") as stream:
        stream.write('{"kind": "esti')  # a call was killed while it wrote
    said = run(40)
    assert said == ""  # nothing is measured twice
    assert len(out.read_text("utf-8").splitlines()) == len(rows)
    with out.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows[:-3])
    assert "estimates: 3 of 3" in run(40)
    shares = list(command.exact_shares(rows))
    assert len(shares) == 2
    for _, _, exact, estimate in shares:
        assert exact == pytest.approx(estimate, abs=0.15)
    by_count = {count: exact for _, count, exact, _ in shares}
    assert by_count[8] < by_count[4]
