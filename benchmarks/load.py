"""How long each command takes on a large run, and how much memory.

    python benchmarks/load.py [--fits 405] [--only verify …] [--check]

Writes two runs of about 20,000 measurements each (405 debiased models at five steps, pair suites
of nine domains and a perplexity) and a spec of 10,800 cells into a temporary folder. Then it runs
every command that reads a run as a user starts it, imports included, and reports wall time, CPU
time and peak memory. With --check it ends with exit code 1 if a command takes more than 10 s of CPU
time (`plan`: 5 s) or 1 GB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import measuring
import numpy as np
from matrix_speed import NOW, PROVENANCE, STEPS, TARGETS, pair_items, pair_measurement

from harness.metrics import LOWER, Item, Metric
from harness.planning.keys import content_key
from harness.storage.cells import Cell, MeasureRef
from harness.storage.records import Record, RunIndex
from harness.storage.store import Store
from harness.types import Measurement

MOST_SECONDS, MOST_PLAN_SECONDS, MOST_MIB = 10.0, 5.0, 1024
LEVELS = 40
"""How many different models are made; records repeat them under keys of their own."""


class Used(NamedTuple):
    """What a command used."""

    wall: float
    cpu: float
    mib: float
    code: int


@cache
def measured(level: int, items: int) -> tuple[tuple[Measurement, ...], Measurement]:
    """What the two evaluators find on one of the made models."""
    rng = np.random.default_rng(level)
    pairs = tuple(
        pair_measurement(domain, pair_items(domain, items, 0.01 * level, rng)) for domain in TARGETS
    )
    windows = tuple(
        Item(id=f"window/{i}", values={"nll": 30.0 + 0.1 * level + i, "tokens": 10.0})
        for i in range(20)
    )
    perplexity = Metric.of_items(
        "perplexity", windows, estimator="exp_rate", of=("nll", "tokens"), direction=LOWER,
        primary=True,
    )  # fmt: skip
    language = Measurement(domain="none", protocol="w10", metrics=(perplexity,), items=windows)
    return pairs, language


def write_records(
    store: Store, lineage: dict[str, Any], step: int, level: int, items: int
) -> Iterator[MeasureRef]:
    """Write the records of one model at one step, under keys that are hashes of their inputs."""
    pairs, language = measured(level, items)
    for evaluator, measurements in (("pairs", pairs), ("perplexity", (language,))):
        inputs = {**lineage, "step": step, "evaluator": {"name": evaluator}}
        key = content_key(inputs)
        store.write_record(
            Record(
                key=key,
                inputs=inputs,
                measurements=measurements,
                provenance=PROVENANCE,
                created_at=NOW,
                seconds={"measure": 1.0},
            )
        )
        yield MeasureRef(step=step, evaluator=evaluator, key=key)


def write_run(folder: Path, fits: int, items: int) -> int:
    """Write a run; returns how many measurements it has."""
    store = Store(folder)
    store.prepare()
    fsync, os.fsync = os.fsync, lambda _: None  # the disk is not what is measured
    try:
        lineage: dict[str, Any] = {"model": {"name": "made"}}
        base = tuple(write_records(store, lineage, 0, 0, items))
        cells = [Cell(model="made", measures=base)]
        for fit in range(fits):
            number, seed = divmod(fit, 3)
            axes = {
                "debiaser": ("identity", *(f"method-{k}" for k in range(1, 5)))[number // 27 % 5],
                "masker": f"masker-{number // 9 % 3}",
                "source": TARGETS[number % 9],
            }
            inputs = {**lineage, "fit": axes, "seed": seed}
            measures = list(base)
            for position, step in enumerate(STEPS):
                level = (7 * fit + position) % LEVELS
                measures += write_records(store, inputs, step, level, items)
            cells.append(
                Cell(
                    model="made",
                    corpus="made",
                    label="hateful",
                    seed=seed,
                    control_kind="identity" if axes["debiaser"] == "identity" else None,
                    fit_key=content_key(inputs),
                    measures=tuple(measures),
                    **axes,
                )
            )
    finally:
        os.fsync = fsync
    spec: dict[str, Any] = {
        "name": folder.name,
        "model": [{"use": "made", "label": "made"}],
        "evaluators": [{"use": name, "label": name} for name in ("pairs", "perplexity")],
    }
    store.write_index(
        RunIndex(name=folder.name, created_at=NOW, spec=spec, targets=TARGETS, cells=tuple(cells))
    )
    return (len(TARGETS) + 1) * (1 + fits * len(STEPS))


def write_spec(path: Path, model: Path) -> None:
    """Write a spec of 10,800 cells: three sources, four maskers, 15 debiasers, 60 seeds."""
    maskers = ["wordlist", "random", "all", "{use: wordlist, as: harm, rules: [harm]}"]
    debiasers = [f"{{use: mlm-unlearning, as: u{k}, learning_rate: {k}e-6}}" for k in range(1, 16)]
    lines = [
        "name: many",
        f"model: {{use: hf, id: {model}}}",
        "corpus: embedded",
        "source: [gender, race, religion]",
        f"masker: [{', '.join(maskers)}]",
        f"debiaser: [{', '.join(debiasers)}]",
        f"seed: [{', '.join(map(str, range(60)))}]",
        "evaluators: [embedded-pairs, embedded-perplexity]",
        "targets: [gender, race, religion]",
        "steps: [10, 20]",
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def commands(one: Path, two: Path, spec: Path, out: Path) -> dict[str, list[str]]:
    """Every command that reads a run, and `plan`."""
    run = str(one)
    return {
        "matrix": ["matrix", run],
        "leaderboard": ["leaderboard", run],
        "verify": ["verify", run],
        "export csv": ["export", run, "--format", "csv", "--out", str(out / "run.csv")],
        "export parquet": ["export", run, "--format", "parquet", "--out", str(out / "run.parquet")],
        "report": ["report", run, "--out", str(out / "page.html")],
        "figures": ["report", run, "--figures", str(out / "figures")],
        "compare": ["compare", run, str(two)],
        "plan": ["plan", str(spec), "--results", str(out / "results")],
    }


def run_command(words: Sequence[str]) -> Used:
    """Run a command of the harness in a process of its own."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "harness", *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    cpu = usage.ru_utime + usage.ru_stime
    return Used(wall, cpu, usage.ru_maxrss / 1024, process.returncode)


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--fits", type=int, default=405, help="debiased models")
    made.add_argument("--items", type=int, default=100, help="items a measurement of pairs")
    made.add_argument("--only", nargs="*", help="commands to run, such as 'export csv'")
    made.add_argument("--folder", type=Path, help="where the runs are kept; default: removed")
    made.add_argument("--check", action="store_true", help="fail where a goal is missed")
    measuring.add_history_options(made)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the runs and time the commands."""
    from harness.testing.tiny_models import save_tiny_model

    options = parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        one, two, spec = folder / "one", folder / "two", folder / "many.yaml"
        count = (len(TARGETS) + 1) * (1 + options.fits * len(STEPS))
        for run in (one, two):
            if not (run / "index.json").exists():
                write_run(run, options.fits, options.items)
        write_spec(spec, save_tiny_model(folder / "model"))
        rows, missed = [], []
        for name, words in commands(one, two, spec, folder).items():
            if options.only and name not in options.only:
                continue
            used = run_command(words)
            most = MOST_PLAN_SECONDS if name == "plan" else MOST_SECONDS
            good = used.code == 0 and used.cpu <= most and used.mib <= MOST_MIB
            missed += [] if good else [name]
            rows.append(
                (name, f"{used.wall:.1f}", f"{used.cpu:.1f}", f"{used.mib:.0f}",
                 str(used.code), "" if good else "missed")
            )  # fmt: skip
            measuring.add_to_history(
                options,
                "load",
                f"harness {name}",
                {"measurements": count, "items": options.items},
                {
                    "seconds": round(used.wall, 2),
                    "cpu_seconds": round(used.cpu, 2),
                    "peak_mib": round(used.mib),
                    "exit_code": used.code,
                },
            )
        header = ("command", "wall s", "CPU s", "peak MiB", "exit", "goal")
        measuring.print_table(f"{count:,} measurements of {options.items} items", header, rows)
    if options.check and missed:
        sys.exit(f"goals missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
