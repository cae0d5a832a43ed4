"""Debiased models written for transformers and peft, and loaded without the harness."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
import yaml
from fences import FENCE
from harness_evaluators.embedded import embedded_pairs
from kept_run import METHODS, again, carry_out, small_spec
from made_runs import make_run
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.data.places import DataStore
from harness.errors import ModelError, StoreError
from harness.lm.saving.merging import merge
from harness.plugins import Registry, load_registry
from harness.render.model_card import write_card
from harness.replay.model_export import Export, export_model
from harness.replay.rerun import Rerun
from harness.storage.cells import select_cell
from harness.storage.store import Store
from harness.testing import tiny_masked_model

# peft 0.21 reads an attribute that transformers 5 has renamed
pytestmark = pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"
)


class Runs:
    """The same small run twice: with its checkpoints, and without."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry: Registry = load_registry(strict=True)
        self.data = DataStore(cache_dir=folder / "cache", offline=True)
        self.kept = self._run("kept", keep_checkpoints=True)
        self.bare = self._run("bare", debiaser=METHODS[:4])

    def _run(self, name: str, **changes: object) -> Store:
        store = Store(self.folder / "runs" / name)
        raw = small_spec(self.folder, name=name, **changes)
        carry_out(raw, store, self.registry, self.data)
        return store

    def again(self, store: Store) -> Rerun:
        return again(store, self.registry, self.data)

    def export(self, store: Store, cell: str, path: Path, **options: Any) -> Export:
        run = self.again(store)
        chosen = select_cell(run.index.cells, cell)
        step = chosen.debiased_step(options.pop("step", None))

        def describe(folder: Path, holds: tuple[str, ...]) -> None:
            write_card(folder, store, chosen, step, holds)

        return export_model(run, chosen, step, path, describe=describe, **options)

    def stored(self, cell: str, step: int) -> dict[str, dict[str, float]]:
        """Stored pairs of the target gender, by item id."""
        index = self.kept.index()
        for ref in select_cell(index.cells, cell).measures:
            if (ref.step, ref.evaluator) == (step, "embedded-pairs"):
                record = self.kept.record(ref.key)
                assert record is not None
                (own,) = (
                    m for m in record.measurements if (m.domain, m.protocol) == ("gender", "hf_nll")
                )
                return {item.id: item.values for item in own.items}
        raise AssertionError(f"{cell} has no pairs at step {step}")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


def plain_score(module: Any, tokenizer: Any, text: str) -> float:
    """Mean log-probability of the tokens after the first, by transformers alone."""
    ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        table = torch.log_softmax(module(input_ids=ids).logits[0].double(), dim=-1)
    return float(table[:-1].gather(1, ids[0, 1:, None]).mean())


