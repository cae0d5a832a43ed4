"""The speed benchmarks: the count of operations is exact, the commands run, the page is current."""

from __future__ import annotations

import copy
import json
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from fresh_env import REPO
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from harness.lm.handle import TokenScores

BENCHMARKS = REPO / "benchmarks"
GROUPS = [
    [[1, 2, 3, 4, 5], [1, 2, 3, 9], [1, 7]],
    [[4, 4, 4], [5, 4, 4]],
    [[6]],
]
"""Token ids; the first group shares prefixes, the second none, the third has nothing to run."""


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def tiny(kind: str) -> torch.nn.Module:
    model: torch.nn.Module
    if kind == "llama":  # fewer key than query heads, heads of a width of their own, gated layers
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=50,
                hidden_size=24,
                intermediate_size=40,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                head_dim=10,
                attn_implementation="eager",
            )
        )
    else:
        model = GPT2LMHeadModel(
            GPT2Config(vocab_size=50, n_embd=24, n_layer=2, n_head=3, attn_implementation="eager")
        )
    return model.eval()


def operations_of_tree(model: Any, groups: Sequence[Sequence[Sequence[int]]]) -> int:
    """Run each distinct prefix that another token follows, once, one token at a time; count."""

    def walk(node: dict[int, Any], cache: DynamicCache) -> None:
        for token, below in node.items():
            if below:
                own = copy.deepcopy(cache)
                model(input_ids=torch.tensor([[token]]), past_key_values=own, use_cache=True)
                walk(below, own)

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        for group in groups:
            root: dict[int, Any] = {}
            for ids in group:
                node = root
                for token in ids:
                    node = node.setdefault(token, {})
            walk(root, DynamicCache())
    return int(counter.get_total_flops())


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_operations_are_those_of_the_distinct_prefixes(kind: str) -> None:
    from flop_count import costs, flops, tree

    model = tiny(kind)
    found = tree(GROUPS)
    # 1, 12, 123, 1234 of the first; 4, 44, 5, 54 of the second
    assert found.nodes == 8
    assert found.pairs == 1 + 2 + 3 + 4 + 2 * (1 + 2)
    assert flops(costs(model), found) == operations_of_tree(model, GROUPS)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_whole_row_has_the_operations_that_torch_counts_but_for_the_upper_triangle(
    kind: str,
) -> None:
    from flop_count import Tree, costs, flops

    model, length = tiny(kind), 7
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(input_ids=torch.arange(length)[None])
    square = Tree(nodes=length, pairs=length * length)
    assert flops(costs(model), square) == counter.get_total_flops()


def lines(history: Path) -> Iterator[dict[str, Any]]:
    for text in history.read_text("utf-8").splitlines():
        yield json.loads(text)


