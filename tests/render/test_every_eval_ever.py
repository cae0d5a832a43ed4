"""The export for Every Eval Ever: valid by the package's schema, and the stored numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from command_line import invoke
from made_runs import make_run
from scipy import stats

from harness.analysis.long_table import TidyRow, tidy_rows
from harness.storage.store import Store

SCHEMA = json.loads((Path(__file__).parent / "every_eval_ever" / "eval.schema.json").read_text())
PATH = re.compile(
    r"data/[^/]+/[^/]+/[^/]+/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.json"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_run(tmp_path_factory.mktemp("runs"), fail={("race", 30)})


@pytest.fixture(scope="module")
def logs(run: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return exported(run, tmp_path_factory.mktemp("out") / "datastore")


def exported(run: Store, folder: Path) -> dict[str, Any]:
    done = invoke("export", run.folder, "--format", "every-eval-ever", "--out", folder,
                  "--organization", "ACME")  # fmt: skip
    assert done.exit_code == 0, done.output
    return {
        path.relative_to(folder).as_posix(): json.loads(path.read_text("utf-8"))
        for path in folder.rglob("*.json")
    }


def test_every_log_is_valid_and_in_its_place(logs: dict[str, Any]) -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    checker = jsonschema.Draft7Validator(SCHEMA)
    for path, log in logs.items():
        assert not list(checker.iter_errors(log))
        assert PATH.fullmatch(path)
        assert log["schema_version"] == SCHEMA["version"]
        assert log["source_metadata"]["source_organization_name"] == "ACME"
        developer, model = log["model_info"]["id"].split("/")
        assert path.split("/")[2:4] == [developer, model]
        assert log["evaluation_id"].endswith("/" + log["retrieved_timestamp"])


def test_the_schema_refuses_what_is_left_out(logs: dict[str, Any]) -> None:
    """The check above can fail: a log without a required part is not valid."""
    log = next(iter(logs.values()))
    for part in SCHEMA["required"]:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({k: v for k, v in log.items() if k != part}, SCHEMA)


def test_every_model_has_one_log_with_all_its_numbers(run: Store, logs: dict[str, Any]) -> None:
    """Scores are those of the long table; a score with a target is the distance to it."""
    rows = {}
    last: dict[object, int] = {}
    for row in tidy_rows(run):
        last[row.identity] = max(last.get(row.identity, 0), row.step)
        rows[row.identity, row.step, row.evaluator, row.protocol, row.target, row.metric] = row
    wanted = {key: row for key, row in rows.items() if last[key[0]] == key[1] and _exported(row)}
    found = {}
    for log in logs.values():
        about = log["model_info"]["additional_details"]
        for result in log["evaluation_results"]:
            evaluator, protocol, metric, domain = result["evaluation_result_id"].split("/")
            matches = [
                key
                for key in wanted
                if key[1:] == (int(about["step"]), evaluator, protocol, domain, metric)
                and all(about.get(k, "None") == str(v) for k, v in key[0]._asdict().items())
            ]
            assert len(matches) == 1
            found[matches[0]] = result
    assert found.keys() == wanted.keys()
    assert any(row.direction == "target 50" for row in wanted.values())
    for key, result in found.items():
        row, score = wanted[key], result["score_details"]
        assert row.value is not None
        assert float(score["details"]["value"]) == pytest.approx(row.value, rel=1e-11)
        config = result["metric_config"]
        if row.direction == "target 50":
            assert score["score"] == pytest.approx(abs(row.value - 50.0), rel=1e-9, abs=1e-9)
            assert config["metric_id"].endswith("_distance_to_50")
            assert (config["min_score"], config["max_score"]) == (0.0, 50.0)
            assert config["lower_is_better"] is True
            assert "confidence_interval" not in score["uncertainty"]
        else:
            assert score["score"] == pytest.approx(row.value, rel=1e-11)
            assert config["lower_is_better"] is (row.direction == "lower")
        assert score["uncertainty"]["num_samples"] == row.n


def _exported(row: TidyRow) -> bool:
    return row.status == "measured" and row.value is not None and row.direction != "none"


def test_the_error_of_a_share_is_that_of_a_mean(run: Store, logs: dict[str, Any]) -> None:
    """Independent formulas: s / sqrt(n) of the items' decisions, and scipy's Wilson interval."""
    (base,) = (log for log in logs.values() if log["model_info"]["additional_details"]["step"] ==
               "0")  # fmt: skip
    checked = 0
    for result in base["evaluation_results"]:
        if result["evaluation_result_id"].split("/")[2] != "stereotype_score":
            continue
        details = result["score_details"]["details"]
        record = run.record(details["record"])
        assert record is not None
        (measured,) = (m for m in record.measurements if m.domain == details["domain"])
        shares = np.array([100.0 * i.values["prefers_stereotype"] for i in measured.items])
        error = stats.sem(shares)
        hits = int(shares.sum() / 100.0)
        low, high = stats.binomtest(hits, len(shares)).proportion_ci(method="wilson")
        low, high = 100.0 * low, 100.0 * high
        assert float(details["value_standard_error"]) == pytest.approx(error, rel=1e-9)
        assert float(details["value_ci_low"]) == pytest.approx(low, rel=1e-9)
        assert float(details["value_ci_high"]) == pytest.approx(high, rel=1e-9)
        checked += 1
    assert checked == 3


def test_the_same_run_gives_the_same_files(
    run: Store, logs: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "other.txt").write_text("stays")
    assert exported(run, tmp_path) == logs
    assert (tmp_path / "data" / "other.txt").read_text() == "stays"


def test_names_cannot_leave_the_folder(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", methods=["../../../up", "..", "a\nb"], maskers=[None],
                   sources=["gender"], targets=["gender"], steps=[10])  # fmt: skip
    found = exported(run, tmp_path / "out")
    assert len(found) == 5
    assert all(PATH.fullmatch(path) and "/.." not in path for path in found)
    assert {path.name for path in tmp_path.iterdir()} <= {"runs", "out", "cache"}


def test_a_folder_must_be_named(run: Store, tmp_path: Path) -> None:
    done = invoke("export", run.folder, "--format", "every-eval-ever")
    assert done.exit_code == 2
    assert "name a folder with --out" in done.output
    (tmp_path / "file").write_text("mine")
    done = invoke("export", run.folder, "--format", "every-eval-ever", "--out", tmp_path / "file")
    assert done.exit_code != 0
    assert "file" in str(done.exception)
    assert (tmp_path / "file").read_text() == "mine"
