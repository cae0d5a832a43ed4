"""How long the corpus `file` takes to read a large CSV, and to answer further selections of it.

    python benchmarks/corpus_reading.py [--rows 1000000] [--check SECONDS]

Writes a CSV of made-up words with two domains and two labels, and asks for each domain, label and
split, as a plan does. The first selection reads the file; the others should not. With --check it
ends with exit code 1 if reading takes longer. Times are CPU seconds.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import measuring
from harness_corpora.domains import BUILT_IN
from harness_corpora.file import File, FileConfig

from harness.data.places import DataStore
from harness.types import PassageRequest

DOMAINS = ("gender", "race")
LABELS = ("hateful", "non-hateful")
LIMITS = {"train": 1000, "test": 200}


def write_table(path: Path, rows: int) -> None:
    """Write a table of 15-word texts."""
    draw = random.Random(0)
    words = [f"word{i}" for i in range(20_000)]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label", "domain"])
        for number in range(rows):
            text = " ".join(draw.choices(words, k=15))
            writer.writerow([text, LABELS[number % 2], DOMAINS[number // 2 % 2]])


def selections(path: Path) -> list[float]:
    """CPU seconds of each selection, in the order in which they are asked for."""
    corpus = File(FileConfig(path=str(path), label="label", domain="domain"))
    data = DataStore(cache_dir=path.parent, offline=True, domains=BUILT_IN)
    times = []
    for domain, label, split in product(DOMAINS, LABELS, LIMITS):
        request = PassageRequest.model_validate(
            {
                "domain": domain,
                "label": label,
                "split": split,
                "limit": LIMITS[split],
                "data": data,
            }
        )
        started = time.process_time()
        assert len(corpus.passages(request)) == LIMITS[split]
        times.append(time.process_time() - started)
    return times


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--rows", type=int, default=1_000_000)
    made.add_argument("--check", type=float, help="fail above this many seconds")
    measuring.add_history_options(made)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "passages.csv"
        write_table(path, options.rows)
        first, *others = selections(path)
        print(
            f"{options.rows} rows: {first:.2f} s for the first selection, "
            f"{max(others):.2f} s at most for each of {len(others)} others"
        )
        measuring.add_to_history(
            options,
            "corpus_reading",
            "file",
            {"rows": options.rows, "bytes": path.stat().st_size},
            {"first": round(first, 3), "others": [round(t, 3) for t in others]},
        )
        if options.check is not None and first > options.check:
            sys.exit(f"slower than {options.check} s")


if __name__ == "__main__":
    main()
