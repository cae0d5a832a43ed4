"""What the harness costs beside the model: of a whole spec, and of ``harness --help``.

    python benchmarks/overhead.py --data-dir DIR [--spec transfer] [--set KEY=VALUE]…

Runs the command ``harness run`` with clocks around its parts, each counted without what runs
inside it. Model time is what the model is asked for: scoring (the handle's methods, tokenisation
and batching included; `scoring_speed.py` compares that with the machine's limit) and fitting
(forward, backward, the gradient's norm, the optimiser). Loading weights and importing torch stand
apart: both are there without a harness. Everything else is overhead: starting, planning, choosing
passages and masks, evaluators' arithmetic, the store, statistics and tables.

The limits make the run short and its overhead look large: planning, imports and tables do not
grow with items. ``--set`` overrides them like any key of the spec.

Then times ``harness --help`` as a user starts it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import measuring

GOAL = 0.05
"""Overhead as a share of model time."""

HELP_GOAL = 0.3
"""Seconds."""

LIMITS = (
    "model=smollm2-135m",
    "limits.items=20",
    "limits.passages=48",
    "limits.unseen=24",
    "evaluators.wikitext2-perplexity.max_windows=1",
)
"""Of specs/transfer.yaml, unless ``--spec`` names another."""

MODEL = ("scoring", "fitting")
APART = ("loading weights", "importing torch")
HANDLE = (
    "token_scores",
    "start_scores",
    "window_scores",
    "masked_scores",
    "masked_scores_of",
    "hidden_states",
    "generate",
)


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    measuring.add_data_option(made)
    made.add_argument("--spec", default="transfer")
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    made.add_argument("--help-rounds", type=int, default=9)
    made.add_argument("--check", action="store_true", help="fail if a goal is missed")
    made.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    measuring.add_history_options(made)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and keep."""
    options = parser().parse_args(arguments)
    if options.child is not None:
        child(options)
        return
    if options.spec == "transfer":
        options.set = [*LIMITS, *options.set]
    figures = run_spec(options)
    show(figures)
    help_seconds, help_cpu = help_times(options.help_rounds)
    print(
        f"\nharness --help: {measuring.spread(help_seconds)} s, CPU {measuring.spread(help_cpu)} s"
    )
    settings = {"spec": options.spec, "set": options.set}
    measuring.add_to_history(options, "overhead", options.spec, settings, figures)
    found = {
        clock: {
            "seconds": [round(t, 3) for t in times],
            "median": round(statistics.median(times), 3),
        }
        for clock, times in (("wall", help_seconds), ("cpu", help_cpu))
    }
    measuring.add_to_history(options, "help", "harness --help", {}, found)
    if options.check and figures["wall"]["overhead_share"] > GOAL:
        sys.exit(f"overhead is {figures['wall']['overhead_share']:.1%} of model time")
    if options.check and statistics.median(help_seconds) > HELP_GOAL:
        sys.exit("harness --help is too slow")


