"""What the page of a run contains: everything is computed once, here, and only laid out later."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import yaml

from harness import __version__
from harness.analysis.effects import Estimated
from harness.analysis.halves import halves_panels
from harness.analysis.hypothesis_tables import hypothesis_table
from harness.analysis.hypothesis_tests import tested_of
from harness.analysis.item_changes import spread_panels
from harness.analysis.leaderboard import Leaderboard
from harness.analysis.leaderboard_tables import board_tables
from harness.analysis.mask_rules import rule_table
from harness.analysis.matrix import Matrix
from harness.analysis.matrix_tables import matrix_tables
from harness.analysis.reported import Publication
from harness.analysis.run_masks import MaskedTexts, agreement_table, run_masks
from harness.analysis.step_curves import RunCurves
from harness.analysis.tables import Table
from harness.analysis.transfer import Transfer, transfers
from harness.analysis.verdict import verdict
from harness.render.exports.cells_file import cells_csv
from harness.render.failures import by_cause
from harness.render.figures.canvas import Numbers
from harness.render.figures.catalogue import RunFigures, run_figures
from harness.render.grids import Grid, bias_tables, grids, what_is_shown
from harness.render.kicker import kicker
from harness.render.page.lists import (
    ITEMS_SHOWN,
    ItemList,
    PassageList,
    item_lists,
    passage_lists,
    reported_tables,
)
from harness.render.page.provenance import Origin, origin_of
from harness.render.page.views import TableView, view_of, view_of_numbers
from harness.render.tables.cell_text import MARK_NOTE
from harness.render.tables.numbers import interval, number, signed
from harness.storage.cells import Cell
from harness.storage.reader import RunReader, shown_step

MOST_GRIDS = 12
"""Grids of one metric that are shown at once; the others are folded away."""


@dataclass(frozen=True)
class Sources:
    """What a page is made from.

    Attributes:
        reader: of the run.
        matrix: of the run.
        board: its leaderboard.
        publications: numbers from the literature.
        references: reference of each installed plugin, by family and name.
        texts: sentences by item id, as far as they could be found again.
        masked: masked passages by the hash of the stored masks, as far as their texts could be
            found again.
    """

    reader: RunReader
    matrix: Matrix
    board: Leaderboard
    publications: Sequence[Publication]
    references: Mapping[tuple[str, str], str]
    texts: Mapping[str, Mapping[str, str]]
    masked: MaskedTexts


@dataclass(frozen=True)
class GridSet:
    """The grids of one metric.

    Attributes:
        title: metric, evaluator and protocol.
        what: what its numbers are.
        shown: the first grids.
        folded: the others.
    """

    title: str
    what: str
    shown: tuple[Grid, ...]
    folded: tuple[Grid, ...]


@dataclass(frozen=True)
class Answer:
    """The first screen.

    Attributes:
        kicker: a few words about the run.
        headline: the verdict's first sentence.
        more: its other sentences.
        first: the grids of the first bias metric; None without one.
        others: the grids of the other bias metrics.
        detectable: what the data can show, in one line.
    """

    kicker: tuple[str, ...]
    headline: str
    more: str
    first: GridSet | None
    others: tuple[GridSet, ...]
    detectable: str


@dataclass(frozen=True)
class Page:
    """Everything on the page, in its order."""

    name: str
    description: str
    version: str
    created: str
    answer: Answer
    data: str
    """The cells of the tables, as a ``data:`` address."""
    facts: tuple[tuple[str, str], ...]
    hypotheses: tuple[TableView, ...]
    """The verdicts of the spec's hypotheses; empty without any."""
    matrices: tuple[TableView, ...]
    each_fit: tuple[TableView, ...]
    mark_note: str
    notes: tuple[str, ...]
    boards: tuple[TableView, ...]
    rules: TableView | None
    agreement: TableView | None
    """How far the maskers agree on the same passages; None with fewer than two."""
    passages: tuple[PassageList, ...]
    """Passages that maskers mask differently; empty where their texts are not known."""
    transfer: tuple[TableView, ...]
    figures: RunFigures
    stepwise: bool
    merged: bool
    items: tuple[ItemList, ...]
    items_shown: int
    reported: tuple[tuple[Publication, TableView], ...]
    failures: Mapping[str, Sequence[str]]
    spec: str
    origin: Origin


def page_of(sources: Sources) -> Page:
    """Work out the page of a run."""
    reader, matrix, board = sources.reader, sources.matrix, sources.board
    index = reader.index
    curves = RunCurves(reader, matrix)
    matrices, boards, rules = matrix_tables(matrix), board_tables(board), rule_table(matrix)
    compared = run_masks(reader, sources.masked)
    agreement = None if compared is None else agreement_table(compared)
    more = [table for table in (rules, agreement) if table is not None]
    tested = tested_of(reader)
    description = index.spec.get("description")
    return Page(
        name=index.name,
        description=description if isinstance(description, str) else "",
        version=__version__,
        created=index.created_at[:16].replace("T", " "),
        answer=_answer(matrix, board, matrices),
        data=_as_address(cells_csv([*matrices, *boards, *more])),
        facts=tuple(_facts(reader, curves)),
        hypotheses=(view_of(hypothesis_table(tested)),) if tested is not None else (),
        matrices=tuple(each_line_once(map(view_of, matrices))),
        each_fit=tuple(map(view_of, matrix_tables(matrix, each_seed=True)))
        if matrix.several_fits
        else (),
        mark_note=MARK_NOTE,
        notes=matrix.notes,
        boards=tuple(view_of(table) for table in boards if table.rows),
        rules=view_of(rules) if rules is not None else None,
        agreement=view_of(agreement) if agreement is not None else None,
        passages=tuple(passage_lists(compared)) if compared is not None else (),
        transfer=tuple(_transfer_tables(matrix)),
        figures=run_figures(
            curves, halves_panels(matrix), spread_panels(reader, matrix), matrices, tested
        ),
        stepwise=bool(curves.stepwise),
        merged=curves.trade_off is not None and curves.trade_off.merged,
        items=tuple(item_lists(reader, matrix, sources.texts)),
        items_shown=ITEMS_SHOWN,
        reported=tuple(
            (publication, view_of_numbers(numbers, publication.citation))
            for publication, numbers in reported_tables(sources.publications, matrix)
        ),
        failures=by_cause(matrix.failures),
        spec=yaml.safe_dump(index.spec, sort_keys=False, allow_unicode=True, width=88),
        origin=origin_of(reader, sources.references),
    )


