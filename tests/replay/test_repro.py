"""Stored items scored again, each text alone, and compared in nats a token."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from kept_run import METHODS, again, carry_out, small_spec

from harness.cli.main import cli
from harness.data.places import DataStore
from harness.errors import ModelError
from harness.lm.handle import LanguageModel, TokenScores
from harness.metrics import Item
from harness.plugins import load_registry
from harness.quantities import Count, LogProb, Nats, Probability
from harness.replay.reproduction import Agreement, _difference, reproduce
from harness.storage.records import Record
from harness.storage.store import Store
from harness.testing import save_tiny_model, tiny_causal_model


class Runs:
    """A run that kept its checkpoints."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = load_registry(strict=True)
        self.data = DataStore(cache_dir=folder / "cache", offline=True)
        self.kept = self.run("kept", debiaser=METHODS[:1], keep_checkpoints=True)

    def run(self, name: str, **changes: Any) -> Store:
        store = Store(self.folder / "runs" / name)
        carry_out(small_spec(self.folder, name=name, **changes), store, self.registry, self.data)
        return store

    def compare(self, store: Store, model: LanguageModel, **options: Any) -> dict[str, Agreement]:
        run = again(store, self.registry, self.data)
        tasks = run.base_measured("tiny").items()
        known = run.remembered(dict(tasks).values(), lambda: model)
        sample = options.get("sample", 6)
        rows = reproduce(run, model, tasks, sample, alone=True, remembered=known)
        return {f"{row.evaluator}/{row.protocol}": row for row in rows}

    def command(self, *words: str) -> Result:
        line = ["--offline", "repro", *words, "--results", str(self.folder / "runs")]
        return CliRunner().invoke(cli, line)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


def shifted(model: LanguageModel, by: float) -> LanguageModel:
    """A model whose every log-probability is off by the same amount."""
    other = copy.copy(model)

    def moved(name: str) -> Any:
        ask = getattr(model, name)

        def answer(*args: Any, **options: Any) -> Any:
            found = ask(*args, **options)
            if isinstance(found, np.ndarray):
                return found + by
            return [
                own._replace(logprobs=own.logprobs + by)
                if isinstance(own, TokenScores)
                else own + by
                for own in found
            ]

        return answer

    for name in ("token_scores", "start_scores", "window_scores", "masked_scores_of"):
        setattr(other, name, moved(name))
    return other


PROTOCOLS = {
    "embedded-pairs/hf_nll",
    "embedded-pairs/lmeval_sum",
    "embedded-perplexity/window32",
    "corpus-perplexity/unlearned",
    "corpus-perplexity/unseen",
}


def test_a_difference_is_in_nats_a_token_whatever_the_evaluator_makes_of_them(runs: Runs) -> None:
    """Means, sums over sentences, sums over windows: each is off by 0.01 a token."""
    base = again(runs.kept, runs.registry, runs.data).base("tiny")
    rows = runs.compare(runs.kept, shifted(base, 0.01))
    assert rows.keys() == PROTOCOLS
    for row in rows.values():
        assert row.largest == pytest.approx(0.01, abs=1e-5)
        assert not row.within(1e-4)
        assert row.within(0.02)
        assert not row.missing


def test_the_plain_model_gives_the_stored_scores(runs: Runs) -> None:
    run = again(runs.kept, runs.registry, runs.data)
    rows = runs.compare(runs.kept, run.base("tiny"))
    assert rows.keys() == PROTOCOLS
    for row in rows.values():
        assert row.largest < 1e-5
        assert not row.changed
    assert len(rows["embedded-pairs/hf_nll"].items) == 2 * 6  # two targets
    assert len(rows["embedded-pairs/hf_nll"].decided) == 2 * 6
    assert len(rows["embedded-perplexity/window32"].items) == 6  # no domain, no limit: the sample
    assert len(rows["corpus-perplexity/unlearned"].items) == 6
    assert not rows["corpus-perplexity/unlearned"].decided


