"""What `harness show` shows: items that changed, with their sentences and scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.text import Text

from harness.analysis.item_changes import ItemChange, ItemChanges
from harness.render.console.ruled import ruled
from harness.render.console.terminal import Terminal
from harness.render.tables.numbers import number, signed

Sentences = Mapping[str, Mapping[str, str]]
"""Sentences by item id and role."""


def print_flips(
    console: Terminal,
    title: str,
    changes: ItemChanges,
    texts: Sentences,
    missing: str | None,
    limit: int,
) -> None:
    """Print the largest changes of a column as a table, each item with its scores below it.

    Args:
        console: where to.
        title: of the cell and step.
        changes: the changes.
        texts: the sentences that are known.
        missing: why there are none, if so.
        limit: how many are shown.
    """
    column, changed = changes.column, changes.changed
    console.print(title, style="bold")
    console.print(f"{column.name()}, {column.protocol}: {_summary(changes)}")
    if missing is not None:
        console.print(f"sentences not shown: {missing}", style="yellow")
    shown = changed[:limit]
    if shown:
        header = ("item", "before", "after", "moved")
        rows = [
            row for k, item in enumerate(shown, 1) for row in _item(k, item, changes.unit, texts)
        ]
        console.print(ruled("", header, rows))
    if len(changed) > limit:
        console.print(f"{len(changed) - limit} more; --limit shows them", style="dim")


def _summary(changes: ItemChanges) -> str:
    changed = changes.changed
    line = f"{number(changes.base.value)} → {number(changes.after.value)}; {len(changed)} of "
    line += f"{len(changes.items)} items {'flipped' if changes.decisions else 'changed'}"
    if changes.decisions:
        gained = sum(item.decided[1] > item.decided[0] for item in changed if item.decided)
        line += f": {gained} from 0 to 1, {len(changed) - gained} from 1 to 0"
    return line


def _item(
    position: int, item: ItemChange, unit: str, texts: Sentences
) -> Iterator[Sequence[str | Text]]:
    """Yield the rows of an item: its name, its margin or value, and each score behind it."""
    about = ", ".join(part for part in (item.stratum, item.cluster) if part)
    name = Text(f"{position}. {item.id} ").append(f"({about}) " if about else "", "dim")
    if item.decided is not None:
        before, after = item.decided
        name.append(f"{before:g}→{after:g}", "bold")  # one word, never broken
    yield (name, "", "", "")
    known = {score[0] for score in item.scores}
    if item.decided is not None or unit not in known:
        yield _numbers(Text(f"   {unit}"), item.before, item.after)
    for score, before, after in item.scores:
        yield _numbers(Text(f"   {score}", "dim"), before, after)
        sentence = texts.get(item.id, {}).get(score)
        if sentence is not None:
            yield (Text(f"   {sentence}"), "", "", "")


def _numbers(name: Text, before: float, after: float) -> Sequence[str | Text]:
    return (name, number(before, 3), number(after, 3), signed(after - before, 3))
