"""CrowS-Pairs against lm-evaluation-harness 0.4.13, its own command, on the same machine.

    python benchmarks/vs_lm_eval.py --data-dir DIR [--limit N] [--rounds N] [--lm-eval-python P]

Both measure the same pairs with the same converted SmolLM2-135M in fp32, in turns, each in a fresh
process. lm-eval runs with batches of 32 (``--batch 1`` is its default) and a task that is its
``crows_pairs_english`` over local data: the two sentences of a pair are two requests with an empty
context, so each is scored by the summed log-probability of all its tokens after the start token,
which is the scorer ``lmeval_sum``; the harness also runs with its default, ``hf_nll``. The
harness's side is its evaluator, from the CSV to the metrics.

The times leave out imports and loading: lm-eval's is that of its function ``evaluate``, which
begins when model and data are loaded (`lm_eval_timed.py` puts the clock there and changes nothing
else); the harness's begins when the model is loaded and includes reading the data.

lm-eval lives in an environment of its own: ``--lm-eval-python`` names its Python; by default one
is made, once, in the user's cache (``python -m venv``, ``pip install lm-eval[hf]==0.4.13`` with
this project's torch). Ends with exit code 1 if the two disagree (a sentence's sum by more than
1e-4 nats a token, or any preference whose margin is larger), or with ``--check`` if the harness
is less than 1.4 times as fast (3 times on a GPU).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import measuring
import peers

VERSION = "0.4.13"
GOALS = {"cpu": 1.4, "cuda": 3.0}
"""At least so many times as fast, by kind of device."""
BATCH = 32
BOUND = 1e-4
"""Nats a token."""

SCORERS = ("lmeval_sum", "hf_nll")

TASK = """\
task: crows_pairs_local
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: multiple_choice
doc_to_text: ""
doc_to_target: 0
doc_to_choice: !function crows_pairs_local.choices
target_delimiter: ""
process_results: !function crows_pairs_local.results
metric_list:
  - metric: likelihood_diff
    aggregation: mean
    higher_is_better: false
  - metric: pct_stereotype
    aggregation: mean
    higher_is_better: false
"""

TASK_CODE = """\
def choices(doc):
    return [doc["sent_more"], doc["sent_less"]]


def results(doc, answers):
    more, less = (answer[0] for answer in answers)
    return {"likelihood_diff": abs(more - less), "pct_stereotype": float(more > less)}
"""


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    measuring.add_data_option(made)
    made.add_argument("--lm-eval-python", type=Path, help="Python that has lm-eval installed")
    made.add_argument("--limit", type=int, help="pairs, spread over the suite; default: all")
    made.add_argument("--rounds", type=int, default=3, help="how often each side runs")
    made.add_argument("--batch", type=int, default=BATCH, help="lm-eval's batch size")
    made.add_argument("--device", default="cpu")
    made.add_argument("--model", default="smollm2-135m", help="or a folder")
    made.add_argument("--check", action="store_true", help="fail if the goal is missed")
    made.add_argument("--harness-side", type=Path, help=argparse.SUPPRESS)
    measuring.add_history_options(made)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both sides in turns, print, keep, and fail if they disagree."""
    options = parser().parse_args(arguments)
    if options.harness_side is not None:
        harness_side(options, options.harness_side)
        return
    python = options.lm_eval_python or environment()
    folder = model_folder(options.model)
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        write_inputs(work, options.data_dir, options.limit)
        for _ in range(options.rounds):
            ours.append(run_harness(work, folder, options.device))
            theirs.append(run_lm_eval(python, work, folder, options))
            print(
                f"harness {ours[-1]['lmeval_sum']['seconds'][0]:.1f} s, "
                f"lm-eval {theirs[-1]['evaluate'][0]:.1f} s",
                file=sys.stderr,
                flush=True,
            )
    figures = compare(ours, theirs)
    show(figures)
    settings = {
        "model": options.model,
        "limit": options.limit,
        "rounds": options.rounds,
        "batch": options.batch,
        "device": options.device,
    }
    case = options.device
    if options.batch != BATCH:
        case += f" batch {options.batch}"
    if options.limit is not None:
        case += f" limit {options.limit}"  # beside the whole suite, not in its place
    measuring.add_to_history(options, "vs_lm_eval", case, settings, figures, device=options.device)
    goal = GOALS.get(options.device.partition(":")[0]) if options.check else None
    if problems := missed(figures, goal):
        sys.exit("; ".join(problems))


# -- inputs ----------------------------------------------------------------------------------