def test_rounded_sums_and_probabilities_of_a_masked_model_are_in_nats_a_token_too(
    runs: Runs, tmp_path: Path
) -> None:
    model = save_tiny_model(tmp_path / "model", "masked")
    store = runs.run(
        "masked", debiaser=[], corpus=[], source=[], masker=[],
        model={"use": "hf", "id": str(model), "as": "tiny"},
        evaluators=["embedded-pairs", "embedded-triples"],
    )  # fmt: skip
    base = again(store, runs.registry, runs.data).base("tiny")
    rows = runs.compare(store, base)
    assert rows.keys() == {"embedded-pairs/mlm_pll_shared", "embedded-triples/mlm_filler"}
    assert all(row.largest < 1e-4 and not row.changed for row in rows.values())
    moved = runs.compare(store, shifted(base, 0.01))
    assert moved["embedded-triples/mlm_filler"].largest == pytest.approx(0.01, rel=1e-3)
    # a sum over the tokens that a pair shares, divided by all of the text's tokens
    assert 0.004 < moved["embedded-pairs/mlm_pll_shared"].largest < 0.01


def test_a_sample_beyond_the_runs_own_limit_is_that_limit(runs: Runs) -> None:
    run = again(runs.kept, runs.registry, runs.data)
    rows = runs.compare(runs.kept, run.base("tiny"), sample=500)
    assert len(rows["embedded-pairs/hf_nll"].items) == 2 * 12
    assert not any(row.missing for row in rows.values())


def altered(store: Store, folder: Path, change: Any) -> Store:
    """The same run with the pairs of its base record altered."""
    other = Store(folder / "runs" / "kept")
    other.prepare()
    other.write_index(store.index())
    pairs = next(ref.key for ref in store.index().cells[0].measures if "pairs" in ref.evaluator)
    for key in store.record_keys():
        record = store.record(key)
        assert isinstance(record, Record)
        if key == pairs:
            first, *others = record.measurements
            own = first.model_copy(update={"items": tuple(map(change, first.items))})
            record = record.model_copy(update={"measurements": (own, *others)})
        other.write_record(record)
    return other


def test_a_changed_score_a_flipped_decision_and_a_lost_item_are_found(
    runs: Runs, tmp_path: Path
) -> None:
    model = again(runs.kept, runs.registry, runs.data).base("tiny")
    (sampled, *_) = sorted(runs.compare(runs.kept, model)["embedded-pairs/hf_nll"].items)

    def change(item: Item, **values: float) -> Item:
        return item if item.id != sampled else item.model_copy(
            update={"values": {**item.values, **values}}
        )  # fmt: skip

    def found(name: str, alter: Any) -> Agreement:
        (tmp_path / name).mkdir()
        store = altered(runs.kept, tmp_path / name, alter)
        return runs.compare(store, model)["embedded-pairs/hf_nll"]

    row = found("score", lambda item: change(item, more=item.values["more"] - 0.003))
    assert row.largest == pytest.approx(0.003, abs=1e-5)
    assert row.where == f"{sampled}, more"
    decision = "prefers_stereotype"
    row = found("flip", lambda item: change(item, **{decision: 1 - item.values[decision]}))
    assert row.changed == {sampled}
    assert row.largest < 1e-5
    lost = found("lost", lambda item: item.model_copy(update={"id": f"x{item.id}"}))
    assert sampled in lost.missing
    assert not lost.within(1.0)


def test_rounded_values_are_compared_to_their_last_digit() -> None:
    model = tiny_causal_model()
    for digits, off in ((3, 0.0), (None, 1e-3)):
        quantity = LogProb(per="token", digits=digits)
        item = Item(id="1", values={"v": -1.233})
        assert _difference(quantity, -1.234, item, "v", model, None) == pytest.approx(off, abs=1e-9)


def test_each_quantity_has_its_own_difference() -> None:
    model = tiny_causal_model()
    text = "Women and men wait."
    tokens = len(model.encode(text))
    item = Item(id="1", values={"v": -8.0, "p": 0.2, "nll": 30.0, "tokens": 10.0})
    for quantity, before, name, expected in (
        (LogProb(per="token"), -8.5, "v", 0.5),
        (LogProb(per="text"), -8.5, "v", 0.5 / tokens),
        (Probability(), 0.1, "p", math.log(2)),
        (Probability(), 0.0, "p", 0.2),
        (Nats(tokens="tokens"), 31.0, "nll", 0.1),
        (Count(), 11.0, "tokens", 1.0),
        (None, 11.0, "tokens", 1.0),
    ):
        found = _difference(quantity, before, item, name, model, text)
        assert found == pytest.approx(expected)


# -- the command -----------------------------------------------------------------------------


