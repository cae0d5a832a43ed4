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
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

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
RUNS = ("one", "two")
LEVELS = 40
"""How many different models are made; records repeat them under keys of their own."""


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


def prepare(folder: Path, fits: int, items: int) -> None:
    """Write the runs, the model and the spec, where they are not there yet."""
    from harness.testing.tiny_models import save_tiny_model

    for name in RUNS:
        if not (folder / name / "index.json").exists():
            write_run(folder / name, fits, items)
    write_spec(folder / "many.yaml", save_tiny_model(folder / "model"))


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
    options = parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        # In another process: what it imports would count as memory of the commands.
        maker = get_context("spawn").Process(
            target=prepare, args=(folder, options.fits, options.items)
        )
        maker.start()
        maker.join()
        if maker.exitcode:
            sys.exit("the runs could not be made")
        environment = measuring.as_installed(folder / "bytecode")
        one, two = (folder / name for name in RUNS)
        used = {
            name: measuring.run_command(words, environment)
            for name, words in commands(one, two, folder / "many.yaml", folder).items()
            if not options.only or name in options.only
        }
    count = (len(TARGETS) + 1) * (1 + options.fits * len(STEPS))
    rows, missed = [], []
    for name, own in used.items():
        most = MOST_PLAN_SECONDS if name == "plan" else MOST_SECONDS
        good = own.code == 0 and own.cpu <= most and own.peak_mib <= MOST_MIB
        missed += [] if good else [name]
        rows.append(
            (name, f"{own.wall:.1f}", f"{own.cpu:.1f}", f"{own.peak_mib:.0f}",
             str(own.code), "" if good else "missed")
        )  # fmt: skip
        measuring.add_to_history(
            options,
            "load",
            f"harness {name}",
            {"measurements": count, "items": options.items},
            {
                "seconds": round(own.wall, 2),
                "cpu_seconds": round(own.cpu, 2),
                "peak_mib": round(own.peak_mib),
                "exit_code": own.code,
            },
        )
    header = ("command", "wall s", "CPU s", "peak MiB", "exit", "goal")
    measuring.print_table(f"{count:,} measurements of {options.items} items", header, rows)
    if options.check and missed:
        sys.exit(f"goals missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