def test_scoring_speed_runs(
    tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import scoring_speed

    history = tmp_path / "history.jsonl"
    scoring_speed.main(
        [
            *("--data-dir", str(shared_data), "--model", "tiny", "--limit", "12"),
            *("--windows", "2", "--rounds", "1", "--product", "64", "--one-process"),
            *("--history", str(history)),
        ]
    )
    found = {line["case"].split()[0]: line for line in lines(history)}
    assert set(found) == {"crows-pairs", "stereoset", "wikitext2"}
    for suite, line in found.items():
        figures = line["figures"]
        # harness and peers ran the same texts: their scores are there, and near
        assert figures["difference"]["alone"]["text"] < scoring_speed.BOUND
        assert 0 < figures["nodes"] < figures["tokens"]
        ratio = figures["wall"]["times_the_harness"]["alone"]
        limits = figures["wall"]["over_limit"]
        assert limits["alone"] / limits["harness"] == pytest.approx(ratio, rel=0.01)
        assert line["machine"]["torch"] == torch.__version__
        assert ("plain" in limits) == (suite != "wikitext2")
    assert "x limit" in capsys.readouterr().out


def test_bbq_groups_are_the_texts_that_the_evaluator_scores(shared_data: Path) -> None:
    import peers
    from harness_evaluators import bbq

    class Recorder:
        asked: ClassVar[list[str]] = []

        def continuation_scores(
            self, contexts: Sequence[str], continuations: Sequence[str]
        ) -> list[TokenScores]:
            self.asked += map("".join, zip(contexts, continuations, strict=True))
            return [TokenScores(np.array([0]), np.array([-1.0]))] * len(contexts)

    recorder: Any = Recorder()
    rows = list(bbq.parse(shared_data / "bbq"))
    questions = [q for q in map(bbq.question_of, rows) if q is not None]
    bbq.bbq_items(recorder, questions, "choice_sum")
    groups = peers.suites(["bbq"], shared_data, None, 1)["bbq"]
    assert len(groups) == len(rows)
    assert [text for group in groups for text in group] == recorder.asked


def test_a_worker_answers_as_the_same_bench_in_this_process(shared_data: Path) -> None:
    import peers

    groups = {"stereoset": peers.suites(["stereoset"], shared_data, 3, 1)["stereoset"]}
    task = peers.Task("tiny", "cpu", "float32", groups)
    here, there = peers.Bench("plain", task), peers.Worker("plain", task)
    here.run("stereoset")
    there.forget_peak()
    wall, cpu = there.run("stereoset")
    assert wall > 0
    assert cpu > 0
    now, peak = there.memory()
    assert 0 < now <= peak
    for ours, theirs in zip(here.scores("stereoset"), there.scores("stereoset"), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    assert here.limit("stereoset") == there.limit("stereoset")
    there.close()


def test_the_harness_side_against_lm_eval_scores_the_pairs_given(
    tmp_path: Path, shared_data: Path
) -> None:
    import peers
    import vs_lm_eval
    from harness_evaluators.crows_pairs import parse
    from harness_evaluators.scorers import score_sentences

    from harness.testing import save_tiny_model

    folder = save_tiny_model(tmp_path / "model")
    vs_lm_eval.write_inputs(tmp_path, shared_data, 8)
    rows = list(parse(tmp_path / "pairs.csv"))
    model = peers.load(str(folder), "cpu", "float32")
    short = [row for row in rows if all(len(model.encode(t)) < 60 for t in row[1:3])]
    assert short
    _keep(tmp_path, {row[0] for row in short})
    out = tmp_path / "harness.json"
    vs_lm_eval.main(["--harness-side", str(out), "--model", str(folder)])
    ours = json.loads(out.read_text("utf-8"))
    for row in short:
        expected = score_sentences(model, row[1:3], "lmeval_sum")
        assert ours["lmeval_sum"]["sums"][row[0]] == pytest.approx(expected, abs=1e-4)
    # an lm-eval that found the same, twice as slow
    sums = ours["lmeval_sum"]["sums"]
    theirs = {
        "packages": {},
        "threads": 1,
        "evaluate": [2 * t for t in ours["lmeval_sum"]["seconds"]],
        "requests": ours["lmeval_sum"]["seconds"],
        "sums": {str(k): sums[name] for k, name in enumerate(ours["order"])},
        "metrics": {"pct_stereotype,none": sum(a > b for a, b in sums.values()) / len(sums)},
        "loaded": {"now": 1, "peak": 1},
        "evaluated": {"now": 1, "peak": 1},
    }
    figures = vs_lm_eval.compare([ours], [theirs])
    assert figures["wall"]["times_as_fast"]["lmeval_sum"] == pytest.approx(2, rel=0.01)
    assert figures["agreement"]["preferences_that_differ"] == 0
    assert not vs_lm_eval.missed(figures, goal=1.4)
    assert vs_lm_eval.missed(figures, goal=3.0)
    theirs["sums"]["0"] = theirs["sums"]["0"][::-1]
    assert vs_lm_eval.missed(vs_lm_eval.compare([ours], [theirs]), goal=None)


def _keep(folder: Path, wanted: set[str]) -> None:
    """Leave only some pairs: a tiny model's context is short."""
    import csv

    path = folder / "pairs.csv"
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *(row for row in rows if row[0] in wanted)])


