"""A run with every registered evaluator is verified, and its scores are made again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from kept_run import small_spec

from harness.cli.main import cli
from harness.data.places import DataStore
from harness.lm.handle import ModelKind
from harness.plugins import Registered, load_registry
from harness.running.experiment import Experiment
from harness.storage.store import Store
from harness.testing.tiny_models import build_tiny

KINDS: tuple[ModelKind, ...] = ("causal", "masked")

EVALUATORS = [entry for entry in load_registry(strict=True) if entry.family == "evaluator"]

SETTINGS: dict[str, dict[str, Any]] = {
    "bbq": {"protocols": ["letter"]},
    "blimp": {"per_paradigm": 1},
    "wikitext2-perplexity": {"window": 32, "max_windows": 1},
    "lm-eval": {"tasks": ["local"], "include_path": "tasks"},
    "pairs": {"path": "pairs.jsonl", "domain_value": "gender"},
    "triples": {"path": "triples.jsonl", "domain_value": "gender", "context": "context"},
}
"""What an evaluator needs to be told, or what makes it quick. Files are below the run's folder."""

TASK = """\
task: local
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
"""


def write(folder: Path) -> None:
    """Write the files that `SETTINGS` names."""

    def lines(name: str, *rows: dict[str, Any]) -> Path:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
        return path

    pairs = [{"more": f"Women wait {n}.", "less": f"Men wait {n}."} for n in range(3)]
    lines("pairs.jsonl", *pairs)
    verbs = {"stereotype": "cry", "antistereotype": "win", "unrelated": "table"}
    triples = [
        {"context": f"Girls BLANK {n}.", **{k: f"Girls {verb} {n}." for k, verb in verbs.items()}}
        for n in range(3)
    ]
    lines("triples.jsonl", *triples)
    data = lines(
        "tasks/local.jsonl",
        *({"question": f"Who waits {n}?", "choices": ["men", "girls"], "answer": 0}
          for n in range(3)),
    )  # fmt: skip
    (folder / "tasks" / "local.yaml").write_text(TASK.format(data=data), "utf-8")


def save_model(folder: Path, kind: ModelKind) -> Path:
    """A tiny model with a context that holds a question of BBQ."""
    module, tokenizer = build_tiny(kind)
    name = "n_positions" if kind == "causal" else "max_position_embeddings"
    setattr(module.config, name, 1024)
    tokenizer.model_max_length = 1024
    type(module)(module.config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def configured(entry: Registered, folder: Path) -> dict[str, Any]:
    """An evaluator as a spec uses it."""
    settings = dict(SETTINGS.get(entry.name, {}))
    for field in ("path", "include_path"):
        if field in settings:
            settings[field] = str(folder / settings[field])
    return {"use": entry.name, **settings}


@pytest.fixture(scope="module", params=KINDS)
def run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_data: Path
) -> Iterator[tuple[Path, ModelKind]]:
    """The folder of a run of every evaluator, and the kind of its model."""
    kind: ModelKind = request.param
    folder = tmp_path_factory.mktemp(kind)
    write(folder)
    patch = pytest.MonkeyPatch()
    patch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "datasets")
    raw = small_spec(
        folder,
        model={"use": "hf", "id": str(save_model(folder / "model-of-1024", kind)), "as": "tiny"},
        debiaser=[{"use": "mlm-unlearning", "learning_rate": 0.01}],
        steps=[2],
        keep_checkpoints=True,
        neutral="wikitext2",
        targets=["gender"],
        evaluators=[configured(e, folder) for e in EVALUATORS if kind in e.plugin.kinds],
        limits={"items": 1, "passages": 4, "unseen": 40},
    )
    store = DataStore(data_dir=shared_data, cache_dir=folder / "cache", offline=True)
    Experiment.from_mapping(
        raw, registry=load_registry(strict=True), data=store, folder=folder / "runs" / "every"
    ).run()
    yield folder, kind
    patch.undo()


def test_every_evaluator_that_takes_such_a_model_measures_it(run: tuple[Path, ModelKind]) -> None:
    folder, kind = run
    store = Store(folder / "runs" / "every")
    failed = [store.failure(key) for key in store.failure_keys()]
    assert not failed, [failure.reason for failure in failed if failure is not None]
    measured = {
        (ref.evaluator, ref.step > 0)
        for cell in store.index().cells
        for ref in cell.measures
        if store.has_record(ref.key)
    }
    expected = {entry.name for entry in EVALUATORS if kind in entry.plugin.kinds}
    assert measured >= {(name, after) for name in expected for after in (False, True)}


@pytest.mark.parametrize("cell", [(), ("--cell", "mlm-unlearning/gender")], ids=["base", "cell"])
def test_its_scores_are_made_again(
    cell: tuple[str, ...], run: tuple[Path, ModelKind], shared_data: Path
) -> None:
    folder, kind = run
    if cell and kind == "masked":
        return  # long, and the kind makes no difference to what is asked of a cell
    words = ["--offline", "--data-dir", shared_data, "repro", folder / "runs" / "every", *cell]
    done = CliRunner().invoke(cli, [*map(str, words), "--items", "1"])
    assert done.exit_code == 0, (done.output, done.exception)
    assert "within the tolerance" in done.output
    compared = set(re.findall(r"^ *(\S+)", done.output, re.MULTILINE))
    expected = {entry.name for entry in EVALUATORS if kind in entry.plugin.kinds}
    assert compared >= expected, expected - compared


def test_it_is_verified(run: tuple[Path, ModelKind]) -> None:
    folder, _ = run
    done = CliRunner().invoke(cli, ["--offline", "verify", str(folder / "runs" / "every")])
    assert done.exit_code == 0, (done.output, done.exception)