def write_inputs(work: Path, data_dir: Path | None, limit: int | None) -> None:
    """Write the same pairs as a CSV for the harness and as a task for lm-eval."""
    from harness_evaluators import crows_pairs

    from harness.data.places import DataStore

    path = DataStore(data_dir=data_dir).locate(crows_pairs.PIN)
    rows = peers.spread(list(crows_pairs.parse(path)), limit)
    with (work / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["", "sent_more", "sent_less", "stereo_antistereo", "bias_type"])
        writer.writerows(rows)
    with (work / "pairs.jsonl").open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps({"id": row[0], "sent_more": row[1], "sent_less": row[2]}) + "\n")
    tasks = work / "tasks"
    tasks.mkdir()
    (tasks / "crows_pairs_local.yaml").write_text(
        TASK.format(data=work / "pairs.jsonl"), encoding="utf-8"
    )
    (tasks / "crows_pairs_local.py").write_text(TASK_CODE, encoding="utf-8")


def model_folder(name: str) -> Path:
    """Folder with config, tokenizer and safetensors, for both."""
    if Path(name).is_dir():
        return Path(name)
    module: Any = peers.load(name, "cpu", "float32").module  # converts it, the first time
    return Path(module.config._name_or_path)


def environment() -> Path:
    """Python of an environment with lm-eval, made where there is none."""
    import torch

    from harness.data.places import user_cache

    folder = user_cache() / f"lm-eval-{VERSION}"
    python = folder / "bin" / "python"
    if not (folder / "complete").is_file():
        constraints = Path(__file__).resolve().parent.parent / "constraints.txt"
        wanted = [f"lm-eval[hf]=={VERSION}", f"torch=={torch.__version__.split('+')[0]}"]
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "-c", str(constraints), *wanted], check=True
        )
        (folder / "complete").touch()
    return python


# -- sides -----------------------------------------------------------------------------------


def run_harness(work: Path, folder: Path, device: str) -> dict[str, Any]:
    """The harness's side in a fresh process."""
    out = work / "harness.json"
    words = [__file__, "--harness-side", out, "--model", folder, "--device", device]
    subprocess.run([sys.executable, *map(str, words)], check=True)
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


def harness_side(options: argparse.Namespace, out: Path) -> None:
    """Measure the pairs beside ``out`` with each scorer and write times, scores and memory."""
    import torch
    from harness_evaluators.crows_pairs import TYPES, CrowsPairs, CrowsPairsConfig, parse

    from harness.data.places import DataStore
    from harness.types import EvaluationRequest, no_progress

    model = peers.load(str(options.model), options.device, "float32")
    path = out.with_name("pairs.csv")
    domains = tuple(dict.fromkeys(TYPES.domain(row[4]) for row in parse(path)))
    request = EvaluationRequest(
        model=model,
        domains=domains,
        unlearned=(),
        unseen=(),
        data=DataStore(),
        progress=no_progress,
    )
    facts: dict[str, Any] = {
        "threads": torch.get_num_threads(),
        "loaded": measuring.memory()._asdict(),
    }
    for scorer in SCORERS:
        config = CrowsPairsConfig(scorers=(scorer,), path=str(path), verify=False)
        model.forget_scores()
        measuring.forget_peak()
        started, used = time.perf_counter(), time.process_time()
        measurements = CrowsPairs(config).evaluate(request)
        seconds = (time.perf_counter() - started, time.process_time() - used)
        items = [item for measurement in measurements for item in measurement.items]
        facts[scorer] = {
            "seconds": seconds,
            "memory": measuring.memory()._asdict(),
            "sums": {
                item.id.split("/")[1]: [item.values["more"], item.values["less"]] for item in items
            },
        }
        if torch.device(options.device).type == "cuda":
            facts["cuda_peak"] = torch.cuda.max_memory_allocated() / 2**20
    order = [row[0] for row in parse(path)]
    facts["order"] = order
    facts["tokens"] = {
        row[0]: [len(model.encode(row[1])), len(model.encode(row[2]))] for row in parse(path)
    }
    out.write_text(json.dumps(facts), encoding="utf-8")