def test_fit_step_runs(tmp_path: Path) -> None:
    import fit_step

    history = tmp_path / "history.jsonl"
    fit_step.main(
        [
            *("--model", "tiny", "--corpus", "embedded", "--passages", "12", "--steps", "2"),
            *("--history", str(history)),
        ]
    )
    (line,) = lines(history)
    wall = line["figures"]["wall"]
    assert sum(wall["parts"].values()) == pytest.approx(wall["step"], abs=2e-3)
    assert {"forward", "backward", "optimiser", "gradient norm"} <= set(wall["parts"])
    assert line["figures"]["tokens_a_step"]["matter"] > 0


def test_the_plain_pass_gives_the_gradients_of_the_rows_apart(tiny_causal: Any) -> None:
    import fit_step

    rows, index, position = [[3, 5, 7, 9, 2], [3, 5, 8]], [0, 0, 1], [1, 3, 1]
    fit_step.plain_pass(tiny_causal, rows, index, position, device="cpu")
    found = [p.grad.clone() for p in tiny_causal.module.parameters()]
    tiny_causal.module.zero_grad()
    losses = []
    for row, place in zip(index, position, strict=True):
        logits = tiny_causal.module(input_ids=torch.tensor([rows[row]])).logits[0, place]
        losses.append(torch.log_softmax(logits, dim=-1)[rows[row][place + 1]])
    torch.stack(losses).mean().backward()
    for ours, parameter in zip(found, tiny_causal.module.parameters(), strict=True):
        torch.testing.assert_close(ours, parameter.grad, atol=1e-5, rtol=1e-4)


def test_overhead_runs(tmp_path: Path) -> None:
    import overhead

    from harness.testing import save_tiny_model

    folder, history = save_tiny_model(tmp_path / "model"), tmp_path / "history.jsonl"
    overrides = (
        f"model={{use: hf, id: {folder}}}",
        "source=[gender]",
        "masker=[wordlist]",
        "evaluators=[embedded-pairs, corpus-perplexity]",
        "limits.items=2",
    )
    words = [word for override in overrides for word in ("--set", override)]
    overhead.main(["--spec", "quickstart", *words, "--help-rounds", "1", "--history", str(history)])
    run, started = lines(history)
    parts = run["figures"]["wall"]["parts"]
    assert {"planning", "scoring", "fitting", "store", "statistics and tables"} <= set(parts)
    assert all(seconds >= 0 for seconds in parts.values())
    assert started["figures"]["wall"]["median"] > 0


def test_clocks_count_a_part_within_another_once() -> None:
    import time

    import overhead

    clocks = overhead.Clocks()
    clocks.start("outer")
    time.sleep(0.02)
    clocks.start("inner")
    time.sleep(0.05)
    clocks.stop()
    clocks.stop()
    assert clocks.parts["inner"][0] >= 0.05
    assert 0.02 <= clocks.parts["outer"][0] < 0.05


# -- the page --------------------------------------------------------------------------------


def test_the_page_shows_the_newest_figures() -> None:
    import page

    page.main(["--check"])


def test_the_page_s_commands_parse() -> None:
    import importlib

    text = (REPO / "docs" / "speed.md").read_text("utf-8")
    block = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)[0]
    commands = [shlex.split(line) for line in block.splitlines()]
    assert len(commands) >= 6
    for python, script, *words in commands:
        assert python == "python"
        module = importlib.import_module(Path(script).stem)
        assert Path(str(module.__file__)) == REPO / script
        module.parser().parse_args(words)
    assert "torch" in sys.modules


def test_the_slurm_trial_runs_the_script_of_the_page() -> None:
    import slurm_trial

    script = slurm_trial.page_script(slurm_trial.LIMITS)
    assert "ray symmetric-run" in script
    assert "cuda" not in script
    assert all(limit in script for limit in slurm_trial.LIMITS)
