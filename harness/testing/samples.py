"""Sample passages and masks for tests of plugins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.types import (
    Label,
    MaskedPassage,
    Passage,
    Span,
    Split,
)

if TYPE_CHECKING:
    pass


_GROUPS: Mapping[str, tuple[str, ...]] = {
    "gender": ("women", "men", "girls", "boys"),
    "race": ("Black people", "white people", "Asian people", "Arab people"),
    "religion": ("Muslims", "Christians", "Jews", "Hindus"),
    "none": ("trains", "rivers", "gardens", "letters"),
}


_UNKIND = ("always forget the important things", "never answer in time", "complain about the rain")


_PLAIN = ("wait near the old station", "come back in early spring", "are seen from the window")


def sample_passages(
    domain: str = "gender", label: Label = "hateful", split: Split = "train"
) -> tuple[Passage, ...]:
    """Mild made-up passages (twelve): unkind sentences about a group, or plain ones.

    A domain without groups of its own here speaks of "people". The splits share no text.
    """
    groups = _GROUPS.get(domain, ("people", "neighbours", "families", "strangers"))
    ends = _UNKIND if label == "hateful" else _PLAIN
    lead = "I hear that" if split == "train" else "They wrote that"
    return tuple(
        Passage(
            id=f"sample-{domain}-{label}-{split}-{i}-{j}",
            text=f"{lead} {group} {end}.",
            domain=domain,
            group=group,
            label=label,
            split=split,
        )
        for i, group in enumerate(groups)
        for j, end in enumerate(ends)
    )


def sample_masked(
    domain: str = "gender", label: Label = "hateful", split: Split = "train"
) -> tuple[MaskedPassage, ...]:
    """`sample_passages` with the group's words and the last word masked."""
    return tuple(_mask_sample(passage) for passage in sample_passages(domain, label, split))


def _mask_sample(passage: Passage) -> MaskedPassage:
    assert passage.group is not None
    start = passage.text.index(passage.group)
    last = passage.text.rindex(" ") + 1
    spans = (
        Span(start=start, end=start + len(passage.group), kind="attribute", reason="the group"),
        Span(start=last, end=len(passage.text) - 1, kind="harm", reason="the last word"),
    )
    return MaskedPassage(passage=passage, spans=spans)