def test_the_command_on_the_base_and_on_a_kept_cell(runs: Runs) -> None:
    base = runs.command("kept", "--items", "4")
    assert base.exit_code == 0, base.output
    assert "tiny / base" in base.output
    assert "within the tolerance of 0.0001" in base.output
    assert "0 of 16 decisions differ" in base.output  # two targets, two scorers
    cell = runs.command("kept", "--cell", "weights/gender", "--step", "2", "--items", "4")
    assert cell.exit_code == 0, cell.output
    assert "seed 0 / step 2" in cell.output
    strict = runs.command("kept", "--items", "4", "--tolerance", "0")
    assert strict.exit_code == 1
    assert "beyond the tolerance of 0" in strict.output


def test_the_command_refits_only_when_it_is_told_to(runs: Runs) -> None:
    runs.run("bare", debiaser=[METHODS[0], METHODS[5]])
    for name in ("weights", "self-debias"):
        refused = runs.command("bare", "--cell", name)
        assert refused.exit_code != 0
        assert "kept no checkpoint" in str(refused.exception)
    fitted = runs.command("bare", "--cell", "weights", "--refit", "--evaluator", "embedded-pairs")
    assert fitted.exit_code == 0, fitted.output
    assert "perplexity" not in fitted.output
    fitted = runs.command("bare", "--cell", "self-debias", "--refit", "--items", "4")
    assert fitted.exit_code == 0, fitted.output  # it need not be written to be scored


def test_the_decisions_that_bfloat16_changes_are_counted(runs: Runs) -> None:
    store = runs.run(
        "half", debiaser=METHODS[:1], dtype="bfloat16", keep_checkpoints=True,
        evaluators="embedded-pairs", limits={"items": 144, "passages": 8},
    )  # fmt: skip
    for words in ([], ["--cell", "weights"]):
        done = runs.command("half", *words, "--dtype", "float32", "--items", "144")
        assert done.exit_code == 0, done.output
        assert "tolerance" not in done.output  # none is set: this is a count, not a test
        assert "of 288 decisions differ" in done.output
    run = again(store, runs.registry, runs.data)
    tasks = run.base_measured("tiny").items()
    (row,) = reproduce(run, run.base("tiny", "float32"), tasks, 144, alone=True, remembered={})
    assert 1e-4 < row.largest < 0.2
    # of the items stored in half precision, counted by hand
    ((key, _),) = tasks
    record = store.record(key)
    assert record is not None
    exact = run.base("tiny", "float32")
    measured = run.measure(next(iter(tasks))[1], exact, 144)
    now = {item.id: item.values for m in measured for item in m.items}
    stored = {item.id: item.values for m in record.measurements for item in m.items}
    decisions = ("prefers_stereotype", "tie")
    flipped = {i for i in stored if any(stored[i][d] != now[i][d] for d in decisions)}
    assert row.changed == flipped
    assert flipped


def test_changes_since_the_run_are_named(runs: Runs, tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "model")
    runs_ = runs.run("moved", debiaser=[], source=[], evaluators="embedded-pairs", corpus=[],
                     model={"use": "hf", "id": str(tmp_path / "model"), "as": "tiny"})  # fmt: skip
    save_tiny_model(tmp_path / "model", seed=5)
    done = runs.command(runs_.folder.name)
    assert done.exit_code == 1
    assert "changed since the run: model.fingerprint.files.model.safetensors: " in done.output
    assert "beyond the tolerance" in done.output


def test_a_run_in_half_precision_counts_by_itself_what_that_changes(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = small_spec(runs.folder, debiaser=[], evaluators="embedded-pairs", dtype="bfloat16")
    spec = tmp_path / "spec.yaml"
    spec.write_text(yaml.safe_dump(raw))
    words = ["--offline", "run", str(spec), "--results", str(tmp_path / "runs")]
    said = CliRunner().invoke(cli, words).output
    assert "tiny, bfloat16 against float32: largest difference " in said
    assert "of 24 decisions differ" in said
    assert "float32" not in CliRunner().invoke(cli, words).output  # nothing new was measured
    full = CliRunner().invoke(cli, [*words, "--set", "name=full", "--set", "dtype=float32"])
    assert "against float32" not in full.output

    def fails(*_: Any, **__: Any) -> None:
        raise ModelError("no room for it")

    monkeypatch.setattr("harness.replay.rerun.Rerun.base", fails)
    failed = CliRunner().invoke(cli, [*words, "--set", "name=other"])
    assert failed.exit_code == 0
    assert "not compared with float32: no room for it; see `harness repro " in failed.output