def assert_scores(module: Any, folder: Path, stored: dict[str, dict[str, float]]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pairs = {pair.id: pair for pair in embedded_pairs("gender")}
    assert len(stored) == 12
    for item, values in stored.items():
        for name in ("more", "less"):
            found = plain_score(module, tokenizer, getattr(pairs[item], name))
            assert found == pytest.approx(values[name], abs=1e-5)


def base(runs: Runs) -> Any:
    return AutoModelForCausalLM.from_pretrained(runs.folder / "model").eval()


def same_tensors(one: Path, other: Path) -> bool:
    a, b = load_file(one), load_file(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# -- loaded outside the harness --------------------------------------------------------------


@pytest.mark.parametrize("step", [2, 4])
def test_weights_are_loaded_by_transformers(runs: Runs, step: int, tmp_path: Path) -> None:
    done = runs.export(runs.kept, "weights/gender", tmp_path / "model", step=step)
    assert (done.how, done.holds) == ("kept", ("weights",))
    module = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    assert_scores(module, tmp_path / "model", runs.stored("weights", step))


def test_an_adapter_is_loaded_by_peft(runs: Runs, tmp_path: Path) -> None:
    from peft import AutoPeftModelForCausalLM, PeftModel

    done = runs.export(runs.kept, "adapter", tmp_path / "model")
    assert done.holds == ("adapter",)
    assert not (tmp_path / "model" / "model.safetensors").exists()
    module: Any = PeftModel.from_pretrained(base(runs), tmp_path / "model")
    assert_scores(module, tmp_path / "model", runs.stored("adapter", 4))
    by_itself: Any = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "model")  # finds its base
    assert_scores(by_itself.eval(), tmp_path / "model", runs.stored("adapter", 4))


@pytest.mark.parametrize("cell", ["matrix", "matrix-and-bias", "inner-matrix"])
def test_projections_are_applied_by_the_lines_that_lie_beside_them(
    runs: Runs, cell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = runs.export(runs.kept, cell, tmp_path / "model")
    assert done.holds == ("projections",)
    ((language, code),) = FENCE.findall((tmp_path / "model" / "README.md").read_text("utf-8"))
    assert language == "python"
    model = base(runs)
    monkeypatch.chdir(tmp_path / "model")
    exec(code, {"model": model})
    assert_scores(model, tmp_path / "model", runs.stored(cell, 1))


# -- merged ----------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["adapter", "matrix"])
def test_what_is_merged_is_loaded_by_transformers_alone(
    runs: Runs, cell: str, tmp_path: Path
) -> None:
    done = runs.export(runs.kept, cell, tmp_path / "model", merged=True)
    assert done.holds == ("weights",)
    module = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    assert not any("lora" in name for name, _ in module.named_parameters())
    assert_scores(module, tmp_path / "model", runs.stored(cell, 4 if cell == "adapter" else 1))


@pytest.mark.parametrize(
    ("cell", "why"),
    [("matrix-and-bias", "has a bias"), ("inner-matrix", "between its layers")],
)
def test_what_cannot_be_merged_says_why_and_leaves_nothing(
    runs: Runs, cell: str, why: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=why) as raised:
        runs.export(runs.kept, cell, tmp_path / "model", merged=True)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.glob("*model*"))


def test_an_output_of_several_layers_is_not_merged() -> None:
    model = tiny_masked_model()
    matrix = np.eye(32)
    matrix[0, 0] = 0.0
    model.project(matrix)
    with pytest.raises(ModelError, match="more than one linear layer"):
        merge(model)


# -- fitted again ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "file"),
    [
        ("weights", "model.safetensors"),
        ("adapter", "adapter_model.safetensors"),
        ("matrix-and-bias", "projections.safetensors"),
    ],
)
def test_a_refitted_model_is_the_kept_one(runs: Runs, cell: str, file: str, tmp_path: Path) -> None:
    assert runs.export(runs.kept, cell, tmp_path / "kept").how == "kept"
    done = runs.export(runs.bare, cell, tmp_path / "again")
    assert done.how == "refitted"
    assert same_tensors(tmp_path / "kept" / file, tmp_path / "again" / file)
    names = {row.evaluator for row in done.agreement}
    assert names == {"embedded-pairs", "embedded-perplexity", "corpus-perplexity"}
    assert all(row.largest < 1e-6 and not row.changed for row in done.agreement)
    origin = json.loads((tmp_path / "again" / "harness.json").read_text("utf-8"))
    assert (origin["run"], origin["step"]) == ("bare", 1 if cell == "matrix-and-bias" else 4)


def test_a_model_that_is_not_the_measured_one_is_not_written(runs: Runs, tmp_path: Path) -> None:
    """Another rate in the stored spec: what is fitted is not what was measured."""
    store = Store(tmp_path / "run")
    index = runs.bare.index()
    text = index.model_dump_json().replace('"learning_rate":0.01', '"learning_rate":0.03')
    store.prepare()
    store.write_index(type(index).model_validate_json(text))
    for key in runs.bare.record_keys():
        record = runs.bare.record(key)
        assert record is not None
        store.write_record(record)
    with pytest.raises(StoreError, match=r"not the one that was measured .*0\.01, now 0\.03"):
        runs.export(store, "weights", tmp_path / "model")
    assert not (tmp_path / "model").exists()
    assert runs.export(store, "weights", tmp_path / "model", check=False).agreement == ()


def test_a_model_without_scores_is_written_unchecked(runs: Runs, tmp_path: Path) -> None:
    store = Store(tmp_path / "run")
    store.prepare()
    store.write_index(runs.bare.index())
    assert runs.export(store, "weights", tmp_path / "model").agreement == ()