def _as_address(csv: bytes) -> str:
    """Return a CSV file as a ``data:`` address."""
    return "data:text/csv;base64," + base64.b64encode(csv).decode()


def each_line_once(tables: Iterable[TableView]) -> Iterable[TableView]:
    """Yield tables without the lines that are below an earlier one already."""
    seen: set[str] = set()
    for table in tables:
        yield replace(table, lines=tuple(line for line in table.lines if line not in seen))
        seen.update(table.lines)


def _answer(matrix: Matrix, board: Leaderboard, matrices: Sequence[Table]) -> Answer:
    answer = verdict(matrix)
    headline, _, more = answer.text.partition(". ")
    bias = bias_tables(matrices)
    sets = [grid_set(table) for table in bias]
    lines = [line for table in bias for line in table.legend if "detectable" in line]
    return Answer(
        tuple(kicker(matrix, answer)),
        headline.removesuffix(".") + ".",
        more,
        sets[0] if sets else None,
        tuple(sets[1:]),
        lines[0] if lines else "",
    )


def grid_set(table: Table) -> GridSet:
    """Return the grids of a matrix table, with a line that says what their numbers are."""
    every_grid = grids(table)
    shown, folded = tuple(every_grid[:MOST_GRIDS]), tuple(every_grid[MOST_GRIDS:])
    return GridSet(table.title, what_is_shown(table), shown, folded)


def _facts(reader: RunReader, curves: RunCurves) -> Iterable[tuple[str, str]]:
    """Yield what was run, in a few words each."""
    index = reader.index
    debiased = [cell for cell in index.cells if not cell.is_base]
    stepwise = [cell for cell in debiased if max(cell.steps) > 1]
    for name, values in (
        ("model", [cell.model for cell in index.cells]),
        ("methods", [fit.method for fit in curves.fits if not fit.control]),
        ("controls", [fit.method for fit in curves.fits if fit.control]),
        ("debiased in", [cell.source for cell in debiased if cell.source]),
        ("measured in", list(index.targets)),
        ("seeds", [str(cell.seed) for cell in debiased if cell.seed is not None]),
        ("steps", list(_steps(reader, stepwise))),
    ):
        if values:
            yield name, ", ".join(dict.fromkeys(values))


def _steps(reader: RunReader, cells: Sequence[Cell]) -> Iterable[str]:
    """Yield the steps that were measured, in words; those of stopped fits as a range."""
    for step in sorted({step for cell in cells for step in cell.steps if step > 0}):
        stops = [reader.stop(cell, step) for cell in cells if step in cell.steps]
        if any(stops):
            yield f"{shown_step(step, stops)} (where stop_at ended each fit)"
        else:
            yield str(step)


def _transfer_tables(matrix: Matrix) -> Iterable[TableView]:
    """Yield how far each method's improvement reaches, a table for each bias metric."""
    groups: dict[str, list[tuple[str, ...]]] = {}
    for transfer in transfers(matrix):
        if not transfer.control:
            title = f"{transfer.metric} ({transfer.evaluator}, {transfer.protocol})"
            title += f", {transfer.unit}" if transfer.unit else ""
            groups.setdefault(title, []).append(_transfer(transfer))
    header = ("method", "on the source", "on other domains", "ratio", "nearer (significant)",
              "harmed (significant)", "source harmed")  # fmt: skip
    for title, rows in groups.items():
        yield view_of_numbers(Numbers(header, tuple(rows)), title)


def _transfer(transfer: Transfer) -> tuple[str, ...]:
    ratio = transfer.ratio
    if ratio.value is None:
        shown = f"none\n{ratio.reason}"
    else:
        bounds = interval(*ratio.interval) if ratio.interval else ratio.reason or ""
        shown = f"{number(ratio.value)}\n{bounds}".strip()
    return (
        transfer.method,
        _mean(transfer.on_sources),
        _mean(transfer.on_targets),
        shown,
        f"{transfer.gained}/{transfer.compared} ({transfer.surely_gained})",
        f"{transfer.harmed}/{transfer.compared} ({transfer.surely_harmed})",
        f"{transfer.source_harmed}/{transfer.sources}",
    )


def _mean(value: Estimated | None) -> str:
    if value is None:
        return "undefined"
    bounds = interval(*value.interval) if value.interval else ""
    return f"{signed(value.value)}\n{bounds}".strip()
