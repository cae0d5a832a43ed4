"""Lists of the page of a run: items that flipped, passages, and numbers from the literature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis.item_changes import (
    ItemChanges,
    NoItemValueError,
    item_changes,
    moved_most,
)
from harness.analysis.matrix import Matrix
from harness.analysis.reported import Publication, ReportedNumber
from harness.analysis.run_masks import RunMasks
from harness.render.figures.canvas import Numbers
from harness.render.masked_text import Piece, pieces
from harness.render.tables.numbers import signed
from harness.storage.reader import RunReader

ITEMS_SHOWN = 6


@dataclass(frozen=True)
class ItemList:
    """The items of a comparison that flipped, biggest move first."""

    title: str
    flipped: int
    rows: tuple[tuple[str, str, str, tuple[str, ...]], ...]
    """Id, margin before, margin after, and the sentences if they could be found."""


def item_lists(
    reader: RunReader, matrix: Matrix, texts: Mapping[str, Mapping[str, str]]
) -> list[ItemList]:
    """Return the items whose decision flipped, largest first, for each bias score and method."""
    lists = []
    for column in matrix.columns:
        if matrix.role(column) != "bias":
            continue
        for fit, row, _ in moved_most(matrix, column)[0]:
            try:
                changes = item_changes(reader, row.cell, row.step, column)
            except NoItemValueError:
                break
            flipped = [c for c in changes.changed if c.flipped] if changes else []
            if not flipped:
                continue
            rows = tuple(
                (c.id, signed(c.before, 3), signed(c.after, 3), tuple(texts.get(c.id, {}).values()))
                for c in flipped[:ITEMS_SHOWN]
            )
            title = f"{fit.label}: {column.domain}, {column.evaluator}"
            lists.append(ItemList(title, len(flipped), rows))
    return lists


@dataclass(frozen=True)
class PassageList:
    """Passages in which two maskers mask different words."""

    title: str
    differing: int
    rows: tuple[tuple[str, tuple[tuple[str, tuple[Piece, ...]], ...]], ...]
    """Id of the passage, and for each masker its label and the passage in pieces."""


def passage_lists(compared: RunMasks) -> list[PassageList]:
    """Return the first passages that differ, for every two maskers, where texts are known."""
    lists = []
    for pair, examples in zip(compared.pairs, compared.examples, strict=True):
        rows = tuple(
            (
                one.passage.id,
                ((pair.first, tuple(pieces(one))), (pair.second, tuple(pieces(other)))),
            )
            for one, other in examples[:ITEMS_SHOWN]
        )
        if rows:
            lists.append(PassageList(f"{pair.first} and {pair.second}", len(examples), rows))
    return lists


NOTEBOOK_ITEMS = 20


def changes_numbers(changes: ItemChanges, texts: Mapping[str, Mapping[str, str]]) -> Numbers:
    """Return the largest changes of a column as a table of text, with sentences where known."""
    told = any(item.id in texts for item in changes.changed)
    header = ("item", "half", f"{changes.unit} before", "after", "change")
    rows = tuple(
        (
            item.id,
            item.stratum or "",
            signed(item.before, 3),
            signed(item.after, 3),
            signed(item.change, 3),
            *((" | ".join(texts.get(item.id, {}).values()),) if told else ()),
        )
        for item in changes.changed[:NOTEBOOK_ITEMS]
    )
    return Numbers((*header, "sentences") if told else header, rows)


# -- reported numbers ------------------------------------------------------------------------


def reported_tables(
    publications: Sequence[Publication], matrix: Matrix
) -> list[tuple[Publication, Numbers]]:
    """Return the published numbers on the data sets and domains that the run measured."""
    wanted = {(c.evaluator, c.domain) for c in matrix.columns}
    tables = []
    for publication in publications:
        relevant = [
            n for n in publication.numbers
            if (n.evaluator.removesuffix("-test"), n.domain) in wanted
        ]  # fmt: skip
        if not relevant:
            continue
        columns = sorted(
            {(n.evaluator, n.metric, n.domain, n.protocol) for n in relevant},
            key=lambda c: (c[0], c[1], c[2]),
        )
        lines: dict[tuple[str, str], dict[Any, ReportedNumber]] = {}
        for n in relevant:
            # a published base has one row, whichever domain its table is about
            name = n.method or f"{n.model} (base)"
            step = "" if not n.step else str(n.step)
            lines.setdefault((name, step), {})[n.evaluator, n.metric, n.domain, n.protocol] = n
        rows = tuple(
            (
                name + (f", step {step}" if step else ""),
                *(_printed(values.get(column)) for column in columns),
            )
            for (name, step), values in lines.items()
        )
        header = (
            "method",
            *(
                f"{evaluator}, {domain} ({protocol})"
                if domain not in ("none", "overall")
                else f"{metric} ({protocol})"
                for evaluator, metric, domain, protocol in columns
            ),
        )
        tables.append((publication, Numbers(header, rows)))
    return tables


def _printed(value: ReportedNumber | None) -> str:
    if value is None:
        return "–"
    return f"{value.value:.2f}" + ("†" if value.note and "as printed" in value.note else "")
