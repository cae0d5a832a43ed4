"""How many items the sign score would need to see what the continuous scores see.

    python benchmarks/effective_sample_size.py [RUN …]

RUN is the folder of a stored run; default: the published ones in ``results/``. For each debiased
model and each suite of pairs or triples, every margin of the debiased model is shifted by the same
small amount. A score responds to that shift by a slope, and its paired change over the items has a
standard error. The ratio of both, squared, is the information that one item carries about the
shift. The table gives that information relative to the sign score (the share of items with a
positive margin): 3 means that the sign score needs three times as many items for the same power.

``margin of changes`` is the trimmed mean of the items' changes (Yuen's test of one sample). The
metric ``margin`` is the change of two trimmed means.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from harness.arrays import Floats
from harness.estimators import Estimator, Mean, Preference, Sample, TrimmedMean
from harness.storage.reader import RunReader
from harness.storage.store import Store

RESULTS = Path(__file__).resolve().parent.parent / "results"
SHIFT = 0.5
"""Size of the shift, in units of the base model's median margin: the sign score is a step, so a
slope needs one that is not too small."""

SIGN = "sign score"
TRIM = 0.1


class Efficiency(NamedTuple):
    """Information of each score about a shift, relative to the sign score."""

    suite: str
    relative: dict[str, float]


def margins(sample: Sample) -> Floats:
    """Margin of each item."""
    found: Floats = sample.values[:, 0] - sample.values[:, 1]
    return found


def shifted(sample: Sample, by: float) -> Sample:
    """The same items with every margin moved."""
    values = sample.values.copy()
    values[:, 0] += by
    return sample._replace(values=values)


def information(values: Callable[[Sample], Floats], base: Sample, after: Sample) -> float:
    """Squared slope of a mean over items, over the variance of its paired change."""
    (unit,) = after.reference
    change = values(after) - values(base._replace(reference=after.reference))
    variance = float(change.var(ddof=1)) / len(change)
    up, down = (float(values(shifted(after, s * SHIFT * unit)).mean()) for s in (1, -1))
    slope = (up - down) / (2 * SHIFT * unit)
    return slope**2 / variance if variance > 0 else math.nan


def of_changes(base: Sample, after: Sample) -> float:
    """The same for the trimmed mean of the items' changes."""
    changes = margins(after) - margins(base)
    n, cut = len(changes), int(TRIM * len(changes))
    kept = n - 2 * cut
    ordered = np.sort(changes)
    winsorised = np.clip(changes, ordered[cut], ordered[n - cut - 1])
    variance = (n - 1) * float(winsorised.var(ddof=1)) / (kept * (kept - 1))
    return 1.0 / variance if variance > 0 else math.nan


def row(estimator: Estimator) -> Callable[[Sample], Floats]:
    """What each item contributes to an estimator's value."""
    return lambda sample: estimator.components(sample)[0]


SCORES: dict[str, Callable[[Sample], Floats]] = {
    SIGN: lambda sample: (margins(sample) > 0).astype(float),
    "preference": row(Preference()),
    "margin": row(TrimmedMean()),
    "mean margin": lambda sample: row(Mean())(sample._replace(values=margins(sample)[:, None])),
}


def efficiency(suite: str, base: Sample, after: Sample) -> Efficiency:
    """Relative information of every score, from the items of a base and a debiased model."""
    found = {name: information(values, base, after) for name, values in SCORES.items()}
    found["margin of changes"] = of_changes(base, after)
    return Efficiency(suite, {name: own / found[SIGN] for name, own in found.items()})


def of_run(store: Store) -> Iterator[Efficiency]:
    """One comparison for each debiased cell (at its last step) and suite of a run."""
    reader = RunReader(store)
    cells = reader.index.cells
    steps = {number: cell.steps[-1] for number, cell in enumerate(cells)}
    for column in reader.columns(steps, metric="preference"):
        for number, cell in enumerate(cells):
            base = reader.find(cell, 0, column)
            after = reader.find(cell, steps[number], column)
            if cell.is_base or base is None or after is None:
                continue
            metric = after.metrics["preference"]
            old, new = (
                reader.items(own.place).sample(metric.of, reference=metric.reference)
                for own in (base, after)
            )
            if old.ids == new.ids and not np.allclose(margins(old), margins(new)):
                yield efficiency(column.evaluator, old, new)


def typical(found: Sequence[Efficiency]) -> dict[str, float]:
    """Geometric mean of each ratio, leaving out comparisons in which no decision flipped."""
    names = found[0].relative
    return {
        name: float(
            np.exp(
                np.mean(
                    [np.log(own.relative[name]) for own in found if np.isfinite(own.relative[name])]
                )
            )
        )
        for name in names
    }


def main(arguments: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Print the table, and return it by suite."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="*", type=Path, help="folders of stored runs")
    options = parser.parse_args(arguments)
    folders = options.runs or sorted(path.parent for path in RESULTS.glob("*/index.json"))
    every = [own for folder in folders for own in of_run(Store.open(folder))]
    suites = sorted({own.suite for own in every})
    rows = {suite: [own for own in every if own.suite == suite] for suite in suites}
    if len(suites) > 1:
        rows["all"] = every
    table = Table(title=f"information an item, relative to the {SIGN}", title_justify="left")
    table.add_column("suite")
    table.add_column("comparisons", justify="right")
    means = {suite: typical(found) for suite, found in rows.items()}
    for name in next(iter(means.values())):
        table.add_column(name, justify="right")
    for suite, mean in means.items():
        table.add_row(suite, str(len(rows[suite])), *(f"{value:.1f}" for value in mean.values()))
    Console().print(table)
    return means


if __name__ == "__main__":
    main()
