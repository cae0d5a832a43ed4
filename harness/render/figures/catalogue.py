"""All figures of a run: the same for the page, for files and for notebooks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from harness.analysis.curve_panels import Panel
from harness.analysis.halves import HalvesPanel, halves_panels
from harness.analysis.hypothesis_tests import HypothesisTests, tested_of
from harness.analysis.item_changes import SpreadPanel, spread_panels
from harness.analysis.matrix import Matrix
from harness.analysis.matrix_tables import matrix_tables
from harness.analysis.step_curves import RunCurves
from harness.analysis.tables import Table
from harness.errors import StoreError
from harness.forks import forked_map
from harness.render.figures.canvas import KINDS, Figure
from harness.render.figures.curves import curves_figure
from harness.render.figures.dose import dose_figure
from harness.render.figures.grid import grid_figure
from harness.render.figures.looks import Looks
from harness.render.figures.rows import halves_figure, spread_figure
from harness.render.figures.trade_off import trade_off_figure
from harness.render.figures.verdicts import verdict_figures
from harness.render.files import write_file
from harness.storage.reader import RunReader


@dataclass(frozen=True)
class RunFigures:
    """The figures of a run, by what they show; a part for which it has no data is empty."""

    hypotheses: tuple[Figure, ...] = ()
    grids: tuple[Figure, ...] = ()
    steps: tuple[Figure, ...] = ()
    perplexity: tuple[Figure, ...] = ()
    dose: tuple[Figure, ...] = ()
    trade_off: tuple[Figure, ...] = ()
    halves: tuple[Figure, ...] = ()
    items: tuple[Figure, ...] = ()

    def __iter__(self) -> Iterator[Figure]:
        """Yield every figure, in the order of the page."""
        yield from (
            *self.hypotheses,
            *self.grids,
            *self.steps,
            *self.perplexity,
            *self.dose,
            *self.trade_off,
            *self.halves,
            *self.items,
        )


def figures_of(reader: RunReader, matrix: Matrix) -> RunFigures:
    """Describe the figures of a run; each is drawn when it is asked for.

    Args:
        reader: of the run.
        matrix: of the same run, at the steps to draw.
    """
    return run_figures(
        RunCurves(reader, matrix),
        halves_panels(matrix),
        spread_panels(reader, matrix),
        matrix_tables(matrix),
        tested_of(reader),
    )


def run_figures(
    curves: RunCurves,
    halves: Sequence[HalvesPanel],
    items: Sequence[SpreadPanel],
    matrices: Sequence[Table],
    tested: HypothesisTests | None = None,
) -> RunFigures:
    """Describe the figures of a run from the data behind them.

    Args:
        curves: scores over steps, perplexities, and bias against language.
        halves: halves of the paired suites.
        items: changes of items.
        matrices: the matrix tables.
        tested: the tests of the run's hypotheses; None: it has none.
    """
    looks = Looks([fit.source or "" for fit in curves.fits], [fit.method for fit in curves.fits])
    names = _Names()
    plot = curves.trade_off
    return RunFigures(
        hypotheses=tuple(verdict_figures(tested)) if tested is not None else (),
        grids=tuple(
            grid_figure(names.new("matrix", t.evaluator, t.protocol, t.metric), t)
            for t in matrices
            if any(row.kind in ("method", "control") for row in t.rows)
        ),
        steps=tuple(
            curves_figure(names.new("steps", domain), panel, looks, group=domain)
            for domain, panels in curves.bias_panels.items()
            for panel in panels
        ),
        perplexity=tuple(
            curves_figure(names.new("perplexity"), panel, looks_of)
            for panel, looks_of in _perplexity(curves.perplexity_panels)
        ),
        dose=tuple(
            dose_figure(names.new("dose", p.column.domain, p.column.evaluator), p, looks)
            for p in curves.dose_panels
        ),
        trade_off=(trade_off_figure(plot, looks),) if plot is not None else (),
        halves=tuple(
            halves_figure(names.new("halves", p.column.domain, p.column.evaluator), p)
            for p in halves
        ),
        items=tuple(
            spread_figure(names.new("items", p.column.domain, p.column.evaluator), p, looks)
            for p in items
        ),
    )


def _perplexity(panels: Sequence[Panel]) -> Iterator[tuple[Panel, Looks]]:
    """Yield panels with looks of their own: their colours show texts, not sources."""
    groups = list(dict.fromkeys(curve.group for panel in panels for curve in panel.curves))
    looks = Looks(groups, [curve.style for panel in panels for curve in panel.curves])
    for panel in panels:
        yield panel, looks


class _Names:
    """Makes names of letters, digits and hyphens, each once."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def new(self, *parts: str) -> str:
        base = "-".join(re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-").lower() for part in parts)
        base = base[:80] or "figure"
        name = base
        number = 1
        while name in self._used:
            number += 1
            name = f"{base}-{number}"
        self._used.add(name)
        return name


def write_figures(
    figures: Iterable[Figure], folder: Path, kinds: Sequence[str] = KINDS, *, processes: int = 1
) -> list[Path]:
    """Write figures to files and return their paths.

    Args:
        figures: what to write; a file is called after the name of its figure.
        folder: where to; it is made if it does not exist.
        kinds: any of ``png``, ``svg`` and ``pdf``.
        processes: how many may draw.

    Raises:
        DataError: matplotlib is not installed.
        StoreError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: cannot write: {error.strerror or error}") from None

    def write(figure: Figure) -> list[Path]:
        paths = []
        for kind, content in figure.files(kinds).items():
            paths.append(folder / f"{figure.name}.{kind}")
            write_file(paths[-1], content)
        return paths

    return list(chain.from_iterable(forked_map(write, list(figures), processes)))
