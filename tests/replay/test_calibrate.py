"""Calibration: GPT-2's published counts are what the paper's table says; SmolLM2 takes the path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.main import cli
from harness.errors import DataError, HarnessError
from harness.replay.calibration import Figure, check, expected_figures


def test_the_published_counts_are_the_papers_step_0(shared_data: Path) -> None:
    import csv

    by_name = {figure.name: figure for figure in expected_figures(None).figures}
    crows = [f for f in by_name.values() if f.evaluator == "crows-pairs"]
    assert sum(f.numerator or 0 for f in crows) == 895
    assert sum(f.n for f in crows) == 1508
    with (shared_data.parent / "reference" / "paper_table2.csv").open(newline="") as stream:
        base = {
            r["domain"]: r
            for r in csv.DictReader(stream)
            if (r["group"], r["model"]) == ("ours", "gpt2")
        }
    for domain, row in base.items():
        for evaluator, metric, column in (
            ("crows-pairs", "stereotype_score", "crows_pairs"),
            ("stereoset", "ss_score", "stereoset"),
        ):
            figure = by_name[evaluator, domain, metric]
            assert figure.numerator is not None
            assert round(100 * figure.numerator / figure.n, 2) == float(row[column])
    lm = by_name["stereoset", "overall", "lm_score"]
    assert lm.numerator is not None
    assert round(100 * lm.numerator / (2 * lm.n), 2) == 91.24


def test_a_figure_that_differs_by_one_item_is_seen() -> None:
    expected = expected_figures(None)
    found = list(expected.figures)
    assert all(entry.ok for entry in check(expected, found))
    wrong = found[0].model_copy(update={"numerator": (found[0].numerator or 0) + 1})
    checks = check(expected, [wrong, *found[1:-1]])
    assert [entry.ok for entry in checks] == [False, *[True] * (len(found) - 2), False]


def invoke(shared_data: Path, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["--data-dir", str(shared_data), "--offline", *words])
    if isinstance(result.exception, HarnessError):
        return result.exception.exit_code, str(result.exception)
    return result.exit_code, result.output


def test_stored_counts_of_smollm2_hold_and_a_wrong_one_fails(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_cache import MODEL_CACHE

    monkeypatch.setenv("HARNESS_CACHE", str(MODEL_CACHE.parent))
    counts = tmp_path / "counts.json"
    options = ("--model", "smollm2-135m", "--set", "evaluators=[crows-pairs]")
    code, _ = invoke(
        shared_data, "calibrate", *options, "--limit", "3", "--write-counts", str(counts)
    )
    assert code == 0
    code, output = invoke(shared_data, "calibrate", *options, "--counts", str(counts))
    assert code == 0
    stored = json.loads(counts.read_text())
    assert f"{len(stored['figures'])} of {len(stored['figures'])} figures agree" in output
    counted = next(figure for figure in stored["figures"] if figure["numerator"] is not None)
    counted["numerator"] += 1
    counts.write_text(json.dumps(stored))
    code, output = invoke(shared_data, "calibrate", *options, "--counts", str(counts))
    assert code == 1
    assert "differs" in output


def test_gpt2_that_cannot_be_had_is_one_line(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    code, message = invoke(shared_data, "calibrate")
    assert code == 5
    assert message.startswith("cannot calibrate: model 'openai-community/gpt2'")
    assert "\n" not in message


def test_files_that_are_no_counts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        expected_figures(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text('{"figures": 3}')
    with pytest.raises(DataError, match="make one with --write-counts"):
        expected_figures(tmp_path / "bad.json")
    assert Figure(evaluator="e", domain="d", metric="m", n=1).name == ("e", "d", "m")
