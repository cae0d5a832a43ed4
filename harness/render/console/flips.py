"""What `harness show` shows: items that changed, with their sentences and scores."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console

from harness.analysis.item_changes import ItemChange, ItemChanges


def print_flips(
    console: Console,
    title: str,
    found: ItemChanges,
    texts: Mapping[str, Mapping[str, str]],
    missing: str | None,
    limit: int,
) -> None:
    """Print the biggest changes of a column.

    Args:
        console: where to.
        title: of the cell and step.
        found: the changes.
        texts: sentences by item id and role.
        missing: why there are none, if so.
        limit: how many are shown.
    """
    column, changed = found.column, found.changed
    name = f"{column.evaluator}, {column.protocol}: {column.metric}, {column.domain}"
    console.print(f"{title} -> {name}", style="bold", highlight=False, markup=False)
    what = "flipped" if found.decisions else "changed"
    line = f"{_shown(found.base.value)} -> {_shown(found.after.value)}; "
    line += f"{len(changed)} of {len(found.items)} items {what}"
    if found.decisions:
        gained = sum(item.decided[1] > item.decided[0] for item in changed if item.decided)
        line += f": {gained} from 0 to 1, {len(changed) - gained} from 1 to 0"
    console.print(line, highlight=False, markup=False)
    if missing is not None:
        console.print(f"sentences not shown: {missing}", style="yellow", markup=False)
    for number, item in enumerate(changed[:limit], start=1):
        _print_item(console, number, item, texts.get(item.id, {}))
    if len(changed) > limit:
        more = len(changed) - limit
        console.print(f"{more} more; --limit shows them", style="dim", highlight=False)


def _print_item(console: Console, number: int, item: ItemChange, texts: Mapping[str, str]) -> None:
    about = ", ".join(part for part in (item.stratum, item.cluster) if part)
    head = f"{number:3}. {item.id}" + (f" ({about})" if about else "")
    if item.decided is not None:
        before, after = item.decided
        head += f"  {before:g} -> {after:g}, margin moved by {abs(item.change):.3f}"
    else:
        head += f"  {item.before:.4f} -> {item.after:.4f} ({item.change:+.4f})"
    console.print(head, highlight=False, markup=False)
    for name, first, last in item.scores:
        text = f"  {texts[name]}" if name in texts else ""
        line = f"     {name:15} {first:9.4f} -> {last:9.4f}{text}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
