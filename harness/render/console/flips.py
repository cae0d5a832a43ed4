"""What `harness show` shows: items that changed, with their sentences and scores."""

from __future__ import annotations

from collections.abc import Mapping

from harness.analysis.flips import Flip, Flips
from harness.render.console.terminal import Terminal


def print_flips(
    console: Terminal,
    title: str,
    found: Flips,
    texts: Mapping[str, tuple[str, ...]],
    missing: str | None,
    limit: int,
) -> None:
    """Print the biggest changes of a column.

    Args:
        console: where to.
        title: of the cell and step.
        found: the changes.
        texts: sentences by item id.
        missing: why there are none, if so.
        limit: how many are shown.
    """
    column = found.column
    name = f"{column.evaluator}, {column.protocol}: {column.metric}, {column.domain}"
    console.print(f"{title} -> {name}", style="bold")
    count = len(found.flips)
    what = "flipped" if found.decisions else "changed"
    line = f"{_shown(found.base.value)} -> {_shown(found.after.value)}; "
    line += f"{count} of {found.items} items {what}"
    if found.decisions:
        gained = sum(flip.after > flip.before for flip in found.flips)
        line += f": {gained} from 0 to 1, {count - gained} from 1 to 0"
    console.print(line)
    if missing is not None:
        console.print(f"sentences not shown: {missing}", style="yellow")
    for number, flip in enumerate(found.flips[:limit], start=1):
        _print_flip(console, number, flip, texts.get(flip.item, ()), found.decisions)
    if count > limit:
        console.print(f"{count - limit} more; --limit shows them", style="dim")


def _print_flip(
    console: Terminal, number: int, flip: Flip, texts: tuple[str, ...], decisions: bool
) -> None:
    about = ", ".join(part for part in (flip.stratum, flip.cluster) if part)
    head = f"{number:3}. {flip.item}" + (f" ({about})" if about else "")
    if decisions:
        head += f"  {flip.before:g} -> {flip.after:g}, margin moved by {flip.size:.3f}"
    else:
        head += f"  {flip.before:.4f} -> {flip.after:.4f} ({flip.after - flip.before:+.4f})"
    console.print(head)
    for at, (name, before, after) in enumerate(flip.scores):
        text = f"  {texts[at]}" if decisions and at < len(texts) else ""
        line = f"     {name:15} {before:9.4f} -> {after:9.4f}{text}"
        console.print(line, soft_wrap=True)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