def test_distributions_cannot_be_written_as_weights(runs: Runs, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be written as weights") as raised:
        runs.export(runs.kept, "self-debias", tmp_path / "model")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "model").exists()


# -- the card --------------------------------------------------------------------------------


def front_matter(card: str) -> dict[str, Any]:
    _, head, _ = card.split("---\n", 2)
    found = yaml.safe_load(head)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("cell", ["weights", "adapter", "matrix"])
def test_the_card_has_the_stored_scores(runs: Runs, cell: str, tmp_path: Path) -> None:
    runs.export(runs.kept, cell, tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text("utf-8")
    library = "peft" if cell == "adapter" else "transformers"
    assert front_matter(card)["library_name"] == library
    for part in ("Results", "Cost", "Warnings", "Licence", "How to load it"):
        assert f"## {part}\n" in card
    assert "| source domain | gender |" in card
    entries = yaml.safe_load(
        (tmp_path / "model" / ".eval_results" / "bias-transfer-harness.yaml").read_text("utf-8")
    )
    parsed = huggingface_hub.parse_eval_result_entries(entries)
    assert len(parsed) == len(entries) > 0
    step = 1 if cell == "matrix" else 4
    wanted = {}
    index = runs.kept.index()
    for ref in select_cell(index.cells, cell).measures:
        record = runs.kept.record(ref.key, items=False)
        assert record is not None
        for m in record.measurements if ref.step == step else ():
            for metric in m.metrics:
                wanted[ref.evaluator, f"{m.domain}/{m.protocol}/{metric.name}"] = metric.value
    for entry in entries:
        key = entry["dataset"]["id"], entry["dataset"]["task_id"]
        if key in wanted:
            assert entry["value"] == pytest.approx(wanted[key], rel=1e-9)
            assert f"{entry['value']:.2f}".replace("-", "−") in card
    assert sum((e["dataset"]["id"], e["dataset"]["task_id"]) in wanted for e in entries) >= 4


def test_the_card_of_a_hub_model_names_its_base(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", sources=["gender"], targets=["gender"], steps=[10])
    index = run.index()
    cell = select_cell(index.cells, "mlm-unlearning")
    for name, named in (("org/model-1", True), ("/home/me/model", False), ("model", False)):
        spec = {**index.spec, "model": [{"use": "hf", "label": cell.model, "config": {"id": name}}]}
        run.write_index(index.model_copy(update={"spec": spec}))
        (tmp_path / "README.md").unlink(missing_ok=True)
        write_card(tmp_path, run, cell, 10, ("weights",))
        card = (tmp_path / "README.md").read_text("utf-8")
        assert (front_matter(card).get("base_model") == name) is named
        assert ("/home/me" in card) is False


def test_files_have_the_usual_modes(runs: Runs, tmp_path: Path) -> None:
    runs.export(runs.kept, "weights", tmp_path / "model")
    (tmp_path / "new").write_text("x")
    usual = stat.S_IMODE((tmp_path / "new").stat().st_mode)
    files = [path for path in (tmp_path / "model").rglob("*") if path.is_file()]
    assert len(files) > 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {usual}


# -- the command -----------------------------------------------------------------------------


def command(*words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "harness", "--offline", *words]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)


def test_the_command_line(runs: Runs, tmp_path: Path) -> None:
    runs_folder = str(runs.folder / "runs")
    path = tmp_path / "made" / "model"
    done = command("export-model", "bare", "tiny/weights", str(path), "--results", runs_folder)
    assert done.returncode == 0, done.stderr
    assert "no checkpoint was kept; fitting again" in done.stderr
    assert "largest difference" in done.stdout
    assert "; 0 of 48 decisions differ" in done.stdout
    assert f"weights in {path}" in done.stdout
    assert "## Results" in (path / "README.md").read_text("utf-8")
    module = AutoModelForCausalLM.from_pretrained(path).eval()
    assert_scores(module, path, runs.stored("weights", 4))


def test_a_path_that_is_taken_is_left_alone(runs: Runs, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    for path in (tmp_path, tmp_path / "mine"):
        with pytest.raises(StoreError, match="is not empty"):
            runs.export(runs.kept, "weights", path)
    assert (tmp_path / "mine").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert runs.export(runs.kept, "weights", tmp_path / "empty").how == "kept"