def help_times(rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of ``harness --help``, process and all: of the clock, and of CPU time."""
    command = [str(Path(sys.executable).with_name("harness")), "--help"]
    walls, cpus = [], []
    for _ in range(rounds):
        started, used = time.perf_counter(), os.times()
        subprocess.run(command, check=True, capture_output=True)
        walls.append(time.perf_counter() - started)
        ended = os.times()
        cpus.append(
            ended.children_user + ended.children_system - used.children_user - used.children_system
        )
    return walls, cpus


# -- a spec ----------------------------------------------------------------------------------


def run_spec(options: argparse.Namespace) -> dict[str, Any]:
    """Run the spec in a fresh process and sort its time into parts."""
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "parts.json"
        command = [sys.executable, __file__, "--child", str(out), "--spec", options.spec]
        if options.data_dir is not None:
            command += ["--data-dir", str(options.data_dir)]
        for override in options.set:
            command += ["--set", override]
        began = time.time()
        environ = {**os.environ, "OVERHEAD_BEGAN": repr(began), "COLUMNS": "200"}
        shown = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=False)
        if not out.is_file():
            sys.exit(f"the run failed (exit code {shown.returncode}):\n{shown.stdout}")
        parts: dict[str, list[float]] = json.loads(out.read_text(encoding="utf-8"))
    (measurements,) = parts.pop("measurements")
    (failed,) = parts.pop("failed")
    if failed:
        sys.exit(f"{failed} tasks of the run failed:\n{shown.stdout}")
    figures: dict[str, Any] = {"measured": measurements}
    for k, clock in enumerate(("wall", "cpu")):
        seconds = {name: round(own[k], 3) for name, own in parts.items()}
        model = sum(seconds.get(name, 0.0) for name in MODEL)
        apart = sum(seconds.get(name, 0.0) for name in APART)
        overhead = sum(seconds.values()) - model - apart
        figures[clock] = {
            "parts": seconds,
            "model": round(model, 3),
            "overhead": round(overhead, 3),
            "overhead_share": round(overhead / model, 4),
        }
    return figures


class Clocks:
    """Time by part; a part that runs inside another is not counted in the outer one."""

    def __init__(self) -> None:
        self.parts: dict[str, list[float]] = {}
        self._open: list[str] = ["start and what is left"]
        self._last = self._read()

    def _read(self) -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def _charge(self) -> None:
        read = self._read()
        own = self.parts.setdefault(self._open[-1], [0.0, 0.0])
        for k in range(2):
            own[k] += read[k] - self._last[k]
        self._last = read

    def start(self, part: str) -> None:
        """From now on time is this part's."""
        self._charge()
        self._open.append(part)

    def stop(self) -> None:
        """Back to the part before."""
        self._charge()
        self._open.pop()

    def around(self, owner: Any, name: str, part: str) -> None:
        """Clock a function or method where it is looked up."""
        function: Callable[..., Any] = getattr(owner, name)

        def run(*args: Any, **kwargs: Any) -> Any:
            self.start(part)
            try:
                return function(*args, **kwargs)
            finally:
                self.stop()

        setattr(owner, name, run)


def child(options: argparse.Namespace) -> None:
    """Run the command in this process with clocks in it; write the parts."""
    before = time.time() - float(os.environ["OVERHEAD_BEGAN"])
    clocks = Clocks()
    clocks.parts["start and what is left"] = [before, time.process_time()]
    clocks.start("importing torch")
    import torch
    import torch._dynamo  # a fit imports it
    import transformers.models.llama.modeling_llama  # noqa: F401 (imported here for its time)

    clocks.stop()
    from harness_debiasers import training

    from harness.cli import run
    from harness.cli.main import cli
    from harness.lm.transformers_model import TransformersModel
    from harness.planning import plan
    from harness.running import worker
    from harness.running.preparing import Preparer
    from harness.storage.store import Store

    clocks.around(plan, "build_plan", "planning")
    clocks.around(worker, "load_model", "loading weights")
    clocks.around(Preparer, "prepare", "passages and masks")
    clocks.around(worker, "measure", "evaluators")
    clocks.around(run, "_show", "statistics and tables")
    for name in ("prepare", "write_index", "write_record", "has_record"):
        clocks.around(Store, name, "store")
    for name in HANDLE:
        if hasattr(TransformersModel, name):
            clocks.around(TransformersModel, name, "scoring")
    clocks.around(TransformersModel, "training_logits", "fitting")
    clocks.around(torch.Tensor, "backward", "fitting")
    clocks.around(training, "gradient_norm", "fitting")
    for name in ("step", "zero_grad"):
        clocks.around(torch.optim.AdamW, name, "fitting")
    failed = 0
    with tempfile.TemporaryDirectory() as results:
        words = ["--data-dir", str(options.data_dir)] if options.data_dir else []
        words += ["run", options.spec, "--results", results]
        for override in options.set:
            words += ["--set", override]
        try:
            cli(words, standalone_mode=False)
        except SystemExit as end:
            failed = int(end.code or 0)
        clocks.start("end")
        clocks.stop()
        (folder,) = Path(results).iterdir()
        count = len(list((folder / "records").glob("*.json")))
    found = {name: own for name, own in clocks.parts.items() if name != "end"}
    options.child.write_text(
        json.dumps({**found, "measurements": [count], "failed": [failed]}), encoding="utf-8"
    )


def show(figures: dict[str, Any]) -> None:
    """Print where the time of the run went."""
    wall, cpu = figures["wall"], figures["cpu"]
    order = sorted(wall["parts"], key=lambda name: -wall["parts"][name])
    measuring.print_table(
        f"a run of {figures['measured']} records",
        ("part", "seconds", "CPU seconds"),
        [
            *((name, f"{wall['parts'][name]:.2f}", f"{cpu['parts'][name]:.2f}") for name in order),
            ("model: scoring and fitting", f"{wall['model']:.2f}", f"{cpu['model']:.2f}"),
            ("overhead", f"{wall['overhead']:.2f}", f"{cpu['overhead']:.2f}"),
            ("overhead / model", f"{wall['overhead_share']:.1%}", f"{cpu['overhead_share']:.1%}"),
        ],
    )


if __name__ == "__main__":
    main()