def run_lm_eval(
    python: Path, work: Path, folder: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """lm-eval's side in a fresh process; nothing is fetched."""
    out = work / "lm-eval.json"
    command = [
        str(python),
        str(Path(__file__).with_name("lm_eval_timed.py")),
        str(out),
        *("run", "--model", "hf", "--tasks", "crows_pairs_local"),
        *("--model_args", f"pretrained={folder},dtype=float32"),
        *("--include_path", str(work / "tasks"), "--batch_size", str(options.batch)),
        *("--device", options.device),
        *("--output_path", str(work / "lm-eval-results"), "--log_samples"),
    ]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(work / "hf")}
    done = subprocess.run(
        command, env={**os.environ, **offline}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"lm-eval failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


# -- results ---------------------------------------------------------------------------------


def compare(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Times, ratios, memory and agreement of the sides."""
    figures: dict[str, Any] = {
        "pairs": len(ours[0]["order"]),
        "packages": theirs[0]["packages"],
        "threads": {"harness": ours[0]["threads"], "lm_eval": theirs[0]["threads"]},
    }
    for k, clock in enumerate(("wall", "cpu")):
        seconds = {scorer: [own[scorer]["seconds"][k] for own in ours] for scorer in SCORERS}
        seconds["lm_eval"] = [own["evaluate"][k] for own in theirs]
        seconds["lm_eval_requests"] = [own["requests"][k] for own in theirs]
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        figures[clock] = {
            "seconds": {name: [round(v, 3) for v in values] for name, values in seconds.items()},
            "times_as_fast": {
                scorer: round(medians["lm_eval"] / medians[scorer], 3) for scorer in SCORERS
            },
            "times_as_fast_as_its_requests": {
                scorer: round(medians["lm_eval_requests"] / medians[scorer], 3)
                for scorer in SCORERS
            },
        }
    mine, its = ours[-1]["lmeval_sum"]["sums"], theirs[-1]["sums"]
    order, tokens = ours[-1]["order"], ours[-1]["tokens"]
    gaps, margins = [], []
    for number, identifier in enumerate(order):
        a, b = mine[identifier], its[str(number)]
        gaps += [abs(x - y) / n for x, y, n in zip(a, b, tokens[identifier], strict=True)]
        if (a[0] > a[1]) != (b[0] > b[1]):
            margins.append(abs(a[0] - a[1]) / max(tokens[identifier]))
    figures["agreement"] = {
        "largest_difference_nats_a_token": max(gaps),
        "preferences_that_differ": len(margins),
        "their_largest_margin_nats_a_token": max(margins, default=0.0),
        "pct_stereotype": {
            "harness": 100 * sum(a > b for a, b in mine.values()) / len(mine),
            "lm_eval": 100 * float(theirs[-1]["metrics"]["pct_stereotype,none"]),
        },
    }
    figures["memory_mib"] = {
        "harness": {
            "after_loading": round(ours[-1]["loaded"]["now"]),
            "peak_loading": round(ours[-1]["loaded"]["peak"]),
            "peak": round(max(own[s]["memory"]["peak"] for own in ours for s in SCORERS)),
        },
        "lm_eval": {
            "after_loading": round(theirs[-1]["loaded"]["now"]),
            "peak_loading": round(theirs[-1]["loaded"]["peak"]),
            "peak": round(max(own["evaluated"]["peak"] for own in theirs)),
        },
    }
    if "cuda_peak" in theirs[-1] and "cuda_peak" in ours[-1]:
        figures["cuda_peak_mib"] = {
            "harness": round(ours[-1]["cuda_peak"]),
            "lm_eval": round(theirs[-1]["cuda_peak"]),
        }
    return figures


def show(figures: dict[str, Any]) -> None:
    """Print the comparison."""
    names = {
        "lm_eval": "lm-eval, evaluate",
        "lm_eval_requests": "lm-eval, its requests alone",
        "lmeval_sum": "harness, lmeval_sum",
        "hf_nll": "harness, hf_nll",
    }
    wall, cpu = figures["wall"], figures["cpu"]
    measuring.print_table(
        f"CrowS-Pairs, {figures['pairs']} pairs, {figures['threads']['harness']} threads",
        ("side", "seconds", "times as fast", "times as fast, CPU"),
        [
            (
                title,
                measuring.spread(wall["seconds"][name]),
                *(
                    f"{t['times_as_fast'][name]:.2f}" if name in SCORERS else "-"
                    for t in (wall, cpu)
                ),
            )
            for name, title in names.items()
        ],
    )
    agreement, memory = figures["agreement"], figures["memory_mib"]
    percent = agreement["pct_stereotype"]
    print(
        f"  prefers the stereotype: {percent['harness']:.2f} % and {percent['lm_eval']:.2f} %; "
        f"{agreement['preferences_that_differ']} preferences differ; sums differ by at most "
        f"{agreement['largest_difference_nats_a_token']:.1e} nats a token\n"
        f"  peak memory while evaluating: {memory['harness']['peak']} and "
        f"{memory['lm_eval']['peak']} MiB"
    )


def missed(figures: dict[str, Any], goal: float | None) -> list[str]:
    """What is wrong with the figures, in words; ``goal``: times as fast at least."""
    agreement, found = figures["agreement"], []
    if agreement["largest_difference_nats_a_token"] > BOUND:
        found.append(f"sums differ by {agreement['largest_difference_nats_a_token']:.1e}")
    if agreement["their_largest_margin_nats_a_token"] > BOUND:
        found.append("a preference differs that is no tie")
    ratio = figures["wall"]["times_as_fast"]["lmeval_sum"]
    if goal is not None and ratio < goal:
        found.append(f"{ratio:.2f} times as fast as lm-eval, not {goal:g}")
    return found


if __name__ == "__main__":
    main()
