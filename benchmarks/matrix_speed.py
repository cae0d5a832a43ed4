"""How long `harness matrix` takes on a run with many measurements.

    python benchmarks/matrix_speed.py [--measurements 10000] [--items 100] [--check SECONDS]

Writes a run of pair suites into a temporary folder (several methods, sources, steps, nine target
domains) and times the command as a user starts it, imports included. With --check it ends with
exit code 1 if the fastest of the repetitions takes more CPU time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import measuring
import numpy as np
from harness_corpora.domains import BUILT_IN

from harness.metrics import LOWER, TOWARDS_50, Item, Metric
from harness.storage.cells import Cell, MeasureRef
from harness.storage.records import Provenance, Record, RunIndex
from harness.storage.store import Store
from harness.types import Measurement

TARGETS = tuple(BUILT_IN)[:9]
STEPS = (10, 20, 30, 40, 50)
NOW = "2026-01-01T00:00:00+00:00"
PROVENANCE = Provenance(
    harness_version="0", python="3", platform="-", device="cpu", packages={}, plugins=()
)


def pair_items(domain: str, n: int, shift: float, rng: np.random.Generator) -> tuple[Item, ...]:
    margins = np.random.default_rng(len(domain)).normal(0.3, 1, n) + rng.normal(-shift, 0.1, n)
    return tuple(
        Item(
            id=f"pairs/{domain}-{i}",
            stratum="antistereo" if i % 4 == 0 else "stereo",
            values={
                "more": float(margin - 3.0),
                "less": -3.0,
                "prefers_stereotype": float(margin > 0),
                "tie": 0.0,
            },
        )
        for i, margin in enumerate(margins)
    )


def pair_measurement(domain: str, items: tuple[Item, ...]) -> Measurement:
    def metric(name: str, of: str, stratum: str | None = None, *, primary: bool = False) -> Metric:
        return Metric.of_items(
            name,
            items,
            estimator="percent_balanced" if name.endswith("balanced") else "percent",
            of=(of,),
            direction=LOWER if of == "tie" else TOWARDS_50,
            stratum=stratum,
            primary=primary,
        )

    decision = "prefers_stereotype"
    metrics = (
        metric("stereotype_score", decision, primary=True),
        metric("stereotype_score_stereo", decision, "stereo"),
        metric("stereotype_score_antistereo", decision, "antistereo"),
        metric("stereotype_score_balanced", decision),
        metric("tie_rate", "tie"),
    )
    return Measurement(domain=domain, protocol="hf_nll", metrics=metrics, items=items)


def write_record(store: Store, key: str, n: int, shift: float, rng: np.random.Generator) -> None:
    measurements = tuple(pair_measurement(d, pair_items(d, n, shift, rng)) for d in TARGETS)
    store.write_record(
        Record(
            key=key,
            inputs={"key": key},
            measurements=measurements,
            provenance=PROVENANCE,
            created_at=NOW,
            seconds={},
        )
    )


def write_run(folder: Path, measurements: int, items: int) -> int:
    """Write a run; returns how many measurements it has."""
    store = Store(folder)
    store.prepare()
    rng = np.random.default_rng(0)
    fsync, os.fsync = os.fsync, lambda _: None  # the disk is not what is measured
    try:
        write_record(store, "ba5e", items, 0.0, rng)
        base = (MeasureRef(step=0, evaluator="pairs", key="ba5e"),)
        cells = [Cell(model="made", measures=base)]
        count, fit = len(TARGETS), 0
        while count < measurements:
            refs = list(base)
            for step in STEPS:
                key = f"{fit:04x}{step:04x}"
                write_record(store, key, items, 0.01 * step * rng.random(), rng)
                refs.append(MeasureRef(step=step, evaluator="pairs", key=key))
                count += len(TARGETS)
            cells.append(
                Cell(
                    model="made",
                    debiaser=f"method-{fit // 27}",
                    corpus="made",
                    masker=f"masker-{fit // 9 % 3}",
                    source=TARGETS[fit % 9],
                    label="hateful",
                    seed=0,
                    fit_key=f"{fit:x}",
                    measures=tuple(refs),
                )
            )
            fit += 1
    finally:
        os.fsync = fsync
    store.write_index(
        RunIndex(name=folder.name, created_at=NOW, spec={}, targets=TARGETS, cells=tuple(cells))
    )
    return count


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--measurements", type=int, default=10_000)
    made.add_argument("--items", type=int, default=100, help="items a measurement")
    made.add_argument("--repeat", type=int, default=3)
    made.add_argument("--check", type=float, help="fail above this many seconds")
    measuring.add_history_options(made)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "speed"
        count = write_run(folder, options.measurements, options.items)
        environment = measuring.as_installed(Path(temporary) / "bytecode")
        used = [
            measuring.run_command(["matrix", str(folder)], environment)
            for _ in range(options.repeat)
        ]
    if any(own.code for own in used):
        sys.exit("the command failed")
    wall, cpu = [own.wall for own in used], [own.cpu for own in used]
    print(
        f"{count} measurements of {options.items} items: {measuring.spread(wall)} s, "
        f"CPU {measuring.spread(cpu)} s"
    )
    figures = {
        name: {
            "seconds": [round(t, 3) for t in times],
            "median": round(statistics.median(times), 3),
        }
        for name, times in (("wall", wall), ("cpu", cpu))
    }
    measuring.add_to_history(
        options,
        "matrix_speed",
        "harness matrix",
        {"measurements": count, "items": options.items},
        figures,
    )
    if options.check is not None and min(cpu) > options.check:
        sys.exit(f"slower than {options.check} s")


if __name__ == "__main__":
    main()
